"""Clusters of pictures that differ by affine changes, and of points that no mean tells apart."""

import math

import torch
from torch import Tensor

from atelier.models.affine import DRAWS, affine
from atelier.models.clusters import SIDE, Clusters, affine_distances, downsized, spectral_clusters

SHAPES = 3
VERSIONS = 16


def shapes() -> Tensor:
    """A ring, a cross and a bar, each turned, slanted, stretched and moved in many ways: (48, 3, 32, 32)."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 2 * SIDE)] * 2, indexing="ij")
    radius = (x.square() + y.square()).sqrt()
    bar = (x.abs() < 0.12) & (y.abs() < 0.6)
    drawn = torch.stack([(radius - 0.45).abs() < 0.12, bar | bar.t(), bar]).float()
    of = drawn[:, None].expand(-1, 3, -1, -1).repeat_interleave(VERSIONS, 0)
    return affine(2 * of - 1, torch.rand(len(of), DRAWS, generator=torch.Generator().manual_seed(0)))


def changes(count: int) -> Tensor:
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(1))


def same_parts(found: Tensor, wanted: Tensor) -> bool:
    pairs = set(zip(found.tolist(), wanted.tolist(), strict=True))
    return len(pairs) == len(set(found.tolist())) == len(set(wanted.tolist()))


def test_affine_changes_bring_what_is_alike_together() -> None:
    pictures, rows = shapes(), range(SHAPES * VERSIONS)
    still, moved = (affine_distances(pictures, changes(count)) for count in (0, 32))
    assert torch.equal(moved, moved.t())
    assert moved.diagonal().isinf().all()
    assert (moved <= still).all()
    plain = torch.cdist(*[torch.nn.functional.avg_pool2d(pictures, 2).flatten(1)] * 2)
    torch.testing.assert_close(still[0, 1:], plain[0, 1:])
    right = [sum(int(of[row].argmin()) // VERSIONS == row // VERSIONS for row in rows) for of in (still, moved)]
    assert right[1] >= right[0]
    assert right[1] == len(rows)


def test_clusters_are_chains_of_neighbours() -> None:
    """A ring around another: their means are the same."""
    angle = torch.arange(120) * (2 * math.pi / 120)
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    points = torch.cat([ring, 3 * ring])[torch.randperm(240, generator=torch.Generator().manual_seed(2))]
    found = spectral_clusters(torch.cdist(points, points).fill_diagonal_(torch.inf), 2)
    assert same_parts(found, (points.norm(dim=1) > 2).long())


def test_shapes_are_clusters_and_any_picture_has_one() -> None:
    pictures = shapes()
    wanted = torch.arange(SHAPES).repeat_interleave(VERSIONS)
    clusters = Clusters(2 * len(pictures))
    clusters.fit(torch.cat([pictures, pictures]), changes(32), SHAPES)  # a small set repeats itself
    assert same_parts(clusters.labels, torch.cat([wanted, wanted]))
    assert torch.equal(clusters(pictures), clusters.labels[: len(pictures)])
    noisy = pictures + 0.05 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(3))
    assert torch.equal(clusters(noisy.repeat_interleave(2, 2).repeat_interleave(2, 3)), clusters(pictures))
    restored = Clusters(2 * len(pictures))
    restored.load_state_dict(clusters.state_dict())
    assert torch.equal(restored(noisy), clusters(noisy))


def test_fewer_pictures_than_clusters_are_one_each() -> None:
    clusters = Clusters(4)
    clusters.fit(downsized(shapes()[[0, 20, 0, 20]]), changes(2), 5)
    assert same_parts(clusters.labels, torch.tensor([0, 1, 0, 1]))
