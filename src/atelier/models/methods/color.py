"""color: transfer of colour statistics, band by band; the baseline of the other methods.

Reinhard et al. 2001, "Color Transfer between Images": pictures are taken to the decorrelated space lαβ (equations 4 to
6), where mean and standard deviation of each channel become those of the style (equations 10 and 11). Here this is done
in each band of a Laplacian pyramid (Burt & Adelson 1983, "The Laplacian Pyramid as a Compact Image Code", with a box
and a tent as filters), so that the style's contrast is met in the fine and in the coarse; one band is Reinhard's own.

Nothing is trained: the statistics are measured once. Those of a domain are the means over its
pictures of the mean and of the variance. What differs: no gain is larger than `GAIN`, else the noise of a flat picture
would become its texture.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.style_statistics import ColorConfig
from atelier.models.controls import Controls
from atelier.models.encoders.base import Encoder
from atelier.models.methods.base import Batch, Method
from atelier.models.methods.style_inputs import domain_means
from atelier.models.painter import Painter
from atelier.models.pixels import as_given, finite, to_float

GAIN = 3.0  # of a band's standard deviation, at most
DARKEST = 1 / 255  # of what a logarithm is taken
RGB_TO_LMS = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))  # equation 4
LMS_TO_LAB = tuple(  # equation 6
    tuple(sign / size**0.5 for sign in signs) for signs, size in (((1, 1, 1), 3), ((1, 1, -2), 6), ((1, -1, 0), 2))
)


class Transfer(nn.Module):
    """Pictures to pictures with the statistics of the style; they are buffers, of the finest band first."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(bands, 3))
        self.register_buffer("variance", torch.ones(bands, 3))
        self.mean: Tensor
        self.variance: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to the same, of any size."""
        bands = []
        for band, mean, variance in zip(pyramid(to_lab(x), len(self.mean)), self.mean, self.variance, strict=True):
            own_mean, own_variance = statistics(band)  # (B, 3)
            gain = (variance / own_variance.clamp(min=1e-12)).sqrt().clamp(max=GAIN)
            bands.append((band - own_mean[:, :, None, None]) * gain[:, :, None, None] + mean[:, None, None])
        return finite(from_lab(composed(bands))).clamp(-1, 1)


def to_lab(x: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] to lαβ."""
    lms = _mixed((x.float() + 1).div(2).clamp(min=DARKEST), torch.tensor(RGB_TO_LMS))
    return _mixed(lms.log10(), torch.tensor(LMS_TO_LAB))


def from_lab(lab: Tensor) -> Tensor:
    """The way back; some lαβ are outside [-1, 1]."""
    lms = 10 ** _mixed(lab, torch.tensor(LMS_TO_LAB).inverse())
    return _mixed(lms, torch.tensor(RGB_TO_LMS).inverse()) * 2 - 1


def _mixed(x: Tensor, matrix: Tensor) -> Tensor:
    """A matrix (3, 3) times the channels of (B, 3, H, W)."""
    return torch.einsum("ij,bjhw->bihw", matrix.to(x.device), x)


def pyramid(x: Tensor, bands: int) -> list[Tensor]:
    """Bands (B, C, h, w) of (B, C, H, W), from fine to coarse; each but the last is what the next one cannot show."""
    found = []
    for _ in range(bands - 1):
        coarse = F.avg_pool2d(x, 2, ceil_mode=True)
        found.append(x - _enlarged(coarse, x))
        x = coarse
    return [*found, x]


def composed(bands: list[Tensor]) -> Tensor:
    """The picture (B, C, H, W) of a pyramid."""
    *finer, x = bands
    for band in reversed(finer):
        x = band + _enlarged(x, band)
    return x


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear")


def statistics(band: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (B, C) over the positions of (B, C, h, w)."""
    variance, mean = torch.var_mean(band, (2, 3), correction=0)
    return mean, variance


class Color(Method):
    """The method; see the module."""

    Config: ClassVar[type[ColorConfig]] = ColorConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, config: ColorConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device = config, device
        self.transfer = Transfer(config.bands).to(device)
        self.modules = {"generator": self.transfer}
        self.weights = {}

    @staticmethod
    def build_generator(config: ColorConfig, encoder: type[Encoder] | None) -> nn.Module:
        """With statistics of no style yet."""
        return Transfer(config.bands)

    @classmethod
    def painter(cls, config: ColorConfig, generator: nn.Module, controls: Controls) -> Painter:
        """See `Method.painter`; the transfer is mixed with the input linearly in sRGB."""

        def paint(images: Tensor) -> Tensor:
            if controls.strength == 0:
                return images
            x = to_float(images, next(generator.buffers()).device)
            with torch.inference_mode():
                y = torch.lerp(x, generator(x), controls.strength)
            return as_given(y, images)

        return paint

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Average the statistics of the style domain."""

        def measure(style: Tensor) -> dict[str, Tensor]:
            bands = [statistics(band) for band in pyramid(to_lab(style), self.config.bands)]
            mean, variance = (torch.stack(of_bands).mean(1) for of_bands in zip(*bands, strict=True))  # (bands, 3)
            return {"mean": mean, "variance": variance}

        means = domain_means(measure, batches, batch_size, self.config.style_images, self.device)
        self.transfer.mean.copy_(means["mean"])
        self.transfer.variance.copy_(means["variance"])
