"""gan: pictures from noise by a generator of linear layers, against a convolutional discriminator.

Goodfellow et al. 2014, "Generative Adversarial Nets": the game of equation 1 in its non-saturating form (section 3),
with a generator that knows nothing of pictures but their number of pixels. What differs: the discriminator is that of
`dcgan`; noise is normal, not uniform; norms are within each picture. A picture of 128 px has 49,152
numbers, and each has its own weights: what it learns is coarse, and larger pictures would not fit.
"""

from typing import ClassVar

from torch import nn

from atelier.models.configs.gan import GanConfig
from atelier.models.encoders.base import Encoder
from atelier.models.methods.gan_base import NoiseMethod
from atelier.models.networks.dcgan import DenseGenerator


class Gan(NoiseMethod):
    """The training method; see the module."""

    Config: ClassVar[type[GanConfig]] = GanConfig

    @staticmethod
    def build_generator(config: GanConfig, encoder: type[Encoder] | None) -> nn.Module:
        """The generator of this config."""
        return DenseGenerator(config.noise, config.width, config.size_px)
