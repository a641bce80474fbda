"""Training ends when its pictures come no closer to held-out style pictures, with its best weights."""

import threading
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atelier.models.card import ModelCard
from atelier.models.configs.base import OptimizerConfig
from atelier.tasks.dataset.shards import SCHEMA, Card, read_card, write_card, write_shard
from atelier.tasks.runtime.progress import Progress, silent
from atelier.tasks.training.train import train
from tests.tasks.training.test_train import TINY, make_training_set

STEPS = 16
RESTLESS = replace(
    TINY,
    patience=2,
    loop=replace(TINY.loop, steps=STEPS, decay_from=1.0),  # rates do not depend on the number of steps
    # far too fast, so that it does not stay at its best
    cpgan=replace(TINY.cpgan, optimizer=OptimizerConfig(generator_lr=0.3)),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_training_set(tmp_path_factory.mktemp("held-out"))
    other = make_training_set(tmp_path_factory.mktemp("others"))
    card = read_card(folder)
    (paintings,) = (shard for shard in read_card(other).shards if shard.domain == "paintings")
    rows = pq.read_table(other / paintings.file).to_pylist()[:3]
    held_out = pa.Table.from_pylist([row | {"split": "holdout"} for row in rows], SCHEMA)
    write_card(folder, Card(1, (*card.shards, write_shard(folder, held_out, "paintings", "holdout")), card.facts))
    return folder


def test_it_ends_with_the_best_weights_also_after_a_stop(data: Path, tmp_path: Path) -> None:
    def trained(name: str, config: object = RESTLESS, report: object = silent) -> tuple[bytes, int]:
        folders = tmp_path / name, tmp_path / f"{name}-checkpoints", tmp_path / f"{name}-logs"
        train(config, data, *folders, report)  # type: ignore[arg-type]
        weights = (tmp_path / name / "generator.safetensors").read_bytes()
        return weights, ModelCard.read(tmp_path / name).training["steps"]

    weights, best = trained("first")
    assert best < STEPS - 2, "it ended early"
    shorter = replace(RESTLESS, patience=0, loop=replace(RESTLESS.loop, steps=best))
    assert trained("shorter", shorter) == (weights, best), "the weights are those of its best step"

    def stopping(progress: Progress) -> None:
        raise InterruptedError

    for left in (2, 1):  # checkpoints: with the last one it is enough already, without it there is more to do
        with pytest.raises(InterruptedError):
            trained("second", report=stopping)
        for thread in [one for one in threading.enumerate() if one.name == "fit"]:
            thread.join()
        checkpoints = sorted((tmp_path / "second-checkpoints").glob("*/in-process-*"))
        assert len(checkpoints) == 2
        for checkpoint in checkpoints[left:]:
            checkpoint.unlink()
        assert trained("second") == (weights, best)


def test_held_out_pictures_are_needed(tmp_path: Path) -> None:
    alone = make_training_set(tmp_path / "alone")
    folders = tmp_path / "model", tmp_path / "checkpoints", tmp_path / "logs"
    with pytest.raises(ValueError, match=r"no pictures of paintings, held out: set augment\.held_out"):
        train(RESTLESS, alone, *folders, silent)
