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
from atelier.models.methods.style_inputs import SMALLEST_PX, TRAINED, region_of, shares, style_pixels
from atelier.models.networks.adain_generator import AdainGenerator
from atelier.models.pixels import as_given, finite, fitted, keep_color, pad, to_float


@dataclass(frozen=True)
class StyleMoments:
    """A style as AdaIN sees it: moments of the content layer."""

    share: float  # of all styles
    mean: Tensor  # (1, C, 1, 1)
    std: Tensor  # (1, C, 1, 1)


def adain_painter(config: AdainConfig, generator: AdainGenerator, controls: Controls) -> "AdainPainter":
    """The painter of a trained generator; the moments of its styles are computed here, once."""
    given = controls.styles or (TRAINED,)
    styles = [_measured(generator, style, share) for style, share in zip(given, shares(given), strict=True)]
    if not controls.placed:
        # equation 15 for whole pictures: AdaIN is linear in the style's moments
        mean, std = (
            sum((style.share * x for style, x in zip(styles, kind, strict=True)), torch.zeros_like(styles[0].mean))
            for kind in ([style.mean for style in styles], [style.std for style in styles])
        )
        styles = [StyleMoments(1.0, mean, std)]
    return AdainPainter(generator, styles, controls.strength, config.detail, controls.preserve_color)


@torch.no_grad()
def _measured(generator: AdainGenerator, style: Style, share: float) -> StyleMoments:
    mean, std = generator.mean, generator.std
    if (pixels := style_pixels(style, mean.device)) is not None:
        features = generator.features(pixels)[generator.layer]
        region = region_of(style, mean.device)
        mean, std = moments(features, None if region is None else fitted(region, *features.shape[2:]))
    return StyleMoments(share, mean, std)


@dataclass(frozen=True, eq=False)
class AdainPainter:
    """Stylizes pictures in one style, or in several where their masks are."""

    generator: AdainGenerator
    styles: Sequence[StyleMoments]
    strength: float  # 0…1
    detail: float  # 0…1, share of what the decoder loses that is given back
    preserve_color: bool

    def __call__(self, images: Tensor, masks: Tensor | None = None) -> Tensor:
        """Stylize pictures; see `Painter`, and `StylesPainter` for the masks."""
        if self.strength == 0:
            return images
        generator = self.generator
        height, width = images.shape[2:]
        sizes = generator.stride, max(2 * generator.stride, SMALLEST_PX)  # reflection padding needs two positions
        x = pad(to_float(images, generator.mean.device), *sizes)
        with torch.inference_mode():
            content = generator.features(x)[generator.layer].float()
            if masks is not None:
                masks = pad(fitted(masks.to(x.device), height, width), *sizes)
            y = generator.decode(torch.lerp(content, self._restyled(content, masks), self.strength))
            if (kept := 1 - self.strength * (1 - self.detail)) > 0:
                y += kept * (x - generator.decode(content))
            y = finite(y).clamp(-1, 1)
            if self.preserve_color:
                y = keep_color(y, x)
        return as_given(y[:, :, :height, :width], images)

    def _restyled(self, content: Tensor, masks: Tensor | None) -> Tensor:
        """t of equation 9 where each style applies, by the moments of the content (B, C, h, w) there; equation 15."""
        if masks is None:
            return adain(content, self.styles[0].mean, self.styles[0].std)
        total, mixed = torch.zeros_like(content[:, :1]), torch.zeros_like(content)
        for style, mask in zip(self.styles, torch.split(masks, 1, 1), strict=True):
            where = F.adaptive_avg_pool2d(mask, (content.shape[2], content.shape[3]))  # (B or 1, 1, h, w)
            mixed += style.share * where * adain(content, style.mean, style.std, where)
            total += style.share * where
        return torch.where(total > 0, mixed / total.clamp(min=1e-6), content)
