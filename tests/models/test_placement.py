"""Styles are painted in their places, and nowhere else."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from atelier.models.controls import Controls, Style
from atelier.models.painter import MaskedPainter, Painter
from atelier.models.placement import PlacedPainter, StylePlaces, guided_filter

PICTURE = np.zeros((4, 4, 3), np.uint8)


def flat(value: int) -> Painter:
    """Paints everything in one grey."""
    return lambda images: torch.full_like(images, value if images.dtype == torch.uint8 else value / 127.5 - 1)


def noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_labels_place_styles_softly_on_the_inner_side_only(dtype: torch.dtype) -> None:
    images = noise(600, 800)
    given = images if dtype == torch.uint8 else images / 127.5 - 1
    labels = torch.zeros(2, 600, 800, dtype=torch.uint8)
    labels[0, 100:500, 100:400], labels[0, 100:500, 400:700] = 1, 7
    labels[1, :, 500:] = 7
    labels[1, 50, :] = 5  # of no style
    masked = MaskedPainter([flat(0), flat(255)], [0.5, 0.5])
    painter = PlacedPainter(masked, StylePlaces([Style("a", label=1), Style("b", label=7)]))
    painted = painter(given, labels)
    outside = ~torch.isin(labels, torch.tensor([1, 7]))[:, None].expand(images.shape)
    assert torch.equal(painted[outside], given[outside])
    levels = painted if dtype == torch.uint8 else (painted + 1) * 127.5
    assert levels[0, :, 120:480, 120:380].max() <= 0.01
    assert levels[0, :, 120:480, 420:680].min() >= 254.9
    assert levels[1, :, 60:, 520:].min() >= 254.9
    border = levels[0, 0, 300, 98:110].float()
    assert (border[2:6] - images[0, 0, 300, 100:104].float()).abs().max() > 1, "it is painted right up to the border"
    assert border[-1] == 0
    seam = levels[0, 0, 300, 380:420].float()
    assert (seam.diff() >= -1e-3).all()
    assert seam.diff().max() < 100, "styles pass into each other"
    with pytest.raises(ValueError, match="no label picture"):
        painter(given)


def test_places_of_styles_are_of_one_kind() -> None:
    for styles, said in (
        ((Style("a", label=1), Style("b")), "give each style a label"),
        ((Style("a", label=1, mask=PICTURE[..., 0]),), "one of the three"),
    ):
        with pytest.raises(ValueError, match=said):
            Controls(styles=styles)
    with pytest.raises(ValueError, match="name them with --style IMAGE"):
        Controls(styles=(Style("storm"),), regions="auto")
    with pytest.raises(ValueError, match="have no weights"):
        Controls(styles=(Style("a", 1.0, PICTURE), Style("b", 2.0, PICTURE)), regions="auto")
    controls = Controls(styles=(Style("a", pixels=PICTURE),), regions="auto")
    assert controls.placed
    assert controls.changed()["regions"] == "auto"
    assert Controls(styles=(Style("a", label=3),)).changed()["styles"] == [{"name": "a", "weight": 1.0, "label": 3}]


def test_the_guided_filter_is_the_published_one() -> None:
    random = np.random.default_rng(0)
    guide, x = (random.random((60, 70), dtype=np.float32) for _ in range(2))
    wanted = cv2.ximgproc.guidedFilter(guide, x, 4, 0.01)
    found = guided_filter(*(torch.from_numpy(array)[None, None] for array in (guide, x)), 4, 0.01)[0, 0].numpy()
    inner = np.s_[8:-8, 8:-8]  # at the edges of a picture OpenCV continues it in another way
    np.testing.assert_allclose(found[inner], wanted[inner], atol=1e-4)
