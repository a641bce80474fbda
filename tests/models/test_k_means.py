"""Clusters of points that lie around some."""

import torch

from atelier.models.k_means import k_means


def test_clusters_are_found_the_same_way_each_time() -> None:
    random = torch.Generator().manual_seed(1)
    truth = torch.randint(0, 4, (400,), generator=random)
    points = 5 * torch.eye(4)[truth] + 0.3 * torch.randn(400, 4, generator=random)
    found = k_means(points, 4, 3)
    assert len({(a, b) for a, b in zip(truth.tolist(), found.tolist(), strict=True)}) == 4
    assert torch.equal(found, k_means(points, 4, 3))
    assert len(k_means(points[:1].expand(9, 4), 4, 3).unique()) == 1, "points may all be the same"
