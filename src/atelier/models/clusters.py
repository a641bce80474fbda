"""Clusters of pictures that are alike after affine changes: spectral clustering of the graph of nearest neighbours.

Ng, Jordan & Weiss 2002, "On Spectral Clustering: Analysis and an Algorithm", with the local scales of Zelnik-Manor &
Perona 2005, "Self-Tuning Spectral Clustering", and with twice as many eigenvectors as clusters, weighted as in Coifman
& Lafon 2006, "Diffusion Maps", equation 10: as many as clusters, equally, split digits at random. Nobody says what a
cluster is: pictures are in one if chains of small steps lead from each to each.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.affine import affine
from atelier.models.k_means import k_means

SIDE = 16  # px, of the pictures that are compared
NEIGHBOURS = 8  # of each picture in the graph
DIFFUSION = 8  # steps t of a random walk, whose distances are compared
ITERATIONS = 100  # of the eigenvectors
ATTEMPTS = 30  # of k-means: some end with a cluster in two and another two in one
TINY = 1e-12


def affine_distances(pictures: Tensor, draws: Tensor) -> Tensor:
    """Least Euclidean distance of each picture and each other one, as they are and after affine changes of either.

    Args:
        pictures: (N, 3, 2 SIDE, 2 SIDE): what is changed has detail to spare.
        draws: (K, `affine.DRAWS`), the changes that are tried.

    Returns:
        (N, N), symmetric; its diagonal is infinite.
    """
    still = _rows(pictures)
    found = torch.cdist(still, still)
    for draw in draws:
        moved = _rows(affine(pictures, draw.expand(len(pictures), -1)))
        found = torch.minimum(found, torch.cdist(moved, still))
    return torch.minimum(found, found.t()).fill_diagonal_(torch.inf)


def downsized(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) to (N, 3, 2 SIDE, 2 SIDE)."""
    return F.adaptive_avg_pool2d(pictures, 2 * SIDE)


def _rows(pictures: Tensor) -> Tensor:
    """(N, 3, 2 SIDE, 2 SIDE) as numbers (N, 3 · SIDE²)."""
    return F.adaptive_avg_pool2d(pictures, SIDE).flatten(1)


def spectral_clusters(distances: Tensor, count: int) -> Tensor:
    """The cluster of each picture, (N,) from 0 to below `count`.

    Args:
        distances: (N, N), of which an infinite one is never a neighbour's.
    """
    total = len(distances)
    if total <= count:
        return torch.arange(total)
    lengths, near = distances.topk(min(NEIGHBOURS, total - 1), largest=False)  # (N, k)
    scales = lengths[:, -1:]
    weights = torch.exp(-lengths.square() / (scales * scales[near, 0]).clamp(min=TINY))
    rows = torch.arange(total)[:, None].expand_as(near)
    both = torch.stack([torch.cat([rows, near]).flatten(), torch.cat([near, rows]).flatten()])
    values = torch.cat([weights, weights]).flatten()
    graph = torch.sparse_coo_tensor(both, values, (total, total), check_invariants=True).coalesce()
    roots = torch.sparse.sum(graph, 1).to_dense().clamp(min=TINY).rsqrt()
    return k_means(F.normalize(_diffused(graph, roots, min(2 * count, total))), count, ATTEMPTS)


def _diffused(graph: Tensor, roots: Tensor, width: int) -> Tensor:
    """The first eigenvectors of D^-½ W D^-½, (N, width), times λᵗ: by orthogonal iteration and Rayleigh-Ritz."""

    def applied(x: Tensor) -> Tensor:
        # the half with the identity has no negative eigenvalues
        product: Tensor = torch.sparse.mm(graph, roots[:, None] * x)
        return (x + roots[:, None] * product) / 2

    x = torch.randn(len(roots), width, generator=torch.Generator().manual_seed(0))
    for _ in range(ITERATIONS):
        x = torch.linalg.qr(applied(x)).Q
    values, inner = torch.linalg.eigh(x.t() @ applied(x))
    return torch.mul(x @ inner, (2 * values - 1).clamp(min=0) ** DIFFUSION)


class Clusters(nn.Module):
    """The clusters of some pictures, and of any other by the nearest of them; a checkpoint holds them.

    Args:
        pictures: number of those that are clustered.
    """

    pictures: Tensor
    labels: Tensor

    def __init__(self, pictures: int) -> None:
        super().__init__()
        self.register_buffer("pictures", torch.zeros(pictures, 3 * SIDE**2))
        self.register_buffer("labels", torch.zeros(pictures, dtype=torch.long))

    def fit(self, pictures: Tensor, draws: Tensor, count: int) -> None:
        """Cluster as many pictures as were announced; arguments as of `affine_distances`."""
        # a small set repeats itself
        single, index = torch.unique(pictures, dim=0, return_inverse=True)
        self.labels.copy_(spectral_clusters(affine_distances(single, draws).cpu(), count)[index.cpu()])
        self.pictures.copy_(_rows(pictures))

    def forward(self, pictures: Tensor) -> Tensor:
        """The cluster (B,) of each picture (B, 3, H, W)."""
        return self.labels[torch.cdist(_rows(downsized(pictures)), self.pictures).argmin(1)]
