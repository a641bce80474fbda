"""Pixels: pictures as tensors, their ranges, sizes and colours."""

import torch
from torch import Tensor
from torch.nn import functional as F


def to_float(images: Tensor, device: torch.device) -> Tensor:
    """uint8 0…255, or float32 that is there already, to float32 in [-1, 1], on the device."""
    images = images.to(device, non_blocking=True)
    return images if images.is_floating_point() else images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Float in [-1, 1] (clipped) to uint8 0…255, rounded."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class NonFinite(ValueError):  # noqa: N818  what a picture is
    """A model painted NaN or infinity."""


def finite(painted: Tensor) -> Tensor:
    """What a network made, before it is clipped. Raises NonFinite where a value is NaN or infinite.

    The sum is NaN or infinite where a value is, and costs a thousandth of the painting.
    """
    if not painted.sum(dtype=torch.float32).isfinite():
        raise NonFinite("the model painted NaN or infinite values: its weights are damaged or too large")
    return painted


def as_given(painted: Tensor, images: Tensor) -> Tensor:
    """Float in [-1, 1] (clipped) on the device and in the type, uint8 or float32, of the pictures that were painted."""
    kept = painted.float().clamp(-1, 1) if images.is_floating_point() else to_uint8(painted)
    return kept.to(images.device)


def upscaled(images: Tensor, scale: int) -> Tensor:
    """Pictures (B, 3, H, W), uint8 or float32 in [-1, 1], `scale` times as large: bicubic; they themselves for 1."""
    return _resampled(images, scale)


def downscaled(images: Tensor, scale: int) -> Tensor:
    """Pictures (B, 3, H, W) at 1 / scale of their size; as `upscaled`."""
    return _resampled(images, 1 / scale)


def _resampled(images: Tensor, factor: float) -> Tensor:
    """Bicubic as in the literature and in Pillow (Keys 1981, a = -0.5), without aliasing."""
    if factor == 1:
        return images
    x = to_float(images, images.device)
    size = [int(side * factor) for side in x.shape[2:]]
    return as_given(F.interpolate(x, size, mode="bicubic", antialias=True), images)


def mixed(x: Tensor, painted: Tensor, strength: float, preserve_color: bool = False) -> Tensor:
    """What a generator made of pictures x (B, 3, H, W), clipped to [-1, 1], mixed with them linearly in sRGB.

    Args:
        painted: (B, 3, s · H, s · W); where s is not 1, it is mixed with the `upscaled` pictures.
        preserve_color: first give it their colours, see `keep_color`.
    """
    painted = finite(painted).float().clamp(-1, 1)
    if strength == 1 and not preserve_color:
        return painted
    x = upscaled(x, painted.shape[2] // x.shape[2])
    if preserve_color:
        painted = keep_color(painted, x).clamp(-1, 1)
    return painted if strength == 1 else torch.lerp(x, painted, strength)


def pad(x: Tensor, multiple: int, minimum: int) -> Tensor:
    """Continue (B, C, H, W) to the right and below by reflection (as often as it takes) to sizes that fit."""
    for axis in (2, 3):
        size = x.shape[axis]
        wanted = max(-(-size // multiple) * multiple, minimum)
        while (size := x.shape[axis]) < wanted:
            extra = min(wanted - size, max(size - 1, 1))
            mode = "reflect" if size > 1 else "replicate"
            x = F.pad(x, (0, 0, 0, extra) if axis == 2 else (0, extra, 0, 0), mode=mode)
    return x


def fitted(mask: Tensor, height: int, width: int) -> Tensor:
    """Masks (B, C, h, w) in [0, 1] at another size."""
    return F.interpolate(mask, size=(height, width), mode="bilinear", antialias=True).clamp(0, 1)


def luminance(images: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of sRGB pictures (B, 3, H, W) by the weights of Rec. 709, in the input's range."""
    weights = torch.tensor([0.2126, 0.7152, 0.0722], device=images.device, dtype=images.dtype)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def keep_color(painted: Tensor, original: Tensor) -> Tensor:
    """The luminance of what was painted with the colours of the original, both (B, 3, H, W) in [-1, 1].

    Luminance-only transfer of Gatys et al. 2016, "Preserving Color in Neural Artistic Style Transfer". In
    spaces such as YIQ grey has no colour, so that adding grey changes luminance alone.
    """
    return original + luminance(painted) - luminance(original)
