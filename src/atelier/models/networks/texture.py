"""Texture for holes, borrowed from places that look alike when they are blurred.

Yi et al. 2020, "Contextual Residual Aggregation for Ultra High-Resolution Image Inpainting", section 3.2: what a smooth
filling lacks is the residual of sharp pictures over blurred ones, and a hole takes those of the places that it is most
like. What differs: a place is compared by its blurred colours, not by learned features, and takes the residual of the
nearest one alone, which keeps it sharp.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW_PX, HOP_PX = 16, 8  # sides and distances of the places
SIGMA_PX = 3.0  # of the blur
COLOUR_PX = 4  # side of the cells whose colours are compared
FAR = 2e-4  # what a distance of one hop squared counts, beside a squared difference of colours in [-1, 1]


@torch.no_grad()
def borrowed(filled: Tensor, hole: Tensor) -> Tensor:
    """Residuals (B, 3, H, W) to add to pictures whose hole (B, 1, H, W) is filled smoothly; 0 elsewhere.

    They are 0 everywhere where no place is without a hole. All is in float32: a residual is a small difference.
    """
    with torch.autocast(filled.device.type, enabled=False):
        blurred = _blurred(filled)
        residual = (filled - blurred) * (1 - hole)
        pairs = zip(*(torch.split(x, 1) for x in (blurred, residual, hole)), strict=True)
        return torch.cat([_borrowed(*each) for each in pairs]) * hole


def _borrowed(blurred: Tensor, residual: Tensor, hole: Tensor) -> Tensor:
    """The residuals of one picture (1, 3, H, W)."""
    height, width = blurred.shape[2:]
    margin = HOP_PX
    below, right = (-size % HOP_PX for size in (height, width))
    blurred, residual, hole = (
        F.pad(x, (margin, margin + right, margin, margin + below), mode="replicate") for x in (blurred, residual, hole)
    )
    size = (blurred.shape[2], blurred.shape[3])
    share = F.avg_pool2d(hole, WINDOW_PX, HOP_PX)[0, 0]  # (rows, columns) of places
    whole, cut = (share == 0).nonzero(), (share > 0).nonzero()  # (N, 2)
    if not len(whole) or not len(cut):
        return torch.zeros_like(residual)[:, :, margin : margin + height, margin : margin + width]
    cells = F.unfold(F.avg_pool2d(blurred, COLOUR_PX), WINDOW_PX // COLOUR_PX, stride=HOP_PX // COLOUR_PX)[0].T
    columns = share.shape[1]
    there, here = (places[:, 0] * columns + places[:, 1] for places in (whole, cut))
    unlike = torch.cdist(cells[here], cells[there]).square() / cells.shape[1]
    unlike += FAR * torch.cdist(cut.float(), whole.float()).square()
    windows = F.unfold(residual, WINDOW_PX, stride=HOP_PX)[0]  # (3 · WINDOW_PX², places)
    taken, used = torch.zeros_like(windows), torch.zeros_like(windows)
    hann = torch.hann_window(WINDOW_PX, periodic=False, device=windows.device) + 0.01
    weight = (hann[:, None] * hann).flatten().repeat(3)[:, None]
    taken[:, here] = windows[:, there[unlike.argmin(1)]] * weight
    used[:, here] = weight
    total, weights = (F.fold(x[None], size, WINDOW_PX, stride=HOP_PX) for x in (taken, used))
    return (total / weights.clamp(min=1e-6))[:, :, margin : margin + height, margin : margin + width]


def _blurred(x: Tensor) -> Tensor:
    """(B, C, H, W) after a Gaussian filter, with continued edges."""
    radius = int(3 * SIGMA_PX)
    weights = torch.exp(-(torch.arange(-radius, radius + 1, device=x.device) ** 2) / (2 * SIGMA_PX**2))
    weights = (weights / weights.sum()).expand(x.shape[1], 1, 1, -1)
    across = F.conv2d(F.pad(x, (radius, radius, 0, 0), mode="replicate"), weights, groups=x.shape[1])
    down = F.pad(across, (0, 0, radius, radius), mode="replicate")
    return F.conv2d(down, weights.transpose(2, 3), groups=x.shape[1])
