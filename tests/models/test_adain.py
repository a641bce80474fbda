"""AdaIN against its formulas, and every control against what it says."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.controls import Controls, Style
from atelier.models.encoders import ENCODERS, Encoder
from atelier.models.encoders.efficientnet_lite0 import EfficientNetLite0
from atelier.models.encoders.vgg16 import Vgg16
from atelier.models.encoders.vgg19 import Vgg19
from atelier.models.losses.moments import adain, moments, moments_loss
from atelier.models.methods.adain import Adain
from atelier.models.methods.base import Batch
from atelier.models.networks.adain_decoder import AdainDecoder
from atelier.models.networks.adain_generator import AdainGenerator
from tests.models.tiny import ADAIN, TRAINING, TinyEncoder, assert_precision_is_kept, batches, ignore, pictures, trainer


def style(seed: int, size: tuple[int, int] = (40, 32), **said: object) -> Style:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    pixels[:, : size[1] // 2] //= seed + 1  # each another mean
    return Style(f"{seed}.png", pixels=pixels, **said)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> artifact.TrainedModel:
    """A few steps of training, saved and loaded."""
    folder = tmp_path_factory.mktemp("model")
    t = trainer(ADAIN)
    t.run(batches(TRAINING), ignore, ignore, ignore)
    artifact.save(folder, ADAIN, t.generator_ema, {"encoder": "tiny"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, "tiny", TinyEncoder)
        loaded = artifact.load(folder)
    images = pictures(5)[:2, :, :30, :21]
    assert torch.equal(loaded.painter()(images), t.sample(images))
    return loaded


def test_adain_is_the_papers() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 3, 5, 7, generator=generator) * 3 + 1, torch.rand(2, 3, 4, 4, generator=generator)
    expected = np.empty(x.shape)
    for b in range(2):
        for c in range(3):
            content, wanted = x[b, c].double().numpy(), y[b, c].double().numpy()
            scale = np.sqrt(wanted.var() + 1e-5) / np.sqrt(content.var() + 1e-5)
            expected[b, c] = (content - content.mean()) * scale + wanted.mean()
    found = adain(x, *moments(y))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert moments_loss(found, y) < 1e-9
    assert moments_loss(x, y) > 1


def test_moments_of_a_part_are_those_of_that_part_alone() -> None:
    x = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    share = torch.zeros(1, 1, 6, 8)
    share[..., :3] = 1
    for found, expected in zip(moments(x, share), moments(x[..., :3]), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_decoder_for_vgg19_is_the_published_one() -> None:
    shapes = [(256, 512), *[(256, 256)] * 3, (128, 256), (128, 128), (64, 128), (64, 64), (3, 64)]
    numbers = (1, 5, 8, 11, 14, 18, 21, 25, 28)
    torch.manual_seed(0)
    published: dict[str, Tensor] = {}
    for number, (out, channels) in reversed(list(zip(numbers, shapes, strict=True))):
        published |= {f"{number}.weight": torch.randn(out, channels, 3, 3) / 50, f"{number}.bias": torch.randn(out)}
    decoder = AdainDecoder(512, 3, 64)
    decoder.load_state_dict(decoder.convert(published))

    x = features = torch.randn(1, 512, 3, 2)
    for number in numbers:
        x = F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), published[f"{number}.weight"], published[f"{number}.bias"])
        if number != 28:
            x = x.relu()
        if number in (1, 14, 21):
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(decoder(features), x)
    with pytest.raises(ValueError, match="not of a decoder with these layers"):
        AdainDecoder(512, 3, 32).convert(published)


@pytest.mark.parametrize("kind", [EfficientNetLite0, Vgg19])
def test_every_encoder_gets_a_decoder_that_fits(kind: type[Encoder]) -> None:
    generator = Adain.build_generator(replace(ADAIN, filters=4), kind)
    assert generator(torch.zeros(1, 3, 32, 48)).shape == (1, 3, 32, 48)


def test_an_encoder_can_end_early() -> None:
    whole = Vgg19()
    part = Vgg19()
    part.end_at("relu2_1")
    part.load_state_dict({key: whole.state_dict()[key] for key in part.state_dict()})
    x = torch.rand(1, 3, 16, 16)
    assert list(part(x)) == ["relu1_1", "relu2_1"]
    assert torch.equal(part(x)["relu2_1"], whole(x)["relu2_1"])
    assert len(part.state_dict()) == 2 + 2 * 3


@pytest.mark.parametrize("adversarial_weight", [0.0, 1.0])
def test_the_decoder_alone_is_trained(adversarial_weight: float) -> None:
    t = trainer(replace(ADAIN, adversarial_weight=adversarial_weight), steps=2)
    before = {key: value.clone() for key, value in t.method.modules["generator"].state_dict().items()}
    t.run(batches(TRAINING), ignore, ignore, ignore)
    for generator in (t.method.modules["generator"], t.generator_ema):
        for key, value in generator.state_dict().items():
            assert torch.equal(value, before[key]) == key.startswith("encoder."), key
    for key, value in TinyEncoder().state_dict().items():
        assert torch.equal(value, before[f"encoder.{key}"]), "it was not the encoder of the training"
    assert ("discriminator" in t.method.modules) == bool(adversarial_weight)


@pytest.mark.parametrize(("name", "share"), [("content", 0.8), ("style", 0.5)])
def test_content_and_style_are_learned(name: str, share: float) -> None:
    seen: list[dict[str, float]] = []
    only = replace(ADAIN, content_weight=float(name == "content"), style_weight=float(name == "style"))
    quick = replace(only, optimizer=replace(ADAIN.optimizer, generator_lr=5e-3))
    t = trainer(quick, steps=60, log_every=5, sample_every=100)
    smooth = Batch(*(F.interpolate(pictures(seed)[:4, :, :4, :4], scale_factor=8) for seed in (1, 2)))
    t.run(lambda step: smooth, lambda step, metrics: seen.append(metrics), ignore, ignore)
    assert seen[-1][name] < share * seen[0][name]


def test_the_trained_style_is_that_of_all_paintings() -> None:
    t = trainer(replace(ADAIN, style_images=16), steps=1)
    t.run(batches(TRAINING), ignore, ignore, ignore)
    paintings = pictures(2)
    assert isinstance(t.generator_ema, AdainGenerator)
    features = TinyEncoder()(paintings.float() / 255)
    mean, std = moments(features["deep"])
    torch.testing.assert_close(t.generator_ema.mean, mean.mean(0, keepdim=True))
    torch.testing.assert_close(t.generator_ema.std, std.square().mean(0, keepdim=True).sqrt())
    units = torch.stack([x.mean() for x in features.values()])  # they are never below 0
    torch.testing.assert_close(t.method.modules["units"].layers, units)


def test_strength_begins_at_the_picture_itself(model: artifact.TrainedModel) -> None:
    images = pictures(5)[:2, :, :30, :21]
    assert torch.equal(model.painter(Controls(0.0))(images), images)
    assert_precision_is_kept(model.painter(), images)
    moved = [(model.painter(Controls(s))(images).float() - images.float()).abs().mean() for s in (0.01, 0.25, 0.5, 1.0)]
    assert moved[0] < 2
    for weaker, stronger in pairwise(moved):
        assert weaker < stronger


def test_the_losses_see_what_is_shown() -> None:
    t = trainer(replace(ADAIN, detail=1.0), steps=1)
    (part,) = t._parts(batches(TRAINING)(0))
    generator = t.method.modules["generator"]
    assert isinstance(generator, AdainGenerator)
    seen: list[Tensor] = []  # content, the part of it that is looked at, style, painted
    generator.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    next(iter(t.method.losses("generator", part)))
    with torch.no_grad():
        content, style = (generator.features(x)[generator.layer] for x in (part.content, part.style))
        painted = generator.decode(adain(content, *moments(style)))
        shown = painted + part.content - generator.decode(content)
    torch.testing.assert_close(seen[3] * 2 - 1, shown)


def test_what_the_decoder_loses_is_given_back(model: artifact.TrainedModel) -> None:
    images, generator = pictures(5)[:2], model.generator
    assert isinstance(generator, AdainGenerator)
    with torch.no_grad():
        x = images.float() / 127.5 - 1
        content = generator.features(x)["deep"]
        plain, restyled = (generator.decode(t) for t in (content, adain(content, generator.mean, generator.std)))
    for detail in (0.3, 1.0):
        painted = Adain.painter(replace(ADAIN, detail=detail), generator, Controls())(images)
        expected = ((restyled + detail * (x - plain) + 1) * 127.5).clamp(0, 255)
        assert (painted - expected).abs().max() <= 0.51
    with torch.no_grad():  # equation 14, and of what is lost 1 - 0.5 * (1 - 0.5)
        between = generator.decode((content + adain(content, generator.mean, generator.std)) / 2)
    painted = Adain.painter(replace(ADAIN, detail=0.5), generator, Controls(0.5))(images)
    expected = ((between + 0.75 * (x - plain) + 1) * 127.5).clamp(0, 255)
    assert (painted - expected).abs().max() <= 0.51


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (37, 18)])
def test_pictures_of_any_size(model: artifact.TrainedModel, size: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mask = np.full((4, 4), 255, np.uint8)
    for styles in ((), (style(1), style(2, (1, 1))), (style(1, mask=mask),)):
        assert model.painter(Controls(styles=styles))(images).shape == images.shape


def test_an_encoder_that_is_deeper_than_its_content_layer_sees_small_pictures() -> None:
    model = Adain.build_generator(replace(ADAIN, filters=4), Vgg16)
    images = torch.zeros(1, 3, 2, 5, dtype=torch.uint8)
    assert Adain.painter(ADAIN, model, Controls(styles=(style(1, (1, 1)),)))(images).shape == images.shape


def test_styles_are_mixed_by_their_weights(model: artifact.TrainedModel) -> None:
    images = pictures(5)[:2]
    a, b = style(1), style(3)

    def painted(*styles: Style) -> Tensor:
        return model.painter(Controls(styles=styles))(images)

    assert torch.equal(painted(replace(a, weight=0.3)), painted(a)), "weights are relative"
    assert torch.equal(painted(Style("trained")), model.painter()(images))
    assert not torch.equal(painted(a), painted(b))
    mixed = painted(replace(a, weight=3.0), b)
    with torch.no_grad():  # equation 15
        assert isinstance(model.generator, AdainGenerator)
        x = images.float() / 127.5 - 1
        content = model.generator.features(x)["deep"]
        seen = [
            moments(model.generator.features(torch.tensor(s.pixels).permute(2, 0, 1)[None] / 127.5 - 1)["deep"])
            for s in (a, b)
        ]
        expected = model.generator.decode(0.75 * adain(content, *seen[0]) + 0.25 * adain(content, *seen[1]))
    expected = ((expected + 1) * 127.5).clamp(0, 255)
    assert (mixed - expected).abs().max() <= 0.51


def test_an_unknown_style_is_told_with_the_known_ones(model: artifact.TrainedModel) -> None:
    with pytest.raises(ValueError, match=r"^style 'picaso' is no picture file.*it knows 'trained'$") as caught:
        model.painter(Controls(styles=(Style("picaso"),)))
    assert "\n" not in str(caught.value)


def test_masks_keep_styles_apart(model: artifact.TrainedModel) -> None:
    images = pictures(5)[:2].repeat(1, 1, 2, 2)  # 64 × 64
    left = np.zeros((2, 2), np.uint8)
    left[:, 0] = 255
    halves = np.repeat(np.repeat(left, 32, 0), 32, 1)  # as large as the pictures, so sharp

    def painted(*styles: Style) -> Tensor:
        return model.painter(Controls(styles=styles))(images)

    a, b = style(1, mask=halves), style(3, mask=255 - halves)
    both, alone = painted(a, b), painted(a)
    assert torch.equal(alone[..., 32:], images[..., 32:]), "where no style goes the picture stays"
    assert torch.equal(both[..., :20], alone[..., :20]), "but at the border the other half is not seen"
    other = painted(a, replace(style(4), mask=255 - halves))
    assert torch.equal(both[..., :20], other[..., :20])
    assert not torch.equal(both[..., 40:], other[..., 40:])
    everywhere = replace(a, mask=np.full((3, 5), 255, np.uint8))
    assert (painted(everywhere).int() - painted(style(1)).int()).abs().max() <= 1
    soft = painted(replace(a, mask=left))
    assert not torch.equal(soft, alone), "a mask is stretched smoothly"


def test_colours_can_be_kept(model: artifact.TrainedModel) -> None:
    images = (pictures(5)[:2] // 4 + 96).to(torch.uint8)  # not close to the borders of the range
    images = F.interpolate(images, scale_factor=2)
    kept = model.painter(Controls(preserve_color=True))(images)
    assert not torch.equal(kept, images)
    inside = ((kept > 0) & (kept < 255)).all(1)
    assert inside.float().mean() > 0.5
    for x, y in ((0, 1), (1, 2)):  # differences of channels are what has no luminance
        before, after = ((images[:, x].int() - images[:, y].int()) for images in (images, kept))
        assert (before - after)[inside].abs().max() <= 1


def test_a_model_must_say_its_encoder(tmp_path: Path) -> None:
    t = trainer(ADAIN)
    artifact.save(tmp_path, ADAIN, t.generator_ema, {})
    with pytest.raises(ValueError, match="does not say which it was trained with"):
        artifact.load(tmp_path)


def test_an_encoder_that_does_not_halve_is_refused() -> None:
    class Thirds(TinyEncoder):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {name: F.avg_pool2d(y, 3) for name, y in super().forward(x).items()}

    with pytest.raises(ValueError, match=re.escape("adain needs an encoder that halves pictures; Thirds divides by")):
        Adain.build_generator(ADAIN, Thirds)


def test_nothing_of_the_encoder_is_asked_for_gradients() -> None:
    generator = trainer(ADAIN).method.modules["generator"]
    assert not any(p.requires_grad for p in generator.get_submodule("encoder").parameters())
    assert all(p.requires_grad for p in generator.get_submodule("decoder").parameters())
