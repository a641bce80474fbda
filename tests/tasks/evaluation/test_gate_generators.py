"""The gate's limit for first generators: a training that only began is refused, one that learned something passes."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from atelier.models import artifact, encoders
from atelier.models.configs.gan import VaeConfig
from atelier.models.configs.loop import LoopConfig, WatchdogConfig
from atelier.models.methods.base import Batch
from atelier.models.training import Trainer
from atelier.tasks.dataset.shards import Card, Shard, write_card, write_shard
from atelier.tasks.evaluation.evaluate import evaluate
from atelier.tasks.evaluation.gate import GateConfig, gate
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.images.codec import encode
from atelier.tasks.runtime import encoder_weights

pytestmark = pytest.mark.long

SIDE = 32
CONFIG = VaeConfig(
    size_px=SIDE,
    noise=8,
    filters=8,
    optimizer=replace(VaeConfig().optimizer, generator_lr=3e-3),
    adversarial_weight=0.0,
)


GRIDS = GateConfig(max_checkerboard_ratio=100)  # so short a training leaves one in pictures that have none


def pictures(count: int, seed: int) -> Tensor:
    """Ramps from one colour to another with a mosaic on them, uint8 (count, 3, SIDE, SIDE)."""
    random = np.random.default_rng(seed)
    ends, way = random.uniform(0, 255, (count, 2, 3)), np.linspace(0, 1, SIDE)[:, None]
    ramps = ends[:, :1] * (1 - way) + ends[:, 1:] * way  # (count, SIDE, 3)
    mosaic = np.kron(random.normal(0, 25, (count, SIDE // 4, SIDE // 4, 1)), np.ones((1, 4, 4, 1)))
    return torch.from_numpy((ramps[:, None] + mosaic).clip(0, 255).astype(np.uint8)).permute(0, 3, 1, 2)


def shard(folder: Path, split: str, made: Tensor) -> Shard:
    files = [encode(one.permute(1, 2, 0).numpy(), "png") for one in made]
    rows = [
        {
            "id": (name := hashlib.sha256(data).hexdigest()), "group": name, "image": {"bytes": data, "path": name},
            "domain": "ramps", "split": split, "width": SIDE, "height": SIDE, "source": "drawn", "attributes": "{}",
        }
        for data in files
    ]  # fmt: skip
    return write_shard(folder, pa.Table.from_pylist(rows), "ramps", split)


def test_a_first_generator_must_make_pictures_of_the_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_cluster: None
) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "encoders"))
    dataset, learned = tmp_path / "dataset", pictures(96, 2)
    dataset.mkdir()
    write_card(dataset, Card(1, (shard(dataset, "train", learned), shard(dataset, "holdout", pictures(30, 1)))))
    facts = {"content_domain": "ramps", "style_domain": "ramps", "augment": {"size_px": SIDE}}
    found = {}
    for steps in (2, 300):
        encoder = encoders.load("efficientnet_lite0", encoder_weights.resolve("efficientnet_lite0"))
        loop = LoopConfig(steps=steps, batch_size=16, watchdog=WatchdogConfig(enabled=False))
        t = Trainer(CONFIG, replace(loop, decay_from=0.5), encoder)
        t.run(
            lambda step: Batch(part := learned[16 * (step % 6) :][:16], part),
            *3 * [lambda *_: None],
        )
        model = tmp_path / f"model-{steps}"
        artifact.save(model, CONFIG, t.generator_ema, facts | {"encoder": "efficientnet_lite0"})
        outputs = (tmp_path / f"{steps}.json", tmp_path / "plots", tmp_path / "cache")
        metrics = evaluate(EvaluateConfig(pictures=30, resamples=20), dataset, model, *outputs).metrics
        found[steps] = metrics["means"]["distance"], gate(metrics, None, GRIDS, first=True)
    (far, refused), (near, passed) = found[2], found[300]
    assert f"means.distance is {far:.3g}, it must be at most 2.5" in refused.reasons
    assert 0 < near < 1
    assert passed.passed, passed.reasons
    assert f"means.distance is {near:.3g}, at most 2.5" in passed.reasons
