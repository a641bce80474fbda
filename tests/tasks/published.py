"""Versions of tiny models of tiny datasets: what the pipeline leaves, without the training."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from atelier.models import artifact
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.methods.cpgan import Cpgan
from atelier.tasks.dataset.shards import Card, write_card, write_shard
from atelier.tasks.evaluation.gate import GateConfig
from atelier.tasks.images.codec import Pixels, encode
from atelier.tasks.registry.release import ReleaseResult, release_model
from atelier.tasks.workspace.create import init
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import dvc

PARAMS = """\
ingest: {size_px: 32, domains: {photos: ["sample://photos"], paintings: ["sample://paintings"]}}
augment: {seed: 0}
train: {content: photos, style: paintings}
evaluate: {seed: 0}
gate: {}
stylize: {}
"""


def noise(seed: int, size: int = 32) -> Pixels:
    """A picture like no other."""
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def lay(folder: Path, pictures: Mapping[str, Sequence[Pixels]], **parameters: Any) -> Card:
    """A dataset whose pictures are in shards of four, every fourth shard and the first held out."""
    shutil.rmtree(folder, ignore_errors=True)
    shards = []
    for domain, all_of_it in pictures.items():
        for start in range(0, len(all_of_it), 4):
            split = "train" if start % 16 else "holdout"
            rows = []
            for pixels in all_of_it[start : start + 4]:
                data = encode(pixels, "png")
                id = hashlib.sha256(data).hexdigest()
                height, width = pixels.shape[:2]
                image = {"bytes": data, "path": f"{id[:8]}.png"}
                rows.append(
                    {"id": id, "group": id, "image": image, "domain": domain, "split": split, "width": width}
                    | {"height": height, "source": "here", "attributes": "{}"}
                )
            shards.append(write_shard(folder, pa.Table.from_pylist(rows), domain, split))
    card = Card(1, tuple(shards), {"parameters": {"size_px": 32} | parameters})
    write_card(folder, card)
    return card


def studio(root: Path) -> Workspace:
    """A workspace of three versions: one, a better one of the same data, one of other data that the gate refused."""
    workspace, _ = init(root, PARAMS)
    workspace.sources_lock.write_text("pictures\n")
    workspace.start_lock.write_text("scratch\n")
    photos, paintings = [noise(n) for n in range(24)], [noise(n) for n in range(100, 108)]
    card = lay(workspace.dataset, {"photos": photos[:16], "paintings": paintings})
    publish(workspace, card, seed=1)
    publish(workspace, card, seed=2, kid=0.45)
    card = lay(workspace.dataset, {"photos": photos[4:20], "paintings": paintings}, min_px=16)
    publish(workspace, card, seed=3, kid=0.9)
    lay(workspace.dataset, {"photos": photos[4:], "paintings": paintings}, min_px=16)
    return workspace


def publish(workspace: Workspace, card: Card, seed: int, kid: float = 0.5) -> ReleaseResult:
    """Leave a model trained on the dataset that is laid as the stages would, and judge and register it."""
    write_card(workspace.augmented, Card(1, (), {"dataset": card.id}))
    config = CpganConfig(filters=4, blocks=1)
    torch.manual_seed(seed)
    generator = Cpgan.build_generator(config, None)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    facts = {"dataset": card.id, "style_domain": "paintings", "train": {"steps": 100 + seed, "seed": 0}}
    artifact.save(workspace.model, config, generator, facts)
    metrics = {
        "dataset": card.id[:12], "size_px": 32, "kid": {"metric": "kid_inception", "ratio": kid},
        "style": {"encoder": "inception", "ratio": 0.4}, "ssim": {"mean": 0.6},
        "inversion": {"share": 0.0}, "checkerboard": {"ratio": 1.0}, "repetition": {"share": 0.0},
    }  # fmt: skip
    texts = {
        workspace.training_logs / "metrics.json": json.dumps({"seed": seed}),
        workspace.evaluation_pictures / "ssim.csv": "image,ssim\n",
        workspace.evaluation: json.dumps(metrics),
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    dvc(workspace.root, "commit", "--force", "--quiet")
    return release_model(workspace, GateConfig(), None)


def age(*paths: Path) -> None:
    """Make files older than any version."""
    for path in paths:
        for one in [path, *path.rglob("*")]:
            os.utime(one, (1e9, 1e9))


def forget(workspace: Workspace) -> None:
    """Make what DVC remembers of runs older than the last version, as it is on any other day."""
    age(workspace.root / ".dvc" / "cache" / "runs")
