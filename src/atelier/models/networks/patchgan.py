"""The 70×70 PatchGAN: a score for every overlapping patch. Isola et al. 2017, appendix 6.1.2; Zhu et al. 2017."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from atelier.models.networks.instance_norm import InstanceNorm
from atelier.models.networks.resnet import initialise

SLOPE = 0.2  # of the leaky ReLUs


class PatchGan(nn.Module):
    """C64, C128, C256, C512, and a last convolution to one score.

    Args:
        spectral: normalise weights by their spectral norm (Miyato et al. 2018) instead of activations by InstanceNorm.
    """

    def __init__(self, filters: int, spectral: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for index, stride in enumerate((2, 2, 2, 1)):
            out = filters * 2**index
            normed = index > 0 and not spectral
            layers.append(nn.Conv2d(channels, out, 4, stride, 1, bias=not normed))
            layers.append(InstanceNorm(SLOPE) if normed else nn.LeakyReLU(SLOPE))
            channels = out
        self.body = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 1))
        initialise(self)
        if spectral:
            for module in self.body:
                if isinstance(module, nn.Conv2d):
                    spectral_norm(module)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to scores (B, 1, h, w), float32; at least 24 px a side."""
        scores: Tensor = self.body(x)
        return scores.float()
