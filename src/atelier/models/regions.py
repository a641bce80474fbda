"""Regions of pictures, and which region of a style each region of a picture is matched to.

A picture is divided by k-means on an encoder's features, colour and height in the picture. A region is then described
by its mean of deep features, which tell sky from water where colours do not, in photographs as in paintings. Each
region of the picture is matched to the nearest region of the style pictures; several may be matched to the same one.

Everything is computed on a copy of 256 px, with fixed random numbers: the same picture has the same regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.controls import Style
from atelier.models.encoders.efficientnet_lite0 import DeepEfficientNetLite0
from atelier.models.k_means import k_means
from atelier.models.methods.color import to_lab
from atelier.models.pixels import fitted, luminance, pad, to_float
from atelier.models.placement import MASK_PX, Places, box_mean, guided_filter

REGIONS = 6  # of a picture at most; with 4 or 8, fewer pixels are matched to what they show
LONGEST_PX = 256  # of the copy; deep features of larger ones tell less
SMALLEST_PX = 32  # shortest side of the copy
NEAR, DEEP = "block4", "block14"
WEIGHTS = (1.0, 0.7, 0.7)  # of features, colours and height, each with a variance of 1 over the picture
LEAST = 0.02  # share of a picture that is a region
OWN = 0.5  # share of the difference of two pictures' means that is their look, and not what they show
ATTEMPTS = 3  # of k-means
RADIUS = 1 / 32  # of the windows that smooth borders, as a share of the longest side: a position of the features
EPSILON = 4e-3  # of that filter, for luminance in [-1, 1]


@dataclass(frozen=True)
class Regions:
    """The regions of a picture."""

    labels: Tensor  # (h, w), int64 from 0 on, an eighth of the copy's size
    means: Tensor  # (regions, C) of deep features
    mean: Tensor  # (C) over the picture


@torch.no_grad()
def find_regions(picture: Tensor, encoder: DeepEfficientNetLite0) -> Regions:
    """The regions of a picture (1, 3, H, W) in [-1, 1], which is on the encoder's device."""
    longest = max(picture.shape[2:])
    height, width = (max(1, round(side * LONGEST_PX / longest)) for side in picture.shape[2:])
    copy = F.interpolate(picture, (height, width), mode="bilinear", antialias=True).clamp(-1, 1)
    features = encoder.encode(pad(copy, 8, SMALLEST_PX))
    rows, columns = max(1, round(height / 8)), max(1, round(width / 8))
    near = features[NEAR][:, :, :rows, :columns].cpu()
    deep = F.interpolate(features[DEEP], features[NEAR].shape[2:], mode="bilinear", align_corners=False)
    deep = deep[0, :, :rows, :columns].flatten(1).T.cpu()  # (N, C)
    colours = F.adaptive_avg_pool2d(to_lab(copy), (rows, columns)).cpu()
    level = torch.linspace(0, 1, rows)[:, None].expand(1, 1, rows, columns)
    parts = [_standardised(x[0].flatten(1).T) for x in (near, colours, level)]  # (N, C) each
    points = torch.cat([weight * part for weight, part in zip(WEIGHTS, parts, strict=True)], 1)
    labels = without_small(points, k_means(points, REGIONS, ATTEMPTS))
    labels = without_small(points, _majority(labels.reshape(rows, columns)).flatten())
    members = F.one_hot(labels).T.float()  # (regions, N)
    return Regions(labels.reshape(rows, columns), members @ deep / members.sum(1, keepdim=True), deep.mean(0))


def match(content: Regions, styles: Sequence[Regions]) -> Tensor:
    """For each region of the content the nearest of all regions of the styles, counted through; int64 (regions)."""
    distances = []
    for style in styles:
        look = OWN * (content.mean - style.mean)
        distances.append(torch.cdist(content.means - look, style.means))
    return torch.cat(distances, 1).argmin(1)


@dataclass(frozen=True, eq=False)
class RegionPlaces:
    """The places of styles that are regions of style pictures: see `placement.Placement`, and `styles_of_regions`."""

    encoder: DeepEfficientNetLite0
    styles: Sequence[Regions]

    def __call__(self, images: Tensor, labels: Tensor | None) -> Places:
        """The places in pictures (B, 3, H, W); labels play no part."""
        return Places(torch.cat([self.masks(image[None]) for image in images]))

    def masks(self, image: Tensor) -> Tensor:
        """Masks (1, S, h, w) of a picture (1, 3, H, W), as `Painter` takes it, with its borders."""
        device = next(self.encoder.parameters()).device
        x = to_float(image, device)
        longest = max(x.shape[2:])
        if longest > MASK_PX:
            size = [max(1, round(side * MASK_PX / longest)) for side in x.shape[2:]]
            x = F.interpolate(x, size, mode="bilinear", antialias=True).clamp(-1, 1)
        content = find_regions(x, self.encoder)
        count = sum(len(style.means) for style in self.styles)
        chosen = F.one_hot(match(content, self.styles)[content.labels], count)  # (h, w, S)
        masks = fitted(chosen.permute(2, 0, 1)[None].float().to(device), *x.shape[2:])
        masks = guided_filter(luminance(x), masks, max(1, round(RADIUS * max(x.shape[2:]))), EPSILON).clamp(0, 1)
        return masks / masks.sum(1, keepdim=True).clamp(min=1e-6)


def styles_of_regions(styles: Sequence[Style], encoder: DeepEfficientNetLite0) -> tuple[list[Style], list[Regions]]:
    """Each region of style pictures as a style of its own, and these regions, in the same order."""
    device = next(encoder.parameters()).device
    found, parts = [], []
    for style in styles:
        assert style.pixels is not None, "controls with regions have style pictures only"
        picture = to_float(torch.from_numpy(style.pixels.copy()).permute(2, 0, 1)[None], device)
        found.append(find_regions(picture, encoder))
        for number in range(len(found[-1].means)):
            region = np.where(found[-1].labels.numpy() == number, np.uint8(255), np.uint8(0))
            parts.append(replace(style, region=region))
    return parts, found


def without_small(points: Tensor, labels: Tensor) -> Tensor:
    """The labels (N) counted from 0, where points (N, C) of small regions belong to the nearest larger one."""
    sizes = labels.bincount()
    large = (sizes >= min(LEAST * len(labels), int(sizes.max()))).nonzero()[:, 0]
    centres = torch.stack([points[labels == label].mean(0) for label in large])
    nearest = large[torch.cdist(points, centres).argmin(1)]
    kept = torch.isin(labels, large)
    return torch.searchsorted(large, torch.where(kept, labels, nearest))


def _majority(labels: Tensor) -> Tensor:
    """Labels (h, w), each the most frequent of 3 × 3: single positions are no regions."""
    members = F.one_hot(labels).permute(2, 0, 1)[None].float()
    return box_mean(members, 1)[0].argmax(0)


def _standardised(x: Tensor) -> Tensor:
    """Points (N, C) with a mean of 0 and a total variance of 1, or 0 where they are all the same."""
    x = x - x.mean(0)
    return x / x.square().sum(1).mean().sqrt().clamp(min=1e-6)
