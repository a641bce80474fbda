"""Edits of attributes: directions, inversion, and what becomes of pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from atelier.models import artifact, encoders
from atelier.models.configs.loop import WatchdogConfig
from atelier.models.controls import Controls, parse_wish
from atelier.models.directions import learn_directions
from atelier.models.gan_inversion import invert
from atelier.models.latent_refinement import refine
from atelier.models.methods import edit, method_of
from atelier.models.methods.base import Batch
from atelier.models.methods.stargan import EditRequest
from atelier.models.metrics.attributes import learn
from atelier.models.networks.classifier import Classifier
from tests.models.tiny import DCGAN, INFOGAN, STARGAN, STYLEGAN, VAE, TinyEncoder, ignore, trainer

pytestmark = pytest.mark.long

NAMES = ("warm", "light")


def colours(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures (count, 3, 32, 32) of one colour on another, and whether the inner one is warm and light."""
    outer, inner = torch.rand(2, count, 3, generator=torch.Generator().manual_seed(seed)) * 200 + 25
    labels = torch.stack([inner[:, 0] > inner[:, 2], inner.mean(1) > 125], 1)
    pictures = outer.byte()[:, :, None, None].repeat(1, 1, 32, 32)
    pictures[:, :, 8:24, 8:24] = inner.byte()[:, :, None, None]
    return pictures, labels


def warmth_and_light(pictures: Tensor) -> tuple[Tensor, Tensor]:
    mean = pictures[:, :, 8:24, 8:24].float().mean((2, 3))
    return mean[:, 0] - mean[:, 2], mean.mean(1)


def encoder() -> Any:
    torch.manual_seed(0)
    made = encoders.ENCODERS["efficientnet_lite0"]()
    made.freeze()
    return made


def test_a_direction_changes_one_logit_and_is_the_likeliest() -> None:
    random = torch.Generator().manual_seed(0)
    mixing, normals = torch.randn(6, 6, generator=random), torch.randn(3, 6, generator=random)
    latents = torch.randn(4000, 6, generator=random) @ mixing
    logits = latents @ normals.t() + 5
    directions, squares = learn_directions(latents, logits, torch.zeros(3, 3, dtype=torch.bool), logits[:, :0])
    torch.testing.assert_close(directions @ normals.t(), torch.eye(3), atol=0.02, rtol=0)
    precision = torch.linalg.inv(latents.t().cov().double())
    others = torch.linalg.svd(normals.double()).Vh[3:]  # moves that change no logit
    directions, squares = directions.double(), squares.double()
    torch.testing.assert_close(squares, directions @ precision @ directions.t(), atol=0.02, rtol=0.02)
    for direction in directions:
        for move in others:
            assert abs(float(direction @ precision @ move)) < 0.05 * float(move @ precision @ move) ** 0.5


def test_inversion_finds_latents_and_each_picture_its_own() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(4, 3 * 16 * 16) / 4

    def synthesize(latents: Tensor) -> Tensor:
        return (latents @ matrix).view(-1, 3, 16, 16)

    wanted = torch.randn(3, 4) * 2 + 1
    mean, spread = torch.ones(4), torch.full((4,), 2.0)
    given = (TinyEncoder(), synthesize(wanted), mean.expand(3, -1), mean, spread, 80)
    with torch.inference_mode():  # as painters call it
        found = invert(synthesize, *given)
    assert (found - wanted).abs().max() < 0.3
    assert (mean - wanted).abs().max() > 1
    alone = invert(synthesize, TinyEncoder(), synthesize(wanted)[:1], mean.expand(1, -1), mean, spread, 80)
    torch.testing.assert_close(alone[0], found[0], atol=1e-3, rtol=0)


