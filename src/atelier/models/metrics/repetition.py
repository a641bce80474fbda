"""Whether a generator fills plain areas with a pattern that repeats: rows of dots, checkerboards, weaves.

What was painted (output - input) is taken where the input is plain, such as skies and skin, in overlapping windows, at
several scales. Its mean power spectrum (Welch 1967) is divided by the local median around each frequency, as in
`checkerboard`, but at every frequency; the inverse transform of the rest is an autocorrelation without what any texture
has: brush strokes of one width or direction make broad humps in the spectrum, which the median takes out, and only what
repeats over many periods makes peaks.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.pixels import luminance

VISIBLE = 0.35  # score over which people see the pattern, see docs/metrics.md

WINDOW, HOP = 64, 16  # px
SCALES = 3  # full size, half, quarter
PERIODS = ((2, 13), (4, 13))  # px at each scale; the second band, so that fine texture does not dilute large dots
PLAIN = 0.03  # standard deviation of the luminance around a pixel in a plain area, at most
AROUND = 9  # side of that neighbourhood, px
SHARE = 0.8  # of a window that is plain, at least
FAINTEST = 0.5 / 255  # standard deviation of a pattern that rounding to 8 bits hides
RING = (2.0, 5.0)  # radii of the neighbourhood of a frequency, in bins; the window smears peaks over the nearest ones


def repetition(before: Tensor, after: Tensor) -> Tensor:
    """How much of what was painted into plain areas repeats, picture by picture.

    Args:
        before: (B, 3, H, W) in [0, 1].
        after: the same, painted.

    Returns:
        (B,): the largest autocorrelation at lags of at least 2 px, of all scales: about 0.1 where nothing
        repeats, 1 where nothing else is there. NaN of a picture without a plain area of `WINDOW` px.
    """
    plain, painted = plain_areas(before), after - before
    scores: list[Tensor] = []
    while len(scores) < SCALES and min(plain.shape[1:]) >= WINDOW:
        scores.append(torch.stack([_peak(_spectrum(*one)) for one in zip(painted, plain, strict=True)]))
        plain, painted = F.avg_pool2d(plain, 2), F.avg_pool2d(painted, 2)
    if not scores:
        return torch.full((len(before),), torch.nan)
    best = torch.stack(scores).nan_to_num(-torch.inf).amax(0)  # (B,)
    return torch.where(best.isfinite(), best, torch.nan)


def _spectrum(painted: Tensor, plain: Tensor) -> Tensor:
    """The mean power spectrum (WINDOW, WINDOW) over windows of one picture, of which each counts the same.

    Args:
        painted: (3, H, W).
        plain: (H, W), from 1 in plain areas to 0.

    Returns:
        The sum over colours, with the periods of the first of `PERIODS`; all NaN where no window is plain.
    """
    hann = torch.hann_window(WINDOW, periodic=False, dtype=painted.dtype, device=painted.device)
    taper = hann[:, None] * hann
    windows = plain.unfold(0, WINDOW, HOP).unfold(1, WINDOW, HOP)  # (h, w, WINDOW, WINDOW)
    rows, columns = ((windows * taper).sum((2, 3)) >= SHARE * taper.sum()).nonzero(as_tuple=True)
    if not len(rows):
        return torch.full_like(taper, torch.nan)
    mask = (windows[rows, columns] * taper)[:, None]  # (n, 1, WINDOW, WINDOW)
    pixels = painted.unfold(1, WINDOW, HOP).unfold(2, WINDOW, HOP)[:, rows, columns].transpose(0, 1)
    mean = (pixels * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True)
    power = torch.fft.fft2((pixels - mean) * mask).abs().square().sum(1)  # (n, WINDOW, WINDOW)
    power = power / mask.square().sum((1, 2, 3))[:, None, None] + 3 * FAINTEST**2
    power = power * _band(painted, PERIODS[0])
    mean_power: Tensor = (power / power.sum((1, 2), keepdim=True)).mean(0)
    return mean_power


def _peak(power: Tensor) -> Tensor:
    """The largest peak of the autocorrelation of a spectrum (WINDOW, WINDOW), after each bin lost its surroundings."""
    if power.isnan().any():
        return power[0, 0]
    steps = torch.arange(-int(RING[1]), int(RING[1]) + 1)
    distance = torch.hypot(steps[:, None].float(), steps.float())
    ring = ((distance >= RING[0]) & (distance <= RING[1])).nonzero() - int(RING[1])
    known = torch.where(power > 0, power, torch.nan)
    around = torch.stack([known.roll((int(down), int(right)), (0, 1)) for down, right in ring], 2)
    ratio = torch.where(power > 0, power / around.nanmedian(2).values, 0.0)
    lags = torch.hypot(*_bins(power, WINDOW))  # px
    peaks = []
    for band in PERIODS:
        inside = _band(power, band)
        at, halfway = _autocorrelation(torch.where(inside, ratio - 1, 0.0))
        heights = (at - halfway.clamp_min(0)) / torch.where(inside, ratio, 0.0).mean()
        peaks.append(heights[(lags >= band[0]) & (lags <= WINDOW / 2)].max())
    return torch.stack(peaks).max()


def _autocorrelation(power: Tensor) -> tuple[Tensor, Tensor]:
    """The autocorrelation of a spectrum (WINDOW, WINDOW) at each lag, and halfway to it.

    A long stroke correlates with itself at all lags along it; what repeats has a valley before its peak.
    """
    fine = F.pad(torch.fft.fftshift(power), (WINDOW // 2,) * 4)  # lags of half pixels
    correlation = 4 * torch.fft.ifft2(torch.fft.ifftshift(fine)).real  # (2 WINDOW, 2 WINDOW)
    halves = torch.fft.fftfreq(WINDOW, 1 / WINDOW, device=power.device).long()
    return correlation[::2, ::2], correlation[halves[:, None], halves]


def plain_areas(pictures: Tensor) -> Tensor:
    """Where pictures (B, 3, H, W) are plain: (B, H, W), 1 or 0."""
    light = F.pad(luminance(pictures), (AROUND // 2,) * 4, mode="reflect")
    mean, square = (F.avg_pool2d(x, AROUND, 1) for x in (light, light.square()))
    return ((square - mean.square()).clamp_min(0).sqrt() < PLAIN)[:, 0].float()


def _band(like: Tensor, periods: tuple[int, int]) -> Tensor:
    """The frequencies (WINDOW, WINDOW) of periods from the first, along an axis, to the second, in any direction."""
    y, x = _bins(like, 1.0)
    return (torch.hypot(y, x) >= 1 / periods[1]) & (torch.maximum(y.abs(), x.abs()) <= 1 / periods[0])


def _bins(like: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Down and right from a transform's origin: cycles a pixel with a unit of 1, pixels with one of WINDOW."""
    axis = torch.fft.fftfreq(WINDOW, 1 / unit, dtype=like.dtype, device=like.device)
    return axis[:, None], axis
