"""Painting with adain: styles by their moments, mixed and masked.

Huang & Belongie 2017: strength in equation 14, several styles in equation 15, spatial control in section 7.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.configs.style_statistics import AdainConfig
from atelier.models.controls import Controls, Style
from atelier.models.losses.moments import adain, moments
from atelier.models.methods.style_inputs import SMALLEST_PX, TRAINED, shares, style_pixels
from atelier.models.networks.adain_generator import AdainGenerator
from atelier.models.painter import Painter
from atelier.models.pixels import as_given, finite, keep_color, pad, to_float


@dataclass(frozen=True)
class StyleMoments:
    """A style as AdaIN sees it: moments of the content layer."""

    share: float  # of all styles
    mean: Tensor  # (1, C, 1, 1)
    std: Tensor  # (1, C, 1, 1)
    mask: Tensor | None  # (1, 1, h, w) in [0, 1], where the style applies; None means everywhere

    def mask_of(self, height: int, width: int) -> Tensor:
        """The mask at the size of a picture, (1, 1, height, width) in [0, 1]."""
        if self.mask is None:
            return self.mean.new_ones(1, 1, height, width)
        return F.interpolate(self.mask, size=(height, width), mode="bilinear", antialias=True).clamp(0, 1)


def adain_painter(config: AdainConfig, generator: AdainGenerator, controls: Controls) -> Painter:
    """The painter of a trained generator; the moments of its styles are computed here, once."""
    given = controls.styles or (TRAINED,)
    styles = [_measured(generator, style, share) for style, share in zip(given, shares(given), strict=True)]
    if all(style.mask is None for style in styles):
        # equation 15 for whole pictures: AdaIN is linear in the style's moments
        mean, std = (
            sum((style.share * x for style, x in zip(styles, kind, strict=True)), torch.zeros_like(styles[0].mean))
            for kind in ([style.mean for style in styles], [style.std for style in styles])
        )
        styles = [StyleMoments(1.0, mean, std, None)]
    return AdainPainter(generator, styles, controls.strength, config.detail, controls.preserve_color)


@torch.no_grad()
def _measured(generator: AdainGenerator, style: Style, share: float) -> StyleMoments:
    mean, std = generator.mean, generator.std
    if (pixels := style_pixels(style, mean.device)) is not None:
        mean, std = moments(generator.features(pixels)[generator.layer])
    mask = None
    if style.mask is not None:
        mask = torch.from_numpy(style.mask.copy())[None, None].to(mean.device) / 255
    return StyleMoments(share, mean, std, mask)


@dataclass(frozen=True, eq=False)
class AdainPainter:
    """Stylizes pictures in one or more styles."""

    generator: AdainGenerator
    styles: Sequence[StyleMoments]
    strength: float  # 0…1
    detail: float  # 0…1, share of what the decoder loses that is given back
    preserve_color: bool

    def __call__(self, images: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`."""
        if self.strength == 0:
            return images
        generator = self.generator
        height, width = images.shape[2:]
        sizes = generator.stride, max(2 * generator.stride, SMALLEST_PX)  # reflection padding needs two positions
        x = pad(to_float(images, generator.mean.device), *sizes)
        with torch.inference_mode():
            masks = [pad(style.mask_of(height, width), *sizes) for style in self.styles]
            content = generator.features(x)[generator.layer].float()
            y = generator.decode(torch.lerp(content, self._restyled(content, masks), self.strength))
            if (kept := 1 - self.strength * (1 - self.detail)) > 0:
                y += kept * (x - generator.decode(content))
            y = finite(y).clamp(-1, 1)
            if self.preserve_color:
                y = keep_color(y, x)
            y = torch.lerp(x, y, torch.stack(masks).sum(0).clamp(max=1))
        return as_given(y[:, :, :height, :width], images)

    def _restyled(self, content: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """t of equation 9 where each style applies, by the moments of the content (B, C, h, w) there; equation 15."""
        if len(self.styles) == 1 and self.styles[0].mask is None:
            return adain(content, self.styles[0].mean, self.styles[0].std)
        total, mixed = torch.zeros_like(content[:1, :1]), torch.zeros_like(content)
        for style, mask in zip(self.styles, masks, strict=True):
            where = F.adaptive_avg_pool2d(mask, (content.shape[2], content.shape[3]))  # (1, 1, h, w)
            mixed += style.share * where * adain(content, style.mean, style.std, where)
            total += style.share * where
        return torch.where(total > 0, mixed / total.clamp(min=1e-6), content)
