"""k-means: Lloyd 1982, begun as k-means++: Arthur & Vassilvitskii 2007, "The Advantages of Careful Seeding"."""

import torch
from torch import Tensor
from torch.nn import functional as F

ITERATIONS = 25


def k_means(points: Tensor, count: int, attempts: int) -> Tensor:
    """The clusters of points (N, C), up to `count`: their numbers (N), the best of a few seeded attempts."""
    random = torch.Generator().manual_seed(0)
    points = points.double()
    best, least = torch.zeros(len(points), dtype=torch.int64), float("inf")
    for _ in range(attempts):
        centres = _begin(points, count, random)
        for _ in range(ITERATIONS):
            distances, labels = torch.cdist(points, centres).min(1)
            members = F.one_hot(labels, len(centres)).T.double()  # (k, N)
            total = members.sum(1, keepdim=True)
            centres = torch.where(total > 0, members @ points / total.clamp(min=1), centres)
        if (error := distances.square().sum().item()) < least:
            best, least = labels, error
    return best


def _begin(points: Tensor, count: int, random: torch.Generator) -> Tensor:
    """The first centres of k-means++ (k, C): each a point, drawn by its squared distance from those before."""
    chosen = [int(torch.randint(len(points), (1,), generator=random))]
    while len(chosen) < count:
        squares = torch.cdist(points, points[chosen]).min(1).values.square()
        if squares.sum() < 1e-12:
            break
        chosen.append(int(torch.multinomial(squares, 1, generator=random)))
    return points[chosen]
