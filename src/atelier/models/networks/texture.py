"""Texture for holes, borrowed from places of the picture that look alike.

Yi et al. 2020, "Contextual Residual Aggregation for Ultra High-Resolution Image Inpainting", section 3.2: what a smooth
filling lacks is the residual of sharp pictures over blurred ones, and a hole takes those of the places that it is most
like. What differs: places are compared as in Criminisi et al. 2004, "Region Filling and Object Removal by
Exemplar-Based Image Inpainting", section III, by the pixels that are known, and in the hole by what is smooth, not by
learned features; and the residual of the nearest one alone is taken, which keeps it sharp.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW_PX, HOP_PX = 16, 8  # sides and distances of the places
SIGMA_PX = 3.0  # of the blur
KNOWN = 8.0  # what a squared difference of known pixels counts, beside one of smooth ones
AGAIN, COHERENT = 10.0, 0.02  # the same for what a near place has taken, and for what goes on beside that
BEFORE = (0, 1), (0, 2), (1, 0), (1, 1), (1, -1), (2, 0), (1, 2), (1, -2), (2, 1), (2, -1)  # places, up and left
FAR = 1e-3  # what a distance of one hop squared counts, beside the mean squared difference of values in [-1, 1]


@torch.no_grad()
def borrowed(filled: Tensor, hole: Tensor) -> Tensor:
    """Residuals (B, 3, H, W) to add to pictures whose hole (B, 1, H, W) is filled smoothly; 0 elsewhere.

    They are 0 everywhere where no place is without a hole. All is in float32: a residual is a small difference.
    """
    with torch.autocast(filled.device.type, enabled=False):
        pairs = zip(*(torch.split(x, 1) for x in (filled, _blurred(filled), hole)), strict=True)
        return torch.cat([_borrowed(*each) for each in pairs]) * hole


def _borrowed(filled: Tensor, blurred: Tensor, hole: Tensor) -> Tensor:
    """The residuals of one picture (1, 3, H, W)."""
    height, width = filled.shape[2:]
    margin = HOP_PX
    below, right = (-size % HOP_PX for size in (height, width))
    filled, blurred, hole = (
        F.pad(x, (margin, margin + right, margin, margin + below), mode="replicate") for x in (filled, blurred, hole)
    )
    size = (filled.shape[2], filled.shape[3])
    open_ = F.avg_pool2d(hole, WINDOW_PX, HOP_PX).flatten()  # share of each place that is hole
    there, here = (open_ == 0).nonzero()[:, 0], (open_ > 0).nonzero()[:, 0]
    taken = torch.zeros(len(open_), 3 * WINDOW_PX**2, device=filled.device)
    used = torch.zeros_like(taken)
    if len(there) and len(here):
        sharp, smooth = _windows(filled), _windows(blurred)
        known = 1 - _windows(hole.expand_as(filled))[here]
        unlike = KNOWN * _squares(sharp[here], sharp[there], known) + _squares(smooth[here], smooth[there], 1 - known)
        columns = (size[1] - WINDOW_PX) // HOP_PX + 1
        at = torch.stack([torch.arange(len(open_)) // columns, torch.arange(len(open_)) % columns], 1).float()
        far = torch.cdist(at[here.cpu()], at[there.cpu()]).square().to(filled.device)
        nearest = _chosen(unlike / taken.shape[1] + FAR * far, here, there, columns, len(open_))
        hann = torch.hann_window(WINDOW_PX, periodic=False, device=filled.device) + 0.01
        used[here] = (hann[:, None] * hann).flatten().repeat(3)
        taken[here] = used[here] * (sharp - smooth)[nearest]
    total, weights = (F.fold(x.T[None], size, WINDOW_PX, stride=HOP_PX) for x in (taken, used))
    return (total / weights.clamp(min=1e-6))[:, :, margin : margin + height, margin : margin + width]


def _chosen(unlike: Tensor, here: Tensor, there: Tensor, columns: int, places: int) -> Tensor:
    """The place that each place of `here` (N) takes from, of `there` (M), by how unlike they are (N, M); row by row.

    What goes on beside what a neighbour has taken is preferred, as in Ashikhmin 2001, "Synthesizing Natural Textures",
    and what near ones have taken is not taken again, which would be a lattice.
    """
    costs, order = unlike.cpu().numpy(), np.full(places, -1)
    order[there.cpu().numpy()] = np.arange(len(there))
    taken = np.full(places, -1)
    for cost, place in zip(costs, here.tolist(), strict=True):
        for down, across in BEFORE:
            if not (place >= down * columns and 0 <= place % columns - across < columns):
                continue
            step = down * columns + across
            if (theirs := taken[place - step]) < 0:
                continue
            cost[order[theirs]] += AGAIN
            if down <= 1 and abs(across) <= 1 and theirs + step < places and (next_one := order[theirs + step]) >= 0:
                cost[next_one] -= COHERENT
        taken[place] = there[int(cost.argmin())]
    return torch.from_numpy(taken)[here.cpu()].to(there.device)


def _windows(x: Tensor) -> Tensor:
    """The places (N, C · WINDOW_PX²) of (1, C, H, W)."""
    return F.unfold(x, WINDOW_PX, stride=HOP_PX)[0].T


def _squares(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Sums (N, M) of the squared differences of x (N, K) and y (M, K), weighted for each x by (N, K)."""
    weighted = weight * x
    return (weighted * x).sum(1, keepdim=True) - 2 * weighted @ y.T + weight @ y.square().T


def _blurred(x: Tensor) -> Tensor:
    """(B, C, H, W) after a Gaussian filter, with continued edges."""
    radius = int(3 * SIGMA_PX)
    weights = torch.exp(-(torch.arange(-radius, radius + 1, device=x.device) ** 2) / (2 * SIGMA_PX**2))
    weights = (weights / weights.sum()).expand(x.shape[1], 1, 1, -1)
    across = F.conv2d(F.pad(x, (radius, radius, 0, 0), mode="replicate"), weights, groups=x.shape[1])
    down = F.pad(across, (0, 0, radius, radius), mode="replicate")
    return F.conv2d(down, weights.transpose(2, 3), groups=x.shape[1])
