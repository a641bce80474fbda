"""A loss on what repeats: a texture shall not be a lattice."""

import torch
from torch import Tensor

WINDOW, HOP = 64, 32  # px
LONGEST = 13  # px, period of what counts: coarser things belong to the picture
LAGS = (12.0, 32.0)  # px: neighbouring strokes may lie as they like, but not strokes after strokes
ALLOWED = 0.05  # of the autocorrelation, which any texture has


def repetition_loss(painted: Tensor, content: Tensor) -> Tensor:
    """Squares of the peaks of the autocorrelation, summed over lags, mean over pictures; those of the content are free.

    Ours; the autocorrelation is that of Sendik & Cohen-Or 2017, "Deep Correlations for Texture Synthesis", equation 3,
    of pixels instead of features, and to be avoided instead of to be met. Gram matrices do not see whether marks lie in
    rows. As in `metrics.repetition`, a peak is what exceeds the value at half its lag: a long stroke has none.

    Args:
        painted: (B, 3, H, W) in [-1, 1].
        content: (B, 3, H, W), the pictures they were painted from.

    Returns:
        0 to about 1; 0 of pictures with a side below `WINDOW`.
    """
    if min(painted.shape[2:]) < WINDOW:
        return painted.new_zeros(())
    peaks = _peaks(painted)
    with torch.no_grad():
        allowed = _peaks(content).clamp_min(ALLOWED)
    return (peaks - allowed).relu().square().sum(1).mean()


def _peaks(pictures: Tensor) -> Tensor:
    """Of (B, 3, H, W): (B, lags), how much the autocorrelation at each lag exceeds that at half of it."""
    hann = torch.hann_window(WINDOW, periodic=False, dtype=pictures.dtype, device=pictures.device)
    windows = pictures.unfold(2, WINDOW, HOP).unfold(3, WINDOW, HOP)  # (B, 3, h, w, WINDOW, WINDOW)
    windows = (windows - windows.mean((4, 5), keepdim=True)) * (hann[:, None] * hann)
    power = torch.fft.fft2(windows).abs().square().sum(1).flatten(1, 2)  # (B, windows, WINDOW, WINDOW)
    axis = torch.fft.fftfreq(WINDOW, device=pictures.device)
    power = power * (torch.hypot(axis[:, None], axis) >= 1 / LONGEST)
    power = (power / power.sum((2, 3), keepdim=True).clamp_min(1e-8)).mean(1)  # (B, WINDOW, WINDOW)
    correlation = WINDOW**2 * torch.fft.ifft2(power).real
    even = torch.arange(2 - WINDOW // 2, WINDOW // 2, 2, device=pictures.device)  # half of a lag is a place, too
    down, right = (lags.flatten() for lags in torch.meshgrid(even, even[even >= 0], indexing="ij"))
    far = torch.hypot(down.float(), right.float())
    inside = (far >= LAGS[0]) & (far <= LAGS[1])
    down, right = down[inside], right[inside]
    halfway = correlation[:, down // 2, right // 2].clamp_min(0)
    peaks: Tensor = correlation[:, down, right] - halfway
    return peaks
