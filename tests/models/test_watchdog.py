"""The watchdog stops what went wrong, each fault planted in a real training, and nothing else."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from atelier.models.configs.base import OptimizerConfig
from atelier.models.configs.loop import WatchdogConfig
from atelier.models.configs.style_statistics import CpganConfig, FastConfig
from atelier.models.configs.translation import CutConfig, CycleganConfig
from atelier.models.methods.base import Batch
from atelier.models.training import Trainer
from atelier.models.watchdog import TrainingStopped, Watchdog
from tests.models.tiny import CONFIG, TRAINING, ignore, trainer

pytestmark = pytest.mark.long

CYCLE = CycleganConfig(filters=4, blocks=1, discriminator_filters=4, pool_size=4)
WEIGHTS = {"adversarial": 1.0, "content": 0.75, "style": 10.0, "luminance": 2.0, "discriminator": 1.0, "silent": 0.0}
SMALL = WatchdogConfig(discriminator_patience=10)


def scenes(count: int, seed: int, low: int, high: int) -> Tensor:
    """Smooth pictures, uint8 (count, 3, 32, 32)."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")
    return (low + smooth * (high - low)).to(torch.uint8)


CONTENT, STYLE = scenes(16, 1, 0, 255), scenes(16, 2, 60, 120)


def batches(step: int) -> Batch:
    places = [(4 * step + place) % 16 for place in range(4)]
    return Batch(CONTENT[places], STYLE[places])


def watchdog(config: WatchdogConfig = SMALL, method: Any = CONFIG, weights: Mapping[str, float] = WEIGHTS) -> Watchdog:
    return Watchdog(config, method, weights)


