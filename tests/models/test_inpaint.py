"""Holes are filled, nothing else changes, and what is drawn is a function of the place in the training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.boxes import parsed
from atelier.models.configs.style_statistics import CinConfig
from atelier.models.controls import Controls, check_controls
from atelier.models.filling import TILE_PX, WIDEST_PX, FillingPainter
from atelier.models.holes import NUMBERS, drawn_holes
from atelier.models.methods.inpaint import Inpaint
from atelier.models.networks.inpainter import Inpainter, smooth
from atelier.models.networks.texture import borrowed
from atelier.models.random_draws import uniform
from tests.models.tiny import INPAINT, TRAINING, assert_precision_is_kept, batches, ignore, trainer


def network() -> Inpainter:
    """One that paints something."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Inpainter(4, 8, 2)
        torch.nn.init.normal_(made.draw.weight, std=0.2)
    return made.eval()


def noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_holes_are_strokes_and_boxes_of_a_tenth_to_half_of_the_picture() -> None:
    holes = drawn_holes(uniform(0, 5, 0, 40, NUMBERS, 0), 96, 128)
    assert holes.shape == (40, 1, 96, 128)
    assert set(holes.unique().tolist()) == {0, 1}
    shares = holes.mean((1, 2, 3))
    assert shares.min() > 0.03
    assert 0.15 < shares.mean() < 0.4
    assert shares.max() < 0.7
    later = drawn_holes(uniform(0, 5, 30, 2, NUMBERS, 0), 96, 128)
    assert torch.equal(later, holes[30:32]), "whatever part of the batch a worker has"


def test_smooth_filling_knows_nothing_of_what_is_in_the_hole() -> None:
    x, hole = torch.rand(1, 3, 37, 50) * 2 - 1, torch.zeros(1, 1, 37, 50)
    hole[..., 5:30, 8:40] = 1
    filled = smooth(x, hole)
    assert torch.equal(filled, smooth(torch.where(hole > 0, 9.0, x), hole))
    assert torch.equal(filled[..., :5, :], x[..., :5, :])
    assert x.min() <= filled.min()
    assert filled.max() <= x.max()
    flat = smooth(torch.full((1, 3, 21, 33), 0.25), (torch.rand(1, 1, 21, 33) < 0.9).float())
    torch.testing.assert_close(flat, torch.full_like(flat, 0.25))
    assert not smooth(x, torch.ones(1, 1, 37, 50)).any()


def test_texture_is_borrowed_from_where_the_colour_is_the_same() -> None:
    rows = torch.arange(96)[:, None].expand(96, 96)
    light = torch.where(torch.arange(96) < 48, -0.5, 0.5).expand(96, 96)
    stripes = torch.where(rows % 4 < 2, 0.2, -0.2) * (torch.arange(96) >= 48)  # on the light half only
    picture, hole = (light + stripes).expand(1, 3, 96, 96), torch.zeros(1, 1, 96, 96)
    hole[..., 40:56, 16:30] = hole[..., 40:56, 64:80] = 1
    texture = borrowed(torch.where(hole > 0, light, picture), hole)  # as a membrane would fill it
    assert not texture[(hole == 0).expand_as(texture)].any()
    assert texture[..., 42:54, 18:28].abs().mean() < 0.02
    assert 0.12 < texture[..., 42:54, 66:78].abs().mean() < 0.25
    assert not borrowed(picture, torch.ones_like(hole)).any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 50), (64, 64), (TILE_PX + 70, 2 * TILE_PX + 9)])
