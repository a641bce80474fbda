"""One network learns many styles, which are mixed, masked, and predicted from pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atelier.models import artifact
from atelier.models.configs.loop import WatchdogConfig
from atelier.models.configs.style_statistics import CinConfig, FastConfig
from atelier.models.controls import Controls, Style
from atelier.models.encoders import EfficientNetLite0
from atelier.models.losses.perceptual import gram
from atelier.models.methods.cin import Cin, reduced
from atelier.models.networks.conditional import ConditionalGenerator, Styled, network_of
from atelier.models.painter import NetworkPainter
from atelier.models.pixels import luminance, to_float
from atelier.models.placement import PlacedPainter, StylePlaces
from atelier.models.training import Trainer
from tests.models.tiny import (
    CIN,
    TRAINING,
    TinyEncoder,
    assert_precision_is_kept,
    batches,
    ignore,
    pictures,
    trainer,
)

ANY = replace(CIN, styles=())


def generator(config: CinConfig = CIN) -> ConditionalGenerator:
    """Whose styles differ."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        one = Cin.build_generator(config, None).eval().requires_grad_(False)
        if config.styles:
            one.styles.normal_(0, 0.2)
    return one


def painter(controls: Controls, config: CinConfig = CIN) -> Any:
    if controls.placed:
        return PlacedPainter(Cin.styles_painter(config, generator(config), controls), StylePlaces(controls.styles))
    return Cin.painter(config, generator(config), controls)


def style(name: str, weight: float = 1.0, mask: Any = None) -> Style:
    return Style(name, weight, None, mask)


def test_a_styles_plain_network_is_the_conditional_one() -> None:
    one, x = generator(), to_float(pictures(1)[:3], torch.device("cpu"))
    together = Styled(one.network, one.styles)(x)
    for index in range(3):
        torch.testing.assert_close(network_of(one.network, one.styles[index])(x[index : index + 1])[0], together[index])
    assert (together[0] - together[1]).abs().max() > 0.01


def test_each_style_has_the_gram_matrices_of_its_pictures() -> None:
    t = trainer(CIN, steps=1)
    source = batches(TRAINING)
    t.method.prepare(source, TRAINING.batch_size)
    seen = [source(step) for step in range(2)]  # eight pictures
    styles, labels = (torch.cat([getattr(batch, name) for batch in seen]) for name in ("style", "style_labels"))
    grams = gram(TinyEncoder()(styles.float() / 255)["deep"])
    targets = t.method.modules["targets"]
    for index in range(len(CIN.styles)):
        torch.testing.assert_close(
            targets.get_buffer("deep")[index], grams[labels[:, index] == 1].mean(0), rtol=1e-4, atol=1e-6
        )


def test_detail_is_left_out_of_the_style() -> None:
    fine, coarse = (to_float(pictures(1)[:2], torch.device("cpu")), torch.linspace(-1, 1, 64).expand(2, 3, 64, 64))
    assert reduced(fine, 1.0) is fine
    assert reduced(fine, 0.5).shape == fine.shape
    torch.testing.assert_close(reduced(coarse, 0.5)[..., 4:-4], coarse[..., 4:-4], atol=0.02, rtol=0)
    grain = torch.linspace(0, 32 * torch.pi, 64).cos().sign().expand(2, 3, 64, 64)
    assert reduced(grain, 0.5).std() < 0.3 * grain.std()


def test_a_style_without_a_picture_is_named() -> None:
    source = batches(TRAINING)
    with pytest.raises(ValueError, match="has a picture of the style 'light'"):
        trainer(CIN).run(
            lambda step: replace(source(step), style_labels=torch.tensor([[1.0, 0, 1]] * 4)), ignore, ignore, ignore
        )


