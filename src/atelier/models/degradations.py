"""Degradations: what cameras, files and small sizes take from pictures, as methods that restore are shown it.

In their order: blur, smaller size, low light, noise, JPEG. All that is random comes from given uniform numbers, so that
a picture's degradation is a function of (seed, step, place in the batch).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.configs.restoration import UNTOLD, Fault, RestoreConfig
from atelier.models.pixels import downscaled, luminance
from atelier.models.random_draws import normal

DRAWS = 12  # uniform numbers that decide on the degradation of a picture, before its noise
KERNEL_PX = 25  # side of blur kernels
THINNEST_PX = 0.4  # σ of a motion blur across its line
FINEST_JPEG = 95  # JPEG qualities are drawn up to this one
GAMMA = 2.2  # of light in sRGB values

# quantisation of luminance and of chrominance at quality 50: ITU-T T.81, annex K, tables K.1 and K.2
LUMINANCE = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
    18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
CHROMINANCE = "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66" + 38 * " 99"


@dataclass(frozen=True)
class Degraded:
    """Pictures as they are given to a network that restores them, and as they were."""

    sharp: Tensor  # (B, 3, H, W) float32 in [-1, 1]; some have become grey
    pictures: Tensor  # (B, 3, H / scale, W / scale) float32, about [-1, 1]
    noise: Tensor  # (B,) what the network is told of their noise: σ in 8-bit values, or `UNTOLD`


def grain_numbers(pictures: Tensor, scale: int) -> int:
    """Numbers that the noise of one of these pictures (B, C, H, W) takes, at 1 / scale of its size."""
    _, channels, height, width = pictures.shape
    return channels * (height // scale) * (width // scale)


def degraded(pictures: Tensor, config: RestoreConfig, draws: Tensor, grain: Tensor) -> Degraded:
    """Degraded pictures.

    Args:
        pictures: (B, 3, H, W) float32 in [-1, 1]; H and W are multiples of `config.scale`.
        draws: (B, DRAWS) uniform in [0, 1), on the CPU.
        grain: (B, `grain_numbers`) uniform in [0, 1), of the noise.
    """
    u = draws.to(pictures.device)
    likeness = (u[:, 11] - (1 - config.alike)) / max(config.alike, 1e-6) * 2  # of noise in the colours, and over 1 grey
    sharp = x = torch.where(_each(likeness > 1), luminance(pictures), pictures)
    has = {fault: _affected(fault, config, u) for fault in config.faults}
    if "blur" in has:
        x = torch.where(_each(has["blur"]), blurred(x, _kernels(config.blur_px, u)), x)
    x = downscaled(x, config.scale)
    if "dark" in has:
        gain = config.darkest ** u[:, 4]  # from 1 down, evenly by its logarithm
        x = torch.where(_each(has["dark"]), 2 * ((x + 1) / 2) * _each(gain) ** (1 / GAMMA) - 1, x)
    sigma = torch.zeros_like(u[:, 0])
    if "noise" in has:
        sigma = has["noise"] * (config.noise_from + u[:, 5] * (config.noise_to - config.noise_from))
        x = x + _each(sigma / 127.5) * _alike(normal(grain).to(x.device).view_as(x), likeness.clamp(0, 1))
    # a file holds 8-bit values; what is measured in the literature has noise that is neither rounded nor clipped
    x = torch.where(_each(u[:, 6] < 0.5) & (sigma > 0)[:, None, None, None], x, rounded(x))
    if "jpeg" in has:
        quality = (config.jpeg_quality + u[:, 7] * (FINEST_JPEG - config.jpeg_quality)).round()
        x = torch.where(_each(has["jpeg"]), jpeg(x, quality), x)
    told = torch.where(u[:, 8] < config.told, sigma, UNTOLD)
    return Degraded(sharp, x, told)


def _alike(noise: Tensor, likeness: Tensor) -> Tensor:
    """Noise (B, 3, H, W) of the same strength with a share of its energy, (B,) in [0, 1], alike in all colours."""
    return (1 - _each(likeness)).sqrt() * noise + _each(likeness).sqrt() * noise[:, :1]


def _affected(fault: Fault, config: RestoreConfig, u: Tensor) -> Tensor:
    """Which pictures have a fault, (B,) bool: all faults, or one of them."""
    one = (u[:, 9] * len(config.faults)).long() == config.faults.index(fault)
    return one | (u[:, 10] < config.mixed)


def _each(values: Tensor) -> Tensor:
    """Values (B,) beside pictures (B, C, H, W)."""
    return values[:, None, None, None]


def rounded(x: Tensor) -> Tensor:
    """Pictures in [-1, 1] as 8-bit values hold them."""
    return ((x + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def blurred(x: Tensor, kernels: Tensor) -> Tensor:
    """Pictures (B, 3, H, W), each with its kernel (B, k, k) of sum 1; borders are mirrored."""
    reach = kernels.shape[-1] // 2
    wide = F.pad(x, (reach,) * 4, mode="reflect")
    rows = wide.flatten(0, 1)[None]  # (1, 3 B, …)
    y = F.conv2d(rows, kernels.repeat_interleave(3, 0)[:, None], groups=rows.shape[1])
    return y.view_as(x)


def _kernels(most: float, u: Tensor) -> Tensor:
    """Blurs (B, KERNEL_PX, KERNEL_PX), a half Gaussian, a half of straight motion.

    Args:
        most: px, the longest motion; the σ of a Gaussian is a sixth of it at most.
        u: (B, DRAWS) uniform in [0, 1).
    """
    moves, angle = u[:, 0] < 0.5, math.pi * u[:, 1]
    along = torch.where(moves, 1 + u[:, 2] * (most - 1), 0.5 + u[:, 2] * (most / 6 - 0.5))
    across = torch.where(moves, THINNEST_PX, 0.5 + u[:, 3] * (most / 6 - 0.5))
    return torch.where(moves[:, None, None], motion(along, angle), gaussian(along, across, angle))


def gaussian(along: Tensor, across: Tensor, angle: Tensor) -> Tensor:
    """Gaussian kernels (B, KERNEL_PX, KERNEL_PX) of two σ, px, the first at an angle, radians; (B,) each."""
    a, b = _turned(angle)
    return _of_sum_one(torch.exp(-((a / along[:, None, None]) ** 2 + (b / across[:, None, None]) ** 2) / 2))


def motion(length: Tensor, angle: Tensor) -> Tensor:
    """Kernels (B, KERNEL_PX, KERNEL_PX) of even motion along a line: its length, px, and angle, radians; (B,) each."""
    a, b = _turned(angle)
    half, soft = length[:, None, None] / 2, 2**0.5 * THINNEST_PX
    # a line that is as soft at its ends as across
    line = torch.erf((a + half) / soft) - torch.erf((a - half) / soft)
    return _of_sum_one(line * torch.exp(-((b / THINNEST_PX) ** 2) / 2))


def _turned(angle: Tensor) -> tuple[Tensor, Tensor]:
    """Distances along and across an angle from the centre of a kernel, (B, KERNEL_PX, KERNEL_PX) each."""
    at = torch.arange(KERNEL_PX, device=angle.device) - KERNEL_PX // 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    return cos * x + sin * y, cos * y - sin * x


def _of_sum_one(kernels: Tensor) -> Tensor:
    return kernels / kernels.sum((1, 2), keepdim=True)


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """What JPEG leaves of pictures (B, 3, H, W) in [-1, 1], with chrominance at half the size.

    ITU-T T.81: the steps of a baseline encoder and decoder without the lossless part. Tables are scaled by the quality
    (B,) from 1 to 100 as the library of the Independent JPEG Group does.
    """
    height, width = x.shape[2:]
    x = F.pad(x, (0, -width % 16, 0, -height % 16), mode="replicate")
    red, green, blue = ((rounded(x) + 1) * 127.5).unbind(1)
    y = 0.299 * red + 0.587 * green + 0.114 * blue - 128
    chroma = torch.stack([0.564 * (blue - y - 128), 0.713 * (red - y - 128)], 1)  # (B, 2, H, W)
    y = _quantised(y[:, None].round(), _table(LUMINANCE, quality))[:, 0]
    chroma = _quantised(F.avg_pool2d(chroma, 2).round(), _table(CHROMINANCE, quality))
    cb, cr = F.interpolate(chroma, scale_factor=2, mode="bilinear").round().unbind(1)
    y = (y + 128).round()
    colors = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
    return rounded(torch.stack(colors, 1) / 127.5 - 1)[:, :, :height, :width]


def _table(text: str, quality: Tensor) -> Tensor:
    """Steps of quantisation (B, 1, 1, 8, 1, 8) for blocks of rows and columns."""
    base = torch.tensor([float(word) for word in text.split()], device=quality.device).view(8, 8)
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = ((base * percent[:, None, None] + 50) / 100).floor().clamp(1, 255)
    return steps[:, None, None, :, None, :]


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes (B, C, H, W) in [-128, 128) after the discrete cosine transform of blocks, rounding to steps, and back."""
    count, channels, height, width = planes.shape
    at = torch.arange(8, device=planes.device, dtype=planes.dtype)
    cosine = torch.cos(math.pi * at[:, None] * (2 * at + 1) / 16) / 2  # (frequency, position)
    cosine[0] /= 2**0.5
    blocks = planes.view(count, channels, height // 8, 8, width // 8, 8)
    waves = torch.einsum("fy,bchywx,gx->bchfwg", cosine, blocks, cosine)
    waves = (waves / steps).round() * steps
    back = torch.einsum("fy,bchfwg,gx->bchywx", cosine, waves, cosine)
    return back.reshape(planes.shape).round().clamp(-128, 127)
