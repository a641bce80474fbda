"""What a generator is built of. Generators of equal architectures take each other's weights, whatever trained them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """The choices that decide the layers of a generator from picture to picture, and their shapes."""

    generator: str  # kind of network, see `networks.generator_choice`
    filters: int  # channels at full size
    width: int  # channels in the residual blocks
    blocks: int  # residual blocks