def test_styles_are_learned_apart() -> None:
    values: list[float] = []
    quick = replace(CIN, content_weight=0.1, optimizer=replace(CIN.optimizer, generator_lr=1e-2))
    alone = WatchdogConfig(enabled=False)  # shades have no content
    t = trainer(quick, steps=80, log_every=10, ema_half_life_steps=5.0, watchdog=alone)
    source = batches(TRAINING)

    def batch(step: int) -> Any:
        given = source(step)
        labels = torch.eye(3)[torch.arange(4) % 3]
        shade = torch.tensor([40, 220, 130], dtype=torch.uint8)[torch.arange(4) % 3]
        return replace(given, style=given.style // 8 + shade[:, None, None, None] // 2, style_labels=labels)

    t.run(batch, lambda step, losses: values.append(losses["style"]), ignore, ignore)
    assert values[-1] < 0.5 * values[0]
    dark, light = (
        Cin.painter(CIN, t.generator_ema, Controls(styles=(style(name),)))(pictures(1)).float().mean()
        for name in ("dark", "light")
    )
    assert light > dark + 10


def test_mixtures_mix_the_parameters() -> None:
    one, x = generator(), pictures(1)[:2]
    mixed = painter(Controls(styles=(style("dark", 3), style("light", 1))))
    assert isinstance(mixed, NetworkPainter), "one network, that tiles and is exported"
    wanted = network_of(one.network, 0.75 * one.styles[0] + 0.25 * one.styles[1])
    assert torch.equal(mixed(x), NetworkPainter(wanted)(x))
    assert torch.equal(painter(Controls())(x), painter(Controls(styles=(style("dark"),)))(x)), (
        "the first is the default"
    )


def test_not_a_pixel_changes_outside_of_a_mask() -> None:
    x, mask = pictures(1)[:2], np.zeros((32, 32), np.uint8)
    mask[:, :12] = 255
    both = painter(Controls(styles=(style("dark", mask=mask), style("light", mask=mask.T))))(x)
    assert torch.equal(both[:, :, 12:, 12:], x[:, :, 12:, 12:])
    alone = painter(Controls(styles=(style("dark"),)))(x)
    assert (both[:, :, 12:, :12].int() - alone[:, :, 12:, :12].int()).abs().max() <= 1
    assert_precision_is_kept(painter(Controls(styles=(style("dark", mask=mask),))), x)


def test_colours_can_be_kept() -> None:
    x = torch.rand(1, 3, 32, 32) * 0.2
    kept = painter(Controls(preserve_color=True))(x)
    assert ((kept - luminance(kept)) - (x - luminance(x))).abs().max() < 1e-5
    assert (kept - x).abs().max() > 0.01


def test_unknown_styles_are_told_with_the_known_ones() -> None:
    for wrong in (style("storm"), Style("dark", 1.0, pictures(1)[0].permute(1, 2, 0).numpy())):
        with pytest.raises(ValueError, match="it knows dark, light, warm"):
            painter(Controls(styles=(wrong,)))
    with pytest.raises(ValueError, match="names one twice"):
        CinConfig(styles=("a", "a"))


def test_any_style_is_predicted_from_its_picture(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        embedded = EfficientNetLite0()
    embedded.freeze()
    t = Trainer(ANY, replace(TRAINING, steps=6), TinyEncoder(), embedded=embedded)
    t.run(batches(TRAINING), ignore, ignore, ignore)
    for name, value in t.generator_ema.predictor.encoder.state_dict().items():
        assert torch.equal(value, embedded.state_dict()[name]), "the encoder is frozen"
    artifact.save(tmp_path, ANY, t.generator_ema, {"encoder": "vgg16"})
    model = artifact.load(tmp_path)
    x = pictures(1)[:1]
    first, second = (Style(str(n), 1.0, pictures(n)[0].permute(1, 2, 0).numpy()) for n in (2, 3))
    painted = [model.painter(Controls(styles=styles))(x) for styles in ((first,), (second,), ())]
    assert (painted[2].int() - t.sample(x).int()).abs().max() <= 1, "without a style it is the mean one"
    assert not torch.equal(painted[0], painted[1])
    one = trainer(FastConfig(generator="light", filters=CIN.filters, width=CIN.width, blocks=CIN.blocks))
    one.start_from(model, pictures(2)[:1])
    assert torch.equal(one.sample(x), painted[0]), "a training from it begins with the style of its pictures"
    both = torch.cat([pictures(2)[:1], pictures(3)[:1]], 3)  # beside each other
    left = torch.tensor([1.0, 0.0])[None, None, None]
    for own, other, region in ((2, 3, left), (3, 2, left.flip(3))):
        found, *alone = (
            model.generator.predictor.statistics(to_float(given, x.device), part)
            for given, part in ((both, region), (pictures(own)[:1], None), (pictures(other)[:1], None))
        )
        near, far = ((found - statistics).norm() for statistics in alone)
        assert near < 0.7 * far, "a region has the statistics of what it shows"
    with pytest.raises(ValueError, match="it knows 'trained'"):
        model.painter(Controls(styles=(style("storm"),)))
