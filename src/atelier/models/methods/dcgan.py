"""dcgan: pictures from noise by transposed convolutions.

Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks":
architecture guidelines and generator of section 3 and figure 1 (100 numbers, strided convolutions, no hidden linear
layers, ReLU and tanh in the generator, leaky ReLU of 0.2 in the discriminator, weights of the generator from
N(0, 0.02²)). What differs: norms within each picture in the generator and a gradient penalty on the discriminator in
place of BatchNorm, see `networks.from_noise`; normal noise, not uniform; a quarter of the paper's channels and a higher
rate, 5·10⁻⁴ instead of 2·10⁻⁴, for a processor's few steps.
"""

from typing import ClassVar

from torch import nn

from atelier.models.configs.gan import DcganConfig
from atelier.models.encoders.base import Encoder
from atelier.models.methods.gan_base import NoiseMethod
from atelier.models.networks.dcgan import DcganGenerator


class Dcgan(NoiseMethod):
    """The training method; see the module."""

    Config: ClassVar[type[DcganConfig]] = DcganConfig

    @staticmethod
    def build_generator(config: DcganConfig, encoder: type[Encoder] | None) -> nn.Module:
        """The generator of this config."""
        return DcganGenerator(config.noise, config.filters, config.size_px)
