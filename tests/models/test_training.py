"""The loop: resuming is exact, everything else is a function of the step."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from atelier.models import artifact
from atelier.models.card import ModelCard
from atelier.models.checkpoint import load_checkpoint, save_checkpoint
from atelier.models.configs.loop import LoopConfig
from atelier.models.configs.style_statistics import CinConfig, FastConfig
from atelier.models.configs.translation import CutConfig, CycleganConfig
from atelier.models.losses.perceptual import gram
from atelier.models.methods.cpgan import StyleStatistics
from atelier.models.methods.window import window
from atelier.models.training import Trainer
from tests.models import tiny
from tests.models.tiny import (
    ADAIN,
    CIN,
    CONFIG,
    CUT,
    CYCLEGAN,
    DCGAN,
    FAST,
    FASTCUT,
    INFOGAN,
    INPAINT,
    R3GAN,
    REMEDIES,
    RESTORE,
    STARGAN,
    STYLEGAN,
    TRAINING,
    VAE,
    TinyEncoder,
    batches,
    ignore,
    pictures,
    trainer,
)

pytestmark = pytest.mark.long

METHODS = {
    "cpgan": CONFIG,
    "cyclegan": REMEDIES,
    "cut": CUT,
    "fastcut": replace(FASTCUT, discriminator="projected", adversarial="hinge"),
    "cin": CIN,
    "fast": FAST,
    # with its own weight of the style, what rounding moves flips a gate of the encoder within these few steps
    "adain": replace(ADAIN, adversarial_weight=1.0, style_weight=1.0),
    "stargan": replace(STARGAN, discriminator="projected", diffaugment=("translation",)),
    "dcgan": DCGAN,
    "infogan": INFOGAN,
    "stylegan": STYLEGAN,
    "r3gan": R3GAN,
    "restore": replace(RESTORE, faults=("blur", "noise", "jpeg"), adversarial_weight=0.1, perceptual_weight=0.1),
    "inpaint": INPAINT,
    "vae": VAE,
}
EVERY = pytest.mark.parametrize("config", METHODS.values(), ids=METHODS)
# processes take seconds to start: two methods stand for all, and `make test-all` has all
IN_PROCESSES = pytest.mark.parametrize(
    "config",
    [
        pytest.param(config, id=name, marks=() if name in ("cpgan", "cyclegan") else pytest.mark.slow)
        for name, config in METHODS.items()
    ],
)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@EVERY
def test_a_resumed_training_ends_with_the_same_tensors(tmp_path: Path, config: Any, precision: str) -> None:
    whole = trainer(config, precision=precision)
    path = tmp_path / "state.safetensors"

    def keep(step: int) -> None:
        if step == 3:
            save_checkpoint(path, whole)

    whole.run(batches(TRAINING), ignore, keep, ignore)

    resumed = trainer(config, precision=precision)
    torch.manual_seed(99)  # the state of the global generator must not matter
    load_checkpoint(path, resumed)
    assert resumed.step == 3
    resumed.run(batches(TRAINING), ignore, ignore, ignore)

    expected, found = whole.state_dict(), resumed.state_dict()
    assert expected.keys() == found.keys()
    for key in expected:
        assert torch.equal(expected[key], found[key]), key


def test_every_term_of_the_loss_moves_the_generator() -> None:
    silent = {f"{name}_weight": 0.0 for name in ("adversarial", "content", "style", "identity", "total_variation")}
    ends = []
    for name in [None, *silent]:
        weights = silent | ({name: 1.0} if name else {})
        t = trainer(replace(CONFIG, **weights), steps=2)
        with torch.no_grad():
            t.method.modules["generator"].draw.weight.fill_(0.01)  # type: ignore[union-attr, operator]
        t.run(batches(TRAINING), ignore, ignore, ignore)
        ends.append(t.method.modules["generator"].draw.weight.detach().clone())  # type: ignore[union-attr, operator]
    for index, end in enumerate(ends[1:]):
        assert not torch.equal(end, ends[0]), list(silent)[index]


def test_training_learns_the_style() -> None:
    values: list[float] = []
    t = trainer(replace(CONFIG, adversarial_weight=0.0, content_weight=0.1, style_memory=0.5), steps=40, log_every=5)
    dark = pictures(2) // 4  # a style that can be learned
    source = batches(TRAINING)
    t.run(
        lambda step: replace(source(step), style=dark[:4]),
        lambda step, losses: values.append(losses["style"]),
        ignore,
        ignore,
    )
    assert values[-1] < 0.2 * values[0]


def test_callbacks_come_when_they_should() -> None:
    calls: dict[str, list[int]] = {"step": [], "checkpoint": [], "sample": []}
    seen: list[dict[str, float]] = []

    def on_step(step: int, losses: dict[str, float]) -> None:
        calls["step"].append(step)
        seen.append(losses)

    trainer(steps=5).run(batches(TRAINING), on_step, calls["checkpoint"].append, calls["sample"].append)
    assert calls == {"step": [2, 3, 4, 5], "checkpoint": [3, 5], "sample": [4, 5]}
    names = {"adversarial", "content", "style", "luminance", "identity", "total_variation", "discriminator"}
    names |= {f"{turn}_{what}" for turn in ("generator", "discriminator") for what in ("lr", "gradient_norm")}
    names |= {"discriminator_accuracy"}
    assert all(set(losses) == names for losses in seen)
    assert all(isinstance(value, float) for losses in seen for value in losses.values())


def test_rates_rise_hold_and_fall_to_zero_and_the_average_follows() -> None:
    seen: list[dict[str, float]] = []
    t = trainer(steps=8, log_every=1, warm_up_steps=2, decay_from=0.5)
    t.run(batches(TRAINING), lambda step, metrics: seen.append(metrics), ignore, ignore)
    expected = [1 / 3, 2 / 3, 1, 1, 1, 0.75, 0.5, 0.25]
    for turn, rate in (("generator", 1e-3), ("discriminator", 5e-4)):
        assert [metrics[f"{turn}_lr"] / rate for metrics in seen] == pytest.approx(expected)
    ema, now = t.generator_ema.state_dict(), t.method.modules["generator"].state_dict()
    assert any(not torch.equal(ema[key], now[key]) for key in ema)


def test_equal_training_gives_equal_bytes_and_another_seed_others(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        t = trainer(seed=seed, steps=2)
        t.run(batches(TRAINING), ignore, ignore, ignore)
        artifact.save(tmp_path / name, CONFIG, t.generator_ema, {"steps": 2})
        contents.append([p.read_bytes() for p in sorted((tmp_path / name).iterdir())])
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def trained(done: Trainer) -> artifact.TrainedModel:
    """What a training leaves."""
    card = ModelCard(done.method_config.name, asdict(done.method_config))
    return artifact.TrainedModel(type(done.method), done.method_config, done.generator_ema, card)


def test_start_from_an_earlier_model() -> None:
    earlier = trainer(steps=2)
    earlier.run(batches(TRAINING), ignore, ignore, ignore)
    later = trainer(seed=5)
    later.start_from(trained(earlier), pictures(2))
    assert torch.equal(later.sample(pictures(1)), earlier.sample(pictures(1)))
    with pytest.raises(ValueError, match="the model to start from has another generator"):
        trainer(replace(CONFIG, width=12)).start_from(trained(earlier), pictures(2))


@pytest.mark.parametrize("warm", [True, False])
def test_the_average_keeps_what_a_trained_model_knew(tmp_path: Path, warm: bool) -> None:
    """A half-life of 50 steps leaves 97 % of it after two; from nothing little is left of the first weights."""
    training = {"seed": 5, "steps": 2, "checkpoint_every": 1, "ema_half_life_steps": 50.0}
    later = trainer(**training)
    if warm:
        later.start_from(trained(trainer()), pictures(2))
    first = [p.clone() for p in later.generator_ema.parameters()]
    later.run(batches(TRAINING), ignore, lambda step: save_checkpoint(tmp_path / f"{step}", later), ignore)
    moved, far = (
        sum(float((a - b).abs().sum()) for a, b in zip(first, network.parameters(), strict=True))
        for network in (later.generator_ema, later.method.modules["generator"])
    )
    assert moved < 0.05 * far if warm else moved > 0.5 * far
    again = trainer(**training)
    load_checkpoint(tmp_path / "1", again)
    again.run(batches(TRAINING), ignore, ignore, ignore)
    assert torch.equal(again.sample(pictures(1)), later.sample(pictures(1))), "also after a kill"


def test_start_from_a_model_of_another_method() -> None:
    """Methods that have one architecture start from each other; of a translation both ways it is the way forth."""
    config = CycleganConfig(filters=4, blocks=1, generator="skip", discriminator_filters=4)
    earlier = trainer(config, steps=1)
    torch.nn.init.normal_(earlier.generator_ema.forth.draw.weight)  # type: ignore[union-attr, arg-type]
    later = trainer(CutConfig(filters=4, blocks=1, generator="skip", discriminator_filters=4, patches=4))
    assert not torch.equal(later.sample(pictures(1)), earlier.sample(pictures(1)))
    later.start_from(trained(earlier), pictures(2))
    assert torch.equal(later.sample(pictures(1)), earlier.sample(pictures(1)))
    with pytest.raises(ValueError, match="the model to start from has another generator"):
        trainer(CONFIG).start_from(trained(earlier), pictures(2))

    styles = trainer(CinConfig(styles=("a", "b"), filters=4, width=8, blocks=1))
    torch.nn.init.normal_(styles.generator_ema.styles, std=0.1)  # type: ignore[arg-type]
    one = trainer(FastConfig(generator="light", filters=4, width=8, blocks=1))
    others = trainer(CinConfig(styles=("c",), filters=4, width=8, blocks=1))
    for later in (one, others):
        later.start_from(trained(styles), pictures(2))
        assert torch.equal(later.sample(pictures(1)), styles.sample(pictures(1))), "the first style"


def test_a_state_of_other_networks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, trainer())
    with pytest.raises(ValueError, match="the state does not fit this training"):
        load_checkpoint(path, trainer(replace(CONFIG, discriminator_filters=8)))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(path, trainer())


def _connected(rank: int, world_size: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )


def _train(rank: int, world_size: int, folder: str, config: Any, training: LoopConfig) -> None:
    """A rank's training, which leaves its state and metrics; then one that is interrupted."""
    _connected(rank, world_size, folder)
    metrics: dict[int, dict[str, float]] = {}
    t = Trainer(config, training, TinyEncoder(), rank=rank)
    t.run(batches(training, rank, world_size), metrics.__setitem__, ignore, ignore)
    save_checkpoint(Path(folder) / f"{rank}.safetensors", t)
    (Path(folder) / f"{rank}.json").write_text(json.dumps(metrics))
    _resume(rank, world_size, Path(folder) / f"{rank}-resumed.safetensors", config)
    torch.distributed.destroy_process_group()


