"""The generators that methods of translation choose from."""

from atelier.models.configs.base import GeneratorKind
from atelier.models.networks.antialiased import AntialiasedGenerator
from atelier.models.networks.generator import Generator
from atelier.models.networks.resnet import ResnetGenerator


def new_generator(kind: GeneratorKind, filters: int, blocks: int, dropout: float = 0.0) -> ResnetGenerator | Generator:
    """A generator with new weights.

    Args:
        kind: `ResnetGenerator`, `AntialiasedGenerator` or `Generator`.
        filters: channels at full size; four times as many in the residual blocks.
        blocks: residual blocks.
        dropout: share of the channels left out in each block, while training; not with "skip".
    """
    if kind == "skip":
        return Generator(filters, 4 * filters, blocks, underpainted=False)
    return (AntialiasedGenerator if kind == "antialiased" else ResnetGenerator)(filters, blocks, dropout)
