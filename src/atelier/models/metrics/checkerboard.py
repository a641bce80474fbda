"""Whether a generator leaves its upsampling's grid in the pictures: narrow peaks in the spectrum, at periods 2 and 4.

Odena et al. 2016, "Deconvolution and Checkerboard Artifacts"; Zhang et al. 2019, arXiv:1907.06515, section 3, for the
spectrum.
"""

import torch
from torch import Tensor

FAINTEST = 0.5 / 255  # amplitude of a grid that rounding to 8 bits hides
REACH = 4  # bins around a peak that it is compared with; its next neighbours are left out, the window smears into them


def checkerboard(luminance: Tensor) -> float:
    """How far the grid frequencies stand out of their surroundings in the mean spectrum of a set.

    The frequencies are those of the periods 2 and 4 pixels along x, along y and along both. Photographs saved as JPEG
    show some of it themselves, so compare with theirs.

    Args:
        luminance: (B, 1, H, W) in [0, 1], H and W of at least 32; what is over a multiple of 4 is cut off.

    Returns:
        Largest ratio of amplitude at a grid frequency to the median around it, or to `FAINTEST` where that is more:
        about 1 or less without a grid that could be seen.
    """
    height, width = (side // 4 * 4 for side in luminance.shape[-2:])
    if min(height, width) < 32:
        raise ValueError(f"the spectrum needs at least 32 pixels a side, there are {tuple(luminance.shape[-2:])}")
    images = luminance[:, 0, :height, :width].double()
    images = images - images.mean(dim=(1, 2), keepdim=True)
    # without the window, borders that do not match spread along the axes, over the very bins looked at
    window = torch.hann_window(height, dtype=images.dtype, device=images.device)[:, None]
    window = window * torch.hann_window(width, dtype=images.dtype, device=images.device)
    power = torch.fft.fft2(images * window).abs().square().mean(0)  # (H, W)
    floor = float((FAINTEST / 2 * window.sum()).square())  # power of a sinusoid of that amplitude in one bin
    near = torch.arange(-REACH, REACH + 1, device=images.device)
    outer = (near[:, None].abs() > 1) | (near.abs() > 1)
    scores = []
    for period in (2, 4):
        for fy, fx in ((0, width // period), (height // period, 0), (height // period, width // period)):
            around = power[(fy + near)[:, None] % height, (fx + near) % width]  # (2 REACH + 1, 2 REACH + 1)
            scores.append(around[REACH, REACH] / around[outer].median().clamp_min(floor))
    return float(torch.stack(scores).max().sqrt())