def test_a_gradient_goes_where_no_direction_leads_and_each_picture_its_own_way() -> None:
    """The logits bend: along the direction of the mean one of the pictures would lose what it is to keep."""
    torch.manual_seed(0)
    matrix = torch.randn(4, 3 * 16 * 16) / 8

    def synthesize(latents: Tensor) -> Tensor:
        return (latents @ matrix).view(-1, 3, 16, 16).tanh()

    class Bent(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            found = x.flatten(1) @ matrix.t() / 4  # (B, 4)
            return torch.stack([3 * found[:, 0].tanh() + found[:, 1], found[:, 2] - found[:, 0].square() / 2], 1)

    latents = torch.tensor([[-1.0, 0.3, 0.5, 0.2], [-0.5, -0.5, 1.0, 0.0], [-2.0, 0.0, 2.5, 0.0]])
    pictures = synthesize(latents)
    had, asked = Bent()(pictures), torch.tensor([[True, False]]).expand(3, -1)
    wanted = torch.where(asked, 2.0, had)

    def found(rows: slice) -> tuple[Tensor, list[Tensor]]:
        drawn: list[Tensor] = []

        def change(move: Tensor) -> Tensor:
            return synthesize(latents[rows] + move) - pictures[rows]

        begun = torch.zeros_like(latents[rows])
        move = refine(change, Bent(), pictures[rows], begun, wanted[rows], asked[rows], 60, drawn.append)
        return move, drawn

    with torch.inference_mode():  # as painters call it
        move, drawn = found(slice(3))
    assert len(drawn) == 60, "after each step"
    torch.testing.assert_close(pictures + drawn[-1], synthesize(latents + move))
    now = Bent()(synthesize(latents + move))
    assert (had[:, 0] < 0).all()
    assert (now[:, 0] > 1).all()
    assert torch.equal(now[:, 1].sign(), had[:, 1].sign())
    alone, _ = found(slice(1))
    torch.testing.assert_close(alone[0], move[0], atol=1e-3, rtol=0)


def test_an_attribute_changes_and_the_other_stays(tmp_path: Path) -> None:
    config = replace(VAE, adversarial_weight=0.0, perceptual_weight=0.0, beta=1e-4, filters=8)
    config = replace(config, optimizer=replace(VAE.optimizer, generator_lr=3e-3))
    real, labels = colours(256, 1)
    t = trainer(config, steps=300, batch_size=16, decay_from=0.5, watchdog=WatchdogConfig(enabled=False))
    t.run(lambda step: Batch(part := real[16 * (step % 16) :][:16], part), ignore, ignore, ignore)
    classifier = learn(real, labels, filters=4, epochs=10, batch=16)
    made = edit.learn(config, t.generator_ema, classifier, NAMES, encoder(), real)
    artifact.save(tmp_path, *made, {"encoder": "efficientnet_lite0"})
    model = artifact.load(tmp_path)
    shown, has = colours(64, 2)
    for wish, cold in (("warm", ~has[:, 0]), ("-warm", has[:, 0])):
        before = shown[cold]
        little, whole = (model.painter(Controls(to=(to,)))(before) for to in (f"{wish}=0.1", wish))
        warm, light = zip(*map(warmth_and_light, (before, little, whole)), strict=True)
        sign = 1 if wish == "warm" else -1
        changes = [sign * float((some - warm[0]).mean()) for some in warm]
        assert 20 < changes[1] < changes[2]
        assert (light[2] - light[0]).mean().abs() < changes[2] / 2
        beside = (whole.float() - before.float())[..., :4].mean((0, 2, 3))
        assert beside.abs().max() < changes[2] / 2, "the background keeps its colours"
    paint = model.painter(Controls(to=("-light",)))
    wide = torch.cat([shown[:4], shown[4:8]], 3)  # the middle square is changed, and its sides fade
    dark = paint(wide)
    assert torch.equal(dark, paint(wide))
    assert torch.equal(dark[..., :15], wide[..., :15])
    assert not torch.equal(dark[..., 20:44], wide[..., 20:44])
    assert torch.equal(model.painter(Controls(to=("warm",), strength=0.0))(wide), wide)
    with pytest.raises(ValueError, match="knows no attribute 'soft': it has warm, light"):
        model.painter(Controls(to=("soft",)))
    with pytest.raises(ValueError, match="edit has no control 'noise': it has strength, to, steps"):
        model.painter(Controls(noise=1.0))


@pytest.mark.parametrize("config", [DCGAN, INFOGAN, STYLEGAN], ids=lambda config: config.name)
def test_models_without_an_encoder_are_inverted(config: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = method_of(config).build_generator(config, None).eval()
    real, _ = colours(64, 1)
    with torch.no_grad():
        made = edit.learn(config, generator, Classifier(2, 2), NAMES, encoder(), real)
    artifact.save(tmp_path, *made, {"encoder": "efficientnet_lite0"})
    model = artifact.load(tmp_path)
    pictures = method_of(config).from_noise(config, generator, torch.randn(2, config.noise))
    painter = model.painter(Controls(to=("warm",), steps=20))
    assert isinstance(painter, edit.EditPainter)
    x = pictures / 127.5 - 1
    with torch.inference_mode():
        near = method_of(config).synthesize(config, generator, painter.latents(x))
        far = method_of(config).synthesize(config, generator, replace(painter, steps=0).latents(x))
    assert (near - x).square().mean() < (far - x).square().mean()
    assert painter.config.refinements > 0
    assert not torch.equal(painter(pictures), pictures)


def test_wishes_have_amounts() -> None:
    assert parse_wish("Smiling") == ("Smiling", 1.0)
    assert parse_wish("-Smiling=0.5") == ("Smiling", -0.5)
    for text in ("Smiling=no", "Smiling=0", "Smiling=-1", "Smiling=2.5", "Smiling=nan"):
        with pytest.raises(ValueError, match="is no attribute with an amount"):
            parse_wish(text)
    with pytest.raises(ValueError, match="asked for twice"):
        Controls(to=("Smiling=0.5", "-Smiling"))
    labels = EditRequest(STARGAN, ("-dark=0.3", "warm=0.8")).apply(torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(labels, torch.tensor([[0.7, 0.0, 0.8]]))


def test_it_is_made_of_a_model_that_generates() -> None:
    with pytest.raises(ValueError, match=r"'stargan' has no latents that could be moved: dcgan, gan, .* have"):
        edit.learn(STARGAN, torch.nn.Identity(), Classifier(1, 2), ("warm",), encoder(), colours(4, 1)[0])
    with pytest.raises(ValueError, match="edit is not trained"):
        edit.Edit(None, TinyEncoder(), torch.device("cpu"), torch.float32)  # type: ignore[arg-type]
