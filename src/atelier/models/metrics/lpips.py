"""How different two pictures look: LPIPS, Zhang et al. 2018, arXiv:1801.03924, eq. (1), version 0.1 of its weights."""

import torch
from torch import Tensor

from atelier.models.encoders.calibrated import Calibrated

SMALLEST = 32  # pixels a side that every encoder with heads takes
EPSILON = 1e-10


def embed(encoder: Calibrated, pictures: Tensor) -> Tensor:
    """Points whose squared Euclidean distance is LPIPS.

    The metric is Σ over layers of the mean over positions of Σ over channels of w (x̂ - ŷ)², where x̂ is the feature at a
    position divided by its length. No weight w is negative, so √w, which is the paper's w, goes into the point.

    Args:
        encoder: `alexnet`, as scores are usually given, or `vgg16`.
        pictures: (B, 3, H, W) in [0, 1], H and W of at least `SMALLEST`.

    Returns:
        (B, D) float32.
    """
    if min(pictures.shape[-2:]) < SMALLEST:
        raise ValueError(f"LPIPS needs pictures of at least {SMALLEST} pixels a side, not {tuple(pictures.shape[-2:])}")
    features = encoder(pictures)
    points = []
    for name, head in encoder.heads.items():
        feature = features[name].float()
        unit = feature / (feature.norm(dim=1, keepdim=True) + EPSILON)  # (B, C, h, w)
        weight = (head / (feature.shape[2] * feature.shape[3])).sqrt()
        points.append((unit * weight[:, None, None]).flatten(1))
    return torch.cat(points, dim=1)


def lpips(encoder: Calibrated, x: Tensor, y: Tensor) -> Tensor:
    """LPIPS of each pair (B,), see `embed`: 0 for equal pictures, around 0.7 for unrelated photographs in `alexnet`."""
    return (embed(encoder, x) - embed(encoder, y)).square().sum(1)