def test_only_the_hole_changes_in_pictures_of_any_size(height: int, width: int) -> None:
    picture, labels = noise(height, width), torch.zeros(1, height, width, dtype=torch.uint8)
    labels[:, height // 4 : height // 2 + 1, width // 5 : 4 * width // 5 + 1] = 7
    paint = FillingPainter(network())
    for given in (picture, picture.float() / 127.5 - 1.001):
        filled = paint(given, labels)
        assert (filled.shape, filled.dtype) == (given.shape, given.dtype)
        same = (filled == given).all(1)
        assert same[labels == 0].all()
        assert height == 1 or same[labels > 0].float().mean() < 0.1
        assert torch.equal(paint(given, torch.zeros_like(labels)), given)


def test_a_hole_that_the_network_cannot_see_across_is_filled_at_smaller_sizes_first() -> None:
    side = 4 * WIDEST_PX
    picture, labels = torch.full((1, 3, side, side), 200, dtype=torch.uint8), torch.zeros(1, side, side)
    labels[:, side // 4 : -side // 4, side // 4 : -side // 4] = 1
    new = Inpainter(4, 8, 2).eval()  # which fills smoothly
    picture[labels.bool()[:, None].expand_as(picture)] = 0
    assert (FillingPainter(new)(picture, labels) == 200).all()


def test_precision_is_kept() -> None:
    assert_precision_is_kept(FillingPainter(network(), (parsed("0,0,50%,50%"),)), noise(40, 40))


def test_the_step_is_a_share_of_the_error_of_the_smooth_filling() -> None:
    t = trainer(INPAINT)
    generator = t.method.modules["generator"]
    assert isinstance(generator, Inpainter)
    (part,) = t._parts(batches(TRAINING)(0))
    (new,) = t.method.losses("generator", part)
    assert new["hole"].item() == pytest.approx(1), "a new network fills smoothly"
    with torch.no_grad():
        generator.draw.weight.normal_(0, 0.1)
    x, hole = F.avg_pool2d(part.content, 2), drawn_holes(part.uniform(NUMBERS, 0), 16, 16, 2)
    base, weight = smooth(x, hole), hole * (0.2 + F.avg_pool2d(F.pad(1 - hole, (6,) * 4), 13, 1))
    mine, given = (
        (weight * ((y - x).square().mean(1, keepdim=True) + 0.02**2)).sum((1, 2, 3))
        for y in (base + generator.drawn(base, hole), base)
    )
    (ours,) = t.method.losses("generator", part)
    torch.testing.assert_close(ours["hole"], (mine / given).sqrt().mean())


def test_training_learns_to_continue_a_pattern() -> None:
    values: list[float] = []
    stripes = (torch.arange(32) % 16 < 8).expand(4, 3, 32, 32).to(torch.uint8) * 255
    t = trainer(INPAINT, steps=60, log_every=5)
    source = batches(TRAINING)
    t.run(
        lambda step: replace(source(step), content=stripes),
        lambda step, losses: values.append(losses["hole"]),
        ignore,
        ignore,
    )
    assert values[-1] < 0.9 * values[0]


def test_a_model_folder_fills_as_the_training_did(tmp_path: Path) -> None:
    artifact.save(tmp_path, INPAINT, network(), {"encoder": "vgg16"})
    model = artifact.load(tmp_path)
    picture = noise(40, 56)
    again = FillingPainter(network(), (parsed("-20,0,16,50%"),))(picture)
    assert torch.equal(model.painter(Controls(remove=("-20,0,16,50%",)))(picture), again)
    assert not torch.equal(model.painter()(picture), picture), "samples show drawn holes"
    with pytest.raises(ValueError, match=r"say where they are, by --mask-from FOLDER or --remove-box BOX"):
        model.painter(Controls())


def test_boxes_count_from_any_side() -> None:
    assert parsed("3,4,5,6").place(100, 200) == (slice(4, 10), slice(3, 8))
    assert parsed("-210,-60,200,50").place(100, 400) == (slice(40, 90), slice(190, 390))
    assert parsed("80%,-10%,20%,10%").place(100, 401) == (slice(90, 100), slice(320, 401))
    assert parsed("-5,0,50,1").place(10, 20) == (slice(0, 1), slice(15, 20)), "what is outside is left out"
    for wrong in ("1,2,3", "1,2,3,4,5", "1,2,0,4", "1,2,3,-4", "a,b,c,d", "1;2;3;4", "1,2,3%%,4"):
        with pytest.raises(ValueError, match="a box is X,Y,WIDTH,HEIGHT"):
            Controls(remove=(wrong,))
    with pytest.raises(ValueError, match="outside of the picture, which has 20 × 10 pixels"):
        parsed("30,0,5,5").place(10, 20)


def test_controls_of_holes_are_for_what_fills_and_the_others_are_not() -> None:
    check_controls(Inpaint.Config, Controls(fill=True, remove=("0,0,1,1",)))
    with pytest.raises(ValueError, match="cin has no control 'remove'"):
        check_controls(CinConfig, Controls(remove=("0,0,1,1",)))
    with pytest.raises(ValueError, match="inpaint has no control 'palette'"):
        check_controls(Inpaint.Config, Controls(fill=True, palette=("#000000",)))
