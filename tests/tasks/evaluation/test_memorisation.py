"""The memorisation audit: a planted copy is found however it is disguised, and new pictures are none."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.configs.gan import GanConfig
from atelier.models.encoders.alexnet import AlexNet
from atelier.models.methods.gan import Gan
from atelier.models.metrics.memorisation import Limits
from atelier.tasks.dataset.shards import Card, Shard, read_card, write_card, write_shard
from atelier.tasks.evaluation import memorisation
from atelier.tasks.evaluation.measure_models import Measurement
from atelier.tasks.evaluation.memorisation_audit import training_split
from atelier.tasks.evaluation.protocol import AuditSpec, EvaluateConfig, choose_encoder
from atelier.tasks.images.codec import Pixels, decode, encode

SIZE = 32


def drawn(count: int, seed: int) -> list[Pixels]:
    """Soft blots of colour, each picture another."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, 5, 5), generator=generator)
    pictures = F.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clamp(0, 1).mul(255).byte()
    return list(pictures.permute(0, 2, 3, 1).numpy())


def make_shard(folder: Path, pictures: list[Pixels], group: str) -> Shard:
    rows = []
    for index, picture in enumerate(pictures):
        data = encode(picture, "png")
        image = {"bytes": data, "path": f"{index}.png"}
        row = {"id": hashlib.sha256(data).hexdigest(), "group": f"{group}{index}", "image": image, "domain": "faces"}
        rows.append(row | {"split": "train", "width": SIZE, "height": SIZE, "source": "drawn", "attributes": "{}"})
    return write_shard(folder, pa.Table.from_pylist(rows), "faces", "train")


def make_model(folder: Path, picture: Pixels | None, size: int = SIZE) -> Path:
    """A model that makes a picture from whatever noise, or without one what an untrained network makes."""
    config = GanConfig(size_px=size, noise=4, width=16)
    torch.manual_seed(0)
    generator = Gan.build_generator(config, None)
    if picture is not None:
        values = torch.from_numpy(picture.copy()).permute(2, 0, 1).flatten() / 127.5 - 1
        state = {"body.9.weight": torch.zeros(3 * size**2, 16), "body.9.bias": values.clamp(-0.999, 0.999).atanh()}
        generator.load_state_dict(generator.state_dict() | state)
    artifact.save(folder, config, generator, {})
    return folder


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> AuditSpec:
    """Sixty training pictures in two shards, and LPIPS with random weights."""
    folder = tmp_path_factory.mktemp("faces")
    shards = make_shard(folder, drawn(40, 0), "a"), make_shard(folder, drawn(20, 1), "b")
    write_card(folder, Card(1, shards))
    torch.manual_seed(3)
    state = AlexNet().state_dict()
    state |= {key: torch.rand(value.shape) for key, value in state.items() if key.startswith("heads")}
    save_file(state, folder / "alexnet")
    on = Measurement(EvaluateConfig(), [], [], SIZE, choose_encoder("vgg19"), folder / "cache")
    return replace(training_split(folder, read_card(folder), "faces", on), lpips=folder / "alexnet")


def test_a_planted_copy_is_found_mirrored_and_compressed_too(spec: AuditSpec, tmp_path: Path) -> None:
    planted = drawn(20, 1)[7]
    points = [memorisation.embed_shard(spec, shard) for shard in (0, 1)]
    for name, shown in {"as it is": planted, "mirrored": planted[:, ::-1]}.items():
        copy = decode(encode(np.ascontiguousarray(shown), "jpeg", quality=85))
        metrics, pairs = memorisation.audit(spec, make_model(tmp_path / name, copy), 3, points)
        assert (metrics["share"], metrics["pictures"], metrics["training_pictures"]) == (1, 3, 60)
        assert metrics["embedding"]["share"] == metrics["lpips"]["share"] == 1
        assert [len(pairs), *{np.array_equal(known, shown) for _, known in pairs}] == [3, True], "the one it copies"
    kept = {file: file.stat().st_mtime_ns for file in spec.kept_files}
    metrics, _ = memorisation.audit(spec, make_model(tmp_path / "untrained", None), 8, points)
    assert metrics["share"] == 0
    assert metrics["embedding"]["nearest"] > metrics["embedding"]["limit"] > 0
    assert {file: file.stat().st_mtime_ns for file in spec.kept_files} == kept, "what training pictures say is kept"


@torch.inference_mode()
def test_new_pictures_of_the_same_kind_are_no_copies(spec: AuditSpec) -> None:
    worker = memorisation.Auditor(spec)
    known = torch.cat([torch.from_numpy(memorisation.embed_shard(spec, shard)).float() for shard in (0, 1)])
    between = worker.between_training(known)
    assert len(between.embedding) == len(between.lpips) == 60
    new = torch.from_numpy(np.stack(drawn(30, 2))).permute(0, 3, 1, 2)
    shares = worker.compared(new, known).shares(Limits.of(between))
    assert (shares < 1).mean() < 0.1, "sixty pictures say little of what is near"
    own = worker.compared(worker.training(range(60)), known)
    assert own.training.tolist() == list(range(60))
    assert own.embedding.max() < 0.05


def test_windows_of_one_picture_are_compared_with_each_other(spec: AuditSpec, tmp_path: Path) -> None:
    """A group has no other group to be compared with where there is only one."""
    alike = tuple(replace(shard, groups=("poster",) * len(shard.ids)) for shard in spec.shards)
    points = [memorisation.embed_shard(spec, shard) for shard in (0, 1)]
    alone = replace(spec, shards=alike, kept=tmp_path / "between.safetensors")
    metrics, _ = memorisation.audit(alone, make_model(tmp_path, None), 2, points)
    assert metrics["share"] == 0
