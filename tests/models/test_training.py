"""The loop: resuming is exact, everything else is a function of the step."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from atelier.models import artifact
from atelier.models.losses.perceptual import gram
from atelier.models.methods.cpgan import CpganConfig, StyleStatistics, window
from atelier.models.training import Trainer, draw, load_checkpoint, save_checkpoint
from tests.models.tiny import CONFIG, TRAINING, TinyEncoder, batches, ignore, pictures, trainer


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_training_ends_with_the_same_tensors(tmp_path: Path, precision: str) -> None:
    whole = trainer(precision=precision)
    path = tmp_path / "state.safetensors"

    def keep(step: int) -> None:
        if step == 3:
            save_checkpoint(path, whole)

    whole.run(batches(TRAINING), ignore, keep, ignore)

    resumed = trainer(precision=precision)
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
    assert calls == {"step": [2, 4, 5], "checkpoint": [3, 5], "sample": [4, 5]}
    names = {"adversarial", "content", "style", "luminance", "identity", "total_variation", "discriminator"}
    assert all(set(losses) == names for losses in seen)
    assert all(isinstance(value, float) for losses in seen for value in losses.values())


def test_rates_fall_to_zero_and_the_average_follows() -> None:
    t = trainer(steps=4, decay_from=0.5)
    rates = []
    t.run(batches(TRAINING), ignore, lambda step: None, ignore)
    for step in range(4):
        t.step = step
        t._set_rates()
        rates.append(t.method.optimizers["generator"].param_groups[0]["lr"] / TRAINING.generator_lr)
    assert rates == [1, 1, 1, 0.5]
    ema, now = t.generator_ema.state_dict(), t.method.modules["generator"].state_dict()
    assert any(not torch.equal(ema[key], now[key]) for key in ema)


def test_order_is_a_permutation_of_every_epoch() -> None:
    first, second = ([draw(3, "photo", epoch * 10 + i, 10) for i in range(10)] for epoch in (0, 1))
    assert Counter(first) == Counter(second) == Counter(range(10))
    assert first != second
    assert first != [draw(3, "monet", i, 10) for i in range(10)]
    assert first != [draw(4, "photo", i, 10) for i in range(10)]


def test_equal_training_gives_equal_bytes_and_another_seed_others(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        t = trainer(seed=seed, steps=2)
        t.run(batches(TRAINING), ignore, ignore, ignore)
        artifact.save(tmp_path / name, CONFIG, t.generator_ema, {"steps": 2})
        contents.append([p.read_bytes() for p in sorted((tmp_path / name).iterdir())])
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_start_from_an_earlier_model() -> None:
    earlier = trainer(steps=2)
    earlier.run(batches(TRAINING), ignore, ignore, ignore)
    later = trainer(seed=5)
    later.start_from(earlier.generator_ema.state_dict())
    assert torch.equal(later.sample(pictures(1)), earlier.sample(pictures(1)))
    with pytest.raises(ValueError, match="the model to start from has another generator"):
        trainer(replace(CONFIG, width=12)).start_from(earlier.generator_ema.state_dict())


def test_a_state_of_other_networks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, trainer())
    with pytest.raises(ValueError, match="the state does not fit this training"):
        load_checkpoint(path, trainer(replace(CONFIG, discriminator_filters=8)))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(path, trainer())
    with pytest.raises(ValueError, match="batch_size 4 cannot be divided among 3 workers"):
        Trainer(CONFIG, TRAINING, TinyEncoder(), world_size=3)


def _rank(rank: int, world_size: int, folder: str, config: CpganConfig) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )
    wrap: Any = DistributedDataParallel if world_size > 1 else lambda module: module
    t = Trainer(config, TRAINING, TinyEncoder(), rank=rank, world_size=world_size, wrap=wrap)
    t.run(batches(TRAINING, rank, world_size), ignore, ignore, ignore)
    save_checkpoint(Path(folder) / f"{rank}.safetensors", t)
    torch.distributed.destroy_process_group()


def test_two_workers_train_as_one_does(tmp_path: Path) -> None:
    """The same pictures in the same steps; sums in another order are all that differs."""
    one = trainer()
    one.run(batches(TRAINING), ignore, ignore, ignore)
    torch.multiprocessing.spawn(_rank, (2, str(tmp_path), CONFIG), nprocs=2)
    states = []
    for rank in range(2):
        t = trainer()
        load_checkpoint(tmp_path / f"{rank}.safetensors", t)
        states.append(t.state_dict())
    for key, value in one.state_dict().items():
        assert torch.equal(states[0][key], states[1][key]), key
        if not key.startswith("optimizer"):
            torch.testing.assert_close(states[0][key], value, atol=2e-4, rtol=1e-3, msg=key)


def test_statistics_are_those_of_many_pictures() -> None:
    statistics = StyleStatistics({"a": 2}, memory=0.75)
    batches_ = [torch.randn(3, 2, 4, 4, requires_grad=True) for _ in range(6)]
    grams = [gram(batch).mean(0) for batch in batches_]
    expected = (grams[0] + grams[1] + grams[2] + grams[3]) / 4  # a plain mean at first
    for step in range(4):
        mean = statistics.follow({"a": batches_[step]}, step)["a"]
    torch.testing.assert_close(mean, expected)
    mean = statistics.follow({"a": batches_[4]}, 4)["a"]
    torch.testing.assert_close(mean, 0.75 * expected + 0.25 * grams[4])
    (found,) = torch.autograd.grad(mean.sum(), batches_[4])
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


def test_modules_are_saved_unwrapped() -> None:
    wrapped = Trainer(CONFIG, TRAINING, TinyEncoder(), wrap=nn.Sequential)
    assert wrapped.state_dict().keys() == trainer().state_dict().keys()
