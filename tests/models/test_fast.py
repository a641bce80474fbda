"""The feed-forward network learns what it is told of content and style, and nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from atelier.models import artifact
from atelier.models.controls import Controls
from atelier.models.methods.base import Batch
from atelier.models.random_draws import uniform
from atelier.models.watchdog import TrainingStopped
from tests.models.tiny import FAST, TRAINING, TinyEncoder, batches, ignore, pictures, trainer


def encoded(images: torch.Tensor) -> dict[str, torch.Tensor]:
    features: dict[str, torch.Tensor] = TinyEncoder()(images)
    return features


def gram(features: torch.Tensor) -> torch.Tensor:
    """(C, h, w) to (C, C), equation 3 without its channels."""
    return torch.einsum("ihw,jhw->ij", features, features) / (features.shape[1] * features.shape[2])


def test_one_painting_is_its_own_style() -> None:
    painting = pictures(2)[:1].repeat(4, 1, 1, 1)
    t = trainer(FAST, steps=1)
    t.run(lambda step: Batch(pictures(1)[:4], painting), ignore, ignore, ignore)
    features = encoded(painting[:1].float() / 255)
    for layer, target in t.method.modules["style"].target.named_buffers():  # type: ignore[operator, union-attr]
        torch.testing.assert_close(target, gram(features[layer][0]), rtol=1e-4, atol=1e-6)


def test_the_step_is_the_papers_objective() -> None:
    t = trainer(FAST)
    source = batches(TRAINING)
    t.method.prepare(source, TRAINING.batch_size)
    (part,) = t._parts(source(0))
    generator = t.method.modules["generator"]
    with torch.no_grad():
        generator.draw.weight.normal_(0, 0.1)  # type: ignore[union-attr, operator]
    (ours,) = t.method.losses("generator", part)
    painted = generator(part.content)
    found, given = encoded((painted + 1) / 2), encoded((part.content + 1) / 2)
    paintings = encoded(torch.cat([source(step).style for step in range(2)]).float() / 255)
    style, content, count = torch.zeros(()), torch.zeros(()), len(painted)
    for i in range(count):
        content = content + (found["deep"][i] - given["deep"][i]).square().sum() / given["deep"][i].square().sum()
    for layer in ("shallow", "deep"):
        mean, target = (torch.stack([gram(x) for x in images[layer]]).mean(0) for images in (found, paintings))
        style = style + ((mean - target).norm() / target.norm()) ** 2 / 2
    assert ours["content"].item() == pytest.approx(content.item() / count, rel=1e-4)
    assert ours["style"].item() == pytest.approx(style.item(), rel=1e-4), "nothing was painted before"
    down, across = painted.diff(dim=2).abs().mean(), painted.diff(dim=3).abs().mean()
    assert ours["total_variation"].item() == pytest.approx((down + across).item(), rel=1e-5)


def test_every_term_of_the_loss_moves_the_generator() -> None:
    silent: dict[str, Any] = {f"{name}_weight": 0.0 for name in ("content", "style", "total_variation")}
    ends = []
    for name in [None, *silent]:
        t = trainer(replace(FAST, **(silent | ({name: 1.0} if name else {}))), steps=2)
        with torch.no_grad():
            t.method.modules["generator"].draw.weight.fill_(0.01)  # type: ignore[union-attr, operator]
        t.run(batches(TRAINING), ignore, ignore, ignore)
        ends.append(t.method.modules["generator"].draw.weight.detach().clone())  # type: ignore[union-attr, operator]
    for index, end in enumerate(ends[1:]):
        assert not torch.equal(end, ends[0]), list(silent)[index]


def test_training_learns_the_style() -> None:
    values: list[float] = []
    t = trainer(replace(FAST, content_weight=0.1, style_memory=0.5), steps=40, log_every=5)
    dark = pictures(2)[:4] // 4  # a style that can be learned
    source = batches(TRAINING)
    t.run(
        lambda step: replace(source(step), style=dark),
        lambda step, losses: values.append(losses["style"]),
        ignore,
        ignore,
    )
    assert values[-1] < 0.2 * values[0]


def test_the_watchdog_watches_it() -> None:
    t = trainer(FAST, steps=20, log_every=1)

    def plant(step: int) -> Batch:
        if step == 8:
            with torch.no_grad():
                next(t.method.modules["generator"].parameters()).fill_(float("nan"))
        return batches(TRAINING)(step % 4)

    with pytest.raises(TrainingStopped, match="step 9: content is nan"):
        t.run(plant, ignore, ignore, ignore)


def test_a_model_paints_any_size(tmp_path: Path) -> None:
    t = trainer(FAST, steps=2)
    t.run(batches(TRAINING), ignore, ignore, ignore)
    artifact.save(tmp_path, FAST, t.generator_ema, {})
    model = artifact.load(tmp_path)
    assert model.config == FAST
    picture = (uniform(0, 0, 0, 1, 3 * 30 * 21, 0) * 256).view(1, 3, 30, 21).to(torch.uint8)
    painted = model.painter()(picture)
    assert painted.shape == picture.shape
    assert torch.equal(painted, t.sample(picture))
    assert torch.equal(model.painter(Controls(0.0))(picture), picture)
