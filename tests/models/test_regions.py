"""Regions of pictures that are known, and what they are matched to."""

import torch

from atelier.models.regions import LEAST, Regions, match, without_small


def test_small_regions_belong_to_the_nearest_larger_one() -> None:
    count = round(1 / LEAST) * 10
    points = torch.arange(count)[:, None].float()
    labels = torch.full((count,), 4)
    labels[: count // 2], labels[-5:] = 1, 3
    found = without_small(points, labels)
    assert found.tolist() == [0] * (count // 2) + [1] * (count - count // 2)
    assert without_small(points[:3], torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


def test_a_region_is_matched_to_the_nearest_of_all_styles() -> None:
    def regions(*means: tuple[float, float]) -> Regions:
        values = torch.tensor(means)
        return Regions(torch.zeros(1, 1, dtype=torch.int64), values, values.mean(0))

    content = regions((0, 0), (4, 0), (0.5, 0))
    first, second = regions((9, 9), (0, 0.2)), regions((4.2, 0), (0, 9))
    assert match(content, [first, second]).tolist() == [1, 2, 1]