def watched(t: Trainer, config: WatchdogConfig = SMALL) -> dict[str, list[float]]:
    """Train under watch; the metrics."""
    dog = Watchdog(config, t.method_config, t.method.weights)
    seen: dict[str, list[float]] = {}

    def on_step(step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            seen.setdefault(name, []).append(value)
        dog.losses(step, metrics)

    t.run(batches, on_step, ignore, lambda step: dog.samples(step, CONTENT[:8], t.sample(CONTENT[:8])))
    return seen


def stopped(message: str, t: Trainer, config: WatchdogConfig = SMALL) -> str:
    with pytest.raises(TrainingStopped, match=message) as stop:
        watched(t, config)
    assert "\n" not in str(stop.value)
    return str(stop.value)


def rates(config: Any, generator: float, discriminator: float) -> Any:
    return replace(config, optimizer=OptimizerConfig(generator_lr=generator, discriminator_lr=discriminator))


# ---- faults, planted in trainings


@pytest.mark.parametrize("config", [CONFIG, CYCLE], ids=["cpgan", "cyclegan"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_none(config: Any, bad: float) -> None:
    t = trainer(config, steps=20, log_every=1)

    def plant(step: int) -> Batch:
        if step == 3:
            with torch.no_grad():
                next(t.method.modules["generator"].parameters()).view(-1)[0] = bad
        return batches(step)

    dog = Watchdog(SMALL, config, t.method.weights)
    with pytest.raises(TrainingStopped, match=r"at step 4: .*is nan.*train\.loop\.precision: float32"):
        t.run(plant, dog.losses, ignore, ignore)


def test_a_learning_rate_far_too_high() -> None:
    message = stopped("the loss style diverged", trainer(rates(CONFIG, 1.0, 5e-4), steps=60, log_every=1))
    assert "since step" in message
    assert "lower train.cpgan.optimizer.generator_lr (now 1.0)" in message
    message = stopped("the loss adversarial_style diverged", trainer(rates(CYCLE, 1e-3, 10.0), steps=60, log_every=1))
    assert "lower train.cyclegan.optimizer.discriminator_lr (now 10.0)" in message


def test_a_discriminator_that_wins() -> None:
    t = trainer(rates(CYCLE, 1e-9, 1e-2), steps=200, log_every=2, sample_every=200)
    message = stopped("discriminator_(content|style) collapsed: it has told 100.00%", t)
    assert "lower train.cyclegan.optimizer.discriminator_lr (now 0.01)" in message
    assert "train.cyclegan.diffaugment" in message


def test_a_discriminator_that_gave_up() -> None:
    config = replace(rates(CYCLE, 2e-4, 1e-9), adversarial="hinge")
    t = trainer(config, steps=40, log_every=1, sample_every=100)
    for domain in ("content", "style"):
        parameters = list(t.method.modules[f"discriminator_{domain}"].parameters())
        with torch.no_grad():
            for p in parameters:
                p.zero_()
            parameters[-1].fill_(0.1)  # of the score: every patch is real
    assert "50.0% of the patches right, as by chance" in stopped("its gradient vanished", t)


def test_a_generator_that_paints_a_constant() -> None:
    """From the first step on: it is given `diverse_from` steps."""
    t = trainer(rates(CYCLE, 1e-9, 1e-9), steps=8, sample_every=1, watchdog=WatchdogConfig(diverse_from=2))
    with torch.no_grad():
        for module in (t.method.modules["generator"].forth, t.generator_ema.forth):  # type: ignore[union-attr]
            for p in list(module.parameters())[-2:]:  # type: ignore[union-attr]
                p.zero_()
    message = stopped(r"at step 4: mode collapse: .* 0\.00\d times", t)
    assert "raise train.cyclegan.cycle_weight (now 10.0)" in message
    assert "content_weight" not in message, "cyclegan has none"


def test_a_generator_that_paints_negatives() -> None:
    """A luminance loss with its sign turned around makes one."""
    silent = {f"{name}_weight": 0.0 for name in ("adversarial", "content", "style", "identity")}
    config = replace(CONFIG, **silent, luminance_weight=-10.0)
    t = trainer(rates(config, 1e-2, 1e-9), steps=300, log_every=50, sample_every=20, ema_half_life_steps=5.0)
    message = stopped("colour inversion: .* median correlation of -0", t)
    assert "raise train.cpgan.luminance_weight" in message


def test_rows_of_dots_in_plain_areas() -> None:
    """They are given time: young generators leave them, and lose them."""
    skies = torch.linspace(100, 180, 96)[:, None].expand(4, 3, 96, 96)
    strokes = 10 * torch.randn(skies.shape, generator=torch.Generator().manual_seed(0))
    dots = torch.zeros(96, 96)
    dots[::4, ::4] = 60
    clean, dotted = ((skies + strokes + of).clamp(0, 255).to(torch.uint8) for of in (torch.zeros(()), dots))
    dog = watchdog(WatchdogConfig(repetition_patience=4))
    for step in range(31):
        dog.samples(step, skies.to(torch.uint8), clean if step % 4 == 3 else dotted)
    with pytest.raises(TrainingStopped, match=r"at step 31: repeating pattern: 0\.\d\d of what is painted") as stop:
        dog.samples(31, skies.to(torch.uint8), dotted)
    assert "lower train.cpgan.adversarial_weight (now 1.0)" in str(stop.value)


# ---- no alarm


@pytest.mark.parametrize("adversarial", ["hinge", "least_squares", "wasserstein"])
@pytest.mark.parametrize("config", [CONFIG, CYCLE], ids=["cpgan", "cyclegan"])
def test_healthy_trainings_go_on(config: Any, adversarial: str) -> None:
    t = trainer(replace(config, adversarial=adversarial), steps=50, log_every=1, sample_every=10)
    assert len(watched(t, WatchdogConfig())["discriminator_gradient_norm"]) == 50


def healthy(kind: str, rng: np.random.Generator, n: int = 300) -> Iterator[dict[str, float]]:
    """Metrics of each log point as healthy trainings have them."""

    def walk(start: float, end: float, half_life: float, noise: float) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """From start to end, with fast and slow noise."""
        slow = np.convolve(rng.normal(size=n), 0.95 ** np.arange(n))[:n]
        return end + (start - end) * 0.5 ** (np.arange(n) / half_life) + noise * (rng.normal(size=n) + slow)

    curves = {
        "content": walk(0.55, 0.95, 5, 0.04),
        "style": walk(0.3, 0.015, 8, 0.002),
        "luminance": walk(0.07, 0.1, 5, 0.01),
        "discriminator": walk(2.25, 1.3, 6, 0.06),
        "adversarial": walk(0.2, 0.7, 20, 0.08),
        "discriminator_accuracy": 0.75 + 0.02 * rng.normal(size=n),
        "discriminator_gradient_norm": walk(11, 8, 10, 0.3),
    }
    match kind:
        case "fooled half of the time":
            curves["adversarial"], curves["discriminator"] = walk(1.6, 0.1, 4, 0.05), walk(1.2, 1.85, 5, 0.04)
            curves["discriminator_accuracy"] = 0.5 + 0.004 * rng.normal(size=n)
        case "nearly always right":  # of a small set
            curves["adversarial"], curves["discriminator"] = walk(0.5, 0.9, 30, 0.05), walk(0.5, 0.02, 20, 0.004)
            curves["discriminator_accuracy"] = 1 - 0.004 * rng.random(n)
            curves["discriminator_gradient_norm"] = walk(10, 0.8, 15, 0.05)
        case "always right, and the generator follows":
            curves["adversarial"], curves["discriminator_accuracy"] = walk(3, 0, 80, 0.001), np.ones(n)
        case "far from the style":
            curves["style"] = walk(90, 0.05, 3, 0.01)
        case "wandering scores":  # wasserstein
            curves["discriminator"], curves["adversarial"] = walk(0, -25, 8, 2), walk(0, 40, 60, 6)
        case "spikes":
            for name in ("style", "content", "discriminator", "discriminator_gradient_norm"):
                curves[name][rng.integers(10, n, 6)] *= 500
        case _:
            assert kind == "usual"
    for values in zip(*curves.values(), strict=True):
        yield dict(zip(curves, map(float, values), strict=True))


@pytest.mark.parametrize(
    "kind",
    [
        "usual",
        "fooled half of the time",
        "nearly always right",
        "always right, and the generator follows",
        "far from the style",
        "wandering scores",
        "spikes",
    ],
)
def test_healthy_curves_raise_no_alarm(kind: str) -> None:
    for seed in range(10):
        dog = watchdog(WatchdogConfig())
        for step, metrics in enumerate(healthy(kind, np.random.default_rng(seed))):
            dog.losses(10 * step, metrics)


def test_pictures_that_are_painted_raise_no_alarm() -> None:
    dog = watchdog()
    noise = torch.Generator().manual_seed(0)
    paints: list[Callable[[Tensor], Tensor]] = [
        lambda x: x,
        lambda x: 0.3 * x + 160,  # pale
        lambda x: x.flip(1) * 0.6,  # other colours
        lambda x: 0.4 * x + 150 * torch.rand(x.shape, generator=noise),  # strokes
    ]
    for paint in paints:
        for step in range(6):
            dog.samples(step, CONTENT, paint(CONTENT.float()).clamp(0, 255).to(torch.uint8))
    flat = torch.full_like(CONTENT, 128)
    for step in range(6):
        dog.samples(step, flat, flat)  # nothing that could be kept apart
        dog.samples(step, CONTENT[:1], flat[:1])  # one picture tells nothing
    for step in range(20):  # now and then is not in a row
        dog.samples(step, CONTENT, 255 - CONTENT if step % 3 else CONTENT)
        dog.samples(step, CONTENT, flat if step % 3 else CONTENT)


# ---- what it needs, and what it says


def metrics(**changes: float) -> dict[str, float]:
    return {
        "adversarial": 0.7, "content": 0.9, "style": 0.02, "discriminator": 1.3, "silent": 0.1,
        "discriminator_accuracy": 0.75, "discriminator_gradient_norm": 8.0, "generator_lr": 1e-3,
    } | changes  # fmt: skip


def feed(dog: Watchdog, count: int, start: int = 0, **changes: float) -> None:
    for step in range(start, start + count):
        dog.losses(step, metrics(**changes))


def test_it_waits_for_as_long_as_it_is_told() -> None:
    for patience in (1, 4):
        dog = watchdog(WatchdogConfig(patience=patience))
        feed(dog, 20)
        feed(dog, patience - 1, 20, style=21.0)
        with pytest.raises(TrainingStopped, match=rf"at step {19 + patience}: the loss style .*since step 20;"):
            feed(dog, 1, 19 + patience, style=21.0)
    dog = watchdog()
    for start in range(0, 200, 10):
        feed(dog, 6, start)
        feed(dog, 4, start + 6, style=1e5, discriminator=-1e5)


def test_a_run_that_is_lost_from_its_first_step() -> None:
    dog = watchdog()
    with pytest.raises(TrainingStopped, match="the loss content diverged"):
        feed(dog, 20, content=1e6)


def test_a_loss_that_starts_high_and_falls() -> None:
    dog = watchdog()
    for step in range(100):
        dog.losses(step, metrics(style=1e5 * 0.97**step))


def test_small_losses_may_grow_and_vanishing_gradients_may_not() -> None:
    feed(dog := watchdog(), 20)
    feed(dog, 50, 20, style=2.0, discriminator_accuracy=0.5)  # 100 times its usual, and still no large number
    with pytest.raises(TrainingStopped, match=r"its gradient vanished: 0\.05, before 8"):
        feed(dog, 50, 70, discriminator_accuracy=0.5, discriminator_gradient_norm=0.05)


def test_what_trains_nothing_may_be_of_any_size() -> None:
    feed(dog := watchdog(), 20)
    feed(dog, 50, 20, silent=1e9, generator_lr=1e9)
    pure = {name: weight for name, weight in WEIGHTS.items() if name != "adversarial"}
    feed(watchdog(weights=pure), 50, discriminator_accuracy=1.0)  # a generator that does not play wins no points
    with pytest.raises(TrainingStopped, match=r"told 100\.00% of"):
        feed(watchdog(), 50, discriminator_accuracy=1.0)


def test_methods_without_a_discriminator_pass() -> None:
    dog = watchdog(weights={"content": 1.0})
    for step in range(50):
        dog.losses(step, {"content": 0.5})


def test_it_can_be_switched_off() -> None:
    dog = watchdog(WatchdogConfig(enabled=False))
    feed(dog, 50, content=math.nan, discriminator_accuracy=1.0)
    for step in range(10):
        dog.samples(step, CONTENT, 255 - CONTENT)


def test_limits_are_those_of_the_config() -> None:
    negative, pale = 255 - CONTENT, (CONTENT * 0.2).to(torch.uint8)
    for config, painted, alarm in (
        (WatchdogConfig(), negative, "inversion"),
        (WatchdogConfig(least_correlation=-1), negative, None),
        (WatchdogConfig(), pale, None),
        (WatchdogConfig(least_diversity=0.3), pale, "mode collapse"),
    ):
        dog = watchdog(config)
        dog.samples(1000, CONTENT, painted)
        dog.samples(1001, CONTENT, painted)
        if alarm:
            with pytest.raises(TrainingStopped, match=rf"at step 1002: .*{alarm}.*last 3 sample points"):
                dog.samples(1002, CONTENT, painted)
        else:
            dog.samples(1002, CONTENT, painted)


def test_pictures_that_differed_are_missed_at_once() -> None:
    dog = watchdog(WatchdogConfig())
    for step in range(5):
        dog.samples(step, CONTENT, CONTENT * 0)  # nothing yet
    dog.samples(5, CONTENT, CONTENT)
    for step in (6, 7):
        dog.samples(step, CONTENT, CONTENT * 0)
    with pytest.raises(TrainingStopped, match="at step 8: mode collapse"):
        dog.samples(8, CONTENT, CONTENT * 0)


@pytest.mark.parametrize(
    "config", [CpganConfig(), CycleganConfig(), CutConfig(), FastConfig()], ids=["cpgan", "cyclegan", "cut", "fast"]
)
def test_messages_name_parameters_that_there_are(config: Any) -> None:
    faults: list[Callable[[Watchdog], None]] = [
        lambda dog: feed(dog, 1, content=math.nan),
        lambda dog: feed(dog, 10, content=1e9),
        lambda dog: feed(dog, 10, discriminator=1e9),
        lambda dog: feed(dog, 30, discriminator_accuracy=1.0),
        lambda dog: feed(dog, 30, discriminator_accuracy=0.5, discriminator_gradient_norm=0.0),
        lambda dog: [dog.samples(step, CONTENT, CONTENT * 0) for step in range(1000, 1003)],  # type: ignore[func-returns-value]
        lambda dog: [dog.samples(step, CONTENT, 255 - CONTENT) for step in range(3)],  # type: ignore[func-returns-value]
    ]
    for fault in faults:
        dog = watchdog(WatchdogConfig(), config)
        with pytest.raises(TrainingStopped) as stop:
            fault(dog)
        named = re.findall(r"train\.([a-z_.0-9]+)", str(stop.value))
        assert named
        for path in named:
            section, *parts = path.split(".")
            value = {config.name: config, "loop": TRAINING}[section]
            if parts[0] == "watchdog":
                value, parts = WatchdogConfig(), parts[1:]
            for part in parts:
                value = getattr(value, part)
