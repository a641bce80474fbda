"""An object is put into pictures: nothing else changes, it keeps its colours, and its outline is soft."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from atelier.models import compositing
from atelier.models.boxes import parsed_point
from atelier.models.compositing import SEAM_PX, composite
from atelier.models.controls import Controls, check_controls
from atelier.models.filling import FillingPainter, insert
from atelier.models.insertion import Insertion, parsed_scale
from atelier.models.methods.inpaint import Inpaint
from atelier.models.networks.inpainter import Inpainter
from atelier.models.pixels import to_float
from tests.models.test_inpaint import network, noise
from tests.models.tiny import assert_precision_is_kept


def disc(side: int, colour: tuple[int, int, int] = (220, 40, 30), **place: Any) -> Insertion:
    """A round object with a soft edge."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    alpha = np.clip(side / 2 - np.hypot(x, y), 0, 1)
    pixels = np.broadcast_to(np.uint8(colour), (side, side, 3))
    return Insertion("disc.png", "0" * 64, pixels, (255 * alpha).astype(np.uint8), **place)


def grown(place: np.ndarray) -> Tensor:
    return compositing._grown(torch.from_numpy(place)[None, None].float(), SEAM_PX)[0, 0] > 0


@pytest.mark.parametrize("at", ["50%,50%", "0,10", "-3,-3"])
def test_nothing_else_changes(at: str) -> None:
    picture, object_ = noise(90, 120), disc(40, at=at)
    paint = FillingPainter(network(), insertion=object_)
    rows, columns = object_.place(90, 120)
    placed = np.zeros((90 + 120, 120 + 120), np.uint8)  # of the picture, with 60 px more on each side
    placed[rows.start + 60 : rows.stop + 60, columns.start + 60 : columns.stop + 60] = object_.alpha
    alpha = placed[60:-60, 60:-60]
    for given in (picture, to_float(picture, picture.device)):
        painted = paint(given)
        assert (painted.shape, painted.dtype) == (given.shape, given.dtype)
        same = (painted == given).all(1)[0]
        assert same[~grown(alpha > 0)].all()
        assert same[torch.from_numpy(alpha == 255)].float().mean() < 0.1
    assert_precision_is_kept(paint, picture)


def test_a_red_ball_stays_red_and_its_edge_is_softer_than_pasted() -> None:
    grass = torch.tensor([60, 140, 50])[:, None, None] + torch.randint(
        -12, 13, (3, 120, 120), generator=torch.Generator().manual_seed(0)
    )
    picture, object_ = grass.to(torch.uint8)[None], disc(60)
    pasted, made = picture.clone(), picture.clone()
    insert(Inpainter(4, 8, 2).eval(), made, object_)  # which fills smoothly
    rows, columns = object_.place(120, 120)
    share = torch.from_numpy(object_.alpha.copy()) / 255
    own = pasted[..., rows, columns]
    own.copy_(torch.lerp(own.float(), torch.tensor([220.0, 40, 30])[:, None, None].expand(3, 60, 60), share).round())
    assert (made[0, :, 60, 60].float() - torch.tensor([220, 40, 30])).abs().max() < 35, "only its light is matched"
    hue = made[0, :, 60, 60] / made[0, :, 60, 60].max()
    torch.testing.assert_close(hue, torch.tensor([1, 40 / 220, 30 / 220]), atol=0.03, rtol=0)
    across, straight = made[0, :, 60].float().diff().square(), pasted[0, :, 60].float().diff().square()
    assert across[:, 24:36].sum() < 0.6 * straight[:, 24:36].sum()
    night = FillingPainter(network(), insertion=object_)(picture // 8)
    assert 0.8 * 220 < night[0, 0, 60, 60] < 0.9 * 220, "darker, within bounds"


def test_hairs_keep_their_colour() -> None:
    """What is thin has no inside to continue, and no seam."""
    alpha = np.zeros((41, 41), np.uint8)
    alpha[:, 20] = alpha[20] = 255
    hair = replace(disc(41), alpha=alpha)
    picture = torch.full((1, 3, 80, 80), 200, dtype=torch.uint8)
    insert(network(), picture, hair)
    assert picture[0, 1, 40, 40] < 70
    assert (picture[0, :, 30, 30] == 200).all()


def test_tiles_join(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, object_ = noise(260, 300), disc(110, at="140,120", scale="2")
    whole = composite(picture, object_)
    monkeypatch.setattr(compositing, "TILE_PX", 64)
    tiled = composite(picture, object_)
    assert torch.equal(tiled.seam, whole.seam)
    assert torch.equal(tiled.changed, whole.changed)
    torch.testing.assert_close(tiled.pixels, whole.pixels, atol=3e-3, rtol=0)


def test_an_object_may_cover_the_picture() -> None:
    picture, object_ = noise(30, 30), replace(disc(30), alpha=np.full((30, 30), 255, np.uint8))
    insert(network(), picture, object_)
    assert (picture[0].flatten(1) == torch.tensor([[220], [40], [30]])).all()


def test_where_objects_go() -> None:
    assert disc(10, at="-20,50%").place(100, 200) == (slice(45, 55), slice(175, 185))
    assert disc(10, at="0,-0.5", scale="200%").place(1000, 4)[1] == slice(-4, 4)
    assert disc(10, at="50%,50%", scale="20%").place(100, 200) == (slice(30, 70), slice(80, 120))
    for place, size, told in (
        ({"at": "205,3"}, (100, 200), "outside of the picture, which has 200 × 100 pixels"),
        ({"scale": "20"}, (100, 200), "would have 200 × 200 pixels, more than the picture, which has 200 × 100"),
    ):
        with pytest.raises(ValueError, match=re.escape(told)):
            composite(noise(*size), disc(10, **place))
    corner = disc(40, at="-1,-1")  # of a round thing
    for wrong in ("5", "5,6,7", "a,b", "", "1e3,4", "5%,"):
        with pytest.raises(ValueError, match="a place is X,Y"):
            parsed_point(wrong)
    for wrong in ("0", "-1", "nan", "1e9", "101", "10001%", "1,2", ""):
        with pytest.raises(ValueError, match="a scale is a factor"):
            parsed_scale(wrong)
    assert parsed_scale("0.5") == (0.5, False)
    assert corner.in_pixels
    assert disc(9).in_pixels
    assert not disc(9, scale="5%").in_pixels


def test_only_what_fills_holes_adds_objects() -> None:
    check_controls(Inpaint.Config, Controls(insert=disc(8)))
    assert Controls(insert=disc(8, at="1,2")).changed() == {
        "insert": {"name": "disc.png", "sha256": "0" * 64, "at": "1,2", "scale": "1"}
    }
    picture = noise(64, 64)
    both = FillingPainter(network(), insertion=disc(20))(picture, torch.ones(1, 64, 64))
    assert not (both == picture).all(1).any(), "holes are filled first"