def _resume(rank: int, world_size: int, path: Path, config: Any) -> None:
    training = replace(TRAINING, decay_from=1.0)  # so that an end after four steps changes nothing before it
    states = []
    for name, steps in (("whole", training.steps), ("first part", 4), ("second part", training.steps)):
        t = Trainer(config, replace(training, steps=steps), TinyEncoder(), rank=rank)
        if name == "second part":
            load_checkpoint(path, t)
        t.run(batches(training, rank, world_size), ignore, ignore, ignore)
        save_checkpoint(path, t)
        states.append(t.state_dict())
    whole, _, resumed = states
    assert whole.keys() == resumed.keys()
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key


def _assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if not key.startswith("optimizer"):
            torch.testing.assert_close(found[key], value, atol=1e-3, rtol=1e-3, msg=key)


@IN_PROCESSES
def test_workers_train_as_one_does_and_resume_exactly(tmp_path: Path, config: Any) -> None:
    """The same pictures in the same steps, in shares of three and two: sums in another order are all that differs.

    What the workers resume, they compare themselves: an error of theirs is raised here.
    """
    training = replace(TRAINING, batch_size=5)
    one, metrics = trainer(config, batch_size=5), {}
    one.run(batches(training), metrics.__setitem__, ignore, ignore)
    torch.multiprocessing.spawn(_train, (2, str(tmp_path), config, training), nprocs=2)
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    for key in first:
        assert torch.equal(first[key], second[key]), key
    _assert_close(first, one.state_dict())
    for rank in range(2):
        for step, found in json.loads((tmp_path / f"{rank}.json").read_text()).items():
            assert found == pytest.approx(metrics[int(step)], rel=1e-2, abs=1e-3), "metrics are of all workers"


