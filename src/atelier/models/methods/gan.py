"""gan: pictures from noise by a generator of linear layers, against a convolutional discriminator.

Goodfellow et al. 2014, "Generative Adversarial Nets": the game of equation 1 in its non-saturating form (section 3),
with a generator that knows nothing of pictures but their number of pixels. What differs: the discriminator is that of
`dcgan`; noise is normal, not uniform; norms are within each picture. A picture of 128 px has 49,152
numbers, and each has its own weights: what it learns is coarse, and larger pictures would not fit.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from atelier.models.encoders.base import Encoder
from atelier.models.methods.gan_base import FromNoise, NoiseConfig
from atelier.models.networks.dcgan import SIZES, DenseGenerator


@dataclass(frozen=True)
class GanConfig(NoiseConfig):
    """Networks and losses of gan."""

    sizes: ClassVar[tuple[int, ...]] = tuple(size for size in SIZES if size <= 128)

    width: int = field(
        default=512, metadata={"description": "numbers in the generator's last hidden layer", "ge": 8, "le": 4096}
    )


class Gan(FromNoise):
    """The training method; see the module."""

    name: ClassVar[str] = "gan"
    Config: ClassVar[type[GanConfig]] = GanConfig

    @staticmethod
    def build_generator(config: GanConfig, encoder: type[Encoder] | None) -> nn.Module:
        """The generator of this config."""
        return DenseGenerator(config.noise, config.width, config.size_px)