@EVERY
def test_accumulated_gradients_are_those_of_the_whole_batch(config: Any) -> None:
    ends = []
    for accumulate in (1, 3):
        t = trainer(config, accumulate=accumulate)
        t.run(batches(TRAINING), ignore, ignore, ignore)
        ends.append(t.state_dict())
    _assert_close(ends[1], ends[0])


def test_statistics_are_those_of_many_pictures() -> None:
    statistics = StyleStatistics({"a": 2}, memory=0.75)
    batches_ = [torch.randn(3, 2, 4, 4, requires_grad=True) for _ in range(5)]
    grams = [gram(batch).mean(0) for batch in batches_]
    expected = (grams[0] + grams[1] + grams[2] + grams[3]) / 4  # a plain mean at first
    with torch.no_grad():
        for step in range(4):
            statistics.follow({"a": grams[step]}, step)
        torch.testing.assert_close(statistics.of("painted")["a"], expected)
        statistics.follow({"a": grams[4]}, 4)
    mean = statistics.mean_painted({"a": grams[4]})["a"]
    torch.testing.assert_close(mean, 0.75 * expected + 0.25 * grams[4])
    (found,) = torch.autograd.grad(mean.sum(), batches_[4], retain_graph=True)
    (own,) = torch.autograd.grad(grams[4].sum(), batches_[4])
    torch.testing.assert_close(found, own)


def test_the_window_moves_over_the_whole_picture() -> None:
    seen = torch.zeros(1, 1, 128, 96)
    offsets = set()
    for step in range(200):
        view = window(step, 128, 96)
        seen[view] += 1
        assert seen[view].shape == (1, 1, 112, 80)
        offsets.add((view[2].start, view[3].start))
    assert seen.amax(3).min() > 0
    assert seen.amax(2).min() > 0
    assert len(offsets) > 100
    assert seen[window(0, 32, 32)].shape == seen.shape


ENLARGING = tuple(replace(RESTORE, scale=scale, faults=()) for scale in (2, 4))
COARSE = tuple(replace(one, coarse_blocks=1) for one in (RESTORE, *ENLARGING))


@pytest.mark.parametrize(
    "config", [CONFIG, CYCLEGAN, CUT, FAST, CIN, ADAIN, INPAINT, STARGAN, RESTORE, *ENLARGING, *COARSE]
)
def test_a_method_trains_with_the_sizes_that_it_says_it_takes(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (32 + config.multiple, 40 + config.multiple):
        monkeypatch.setattr(tiny, "SIZE", size)
        trainer(config, steps=1, sample_every=1).run(batches(TRAINING), ignore, ignore, ignore)
