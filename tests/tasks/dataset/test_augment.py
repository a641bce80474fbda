"""Augmentation on a real Ray cluster: what is drawn, what is written, and that it is the same every time."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from atelier.tasks.dataset.augment import CONTACT_SHEET, augment
from atelier.tasks.dataset.augment_config import AugmentConfig, DomainAugmentation
from atelier.tasks.dataset.shards import CARD, SCHEMA, Card, read_card, read_rows, write_card, write_shard
from atelier.tasks.images import codec
from atelier.tasks.runtime.progress import Progress, silent
from atelier.tasks.workspace.format_versions import AUGMENT

# Ray Data warns about defaults of its own


def _picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _row(seed: int, domain: str, split: str) -> dict[str, object]:
    content = codec.encode(_picture(seed), "png")
    digest = hashlib.sha256(content).hexdigest()
    return {
        "id": digest, "group": f"parent-{seed % 3}", "image": {"bytes": content, "path": f"deep/{seed}.png"},
        "domain": domain, "split": split, "width": 64, "height": 48, "source": "sample", "attributes": '{"a": 1}',
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two domains with two training shards in one, and a held-out shard that must not be read."""
    path = tmp_path_factory.mktemp("dataset")
    shards = []
    for start, count, domain, split in [(0, 20, "photos", "train"), (20, 3, "photos", "train"),
                                        (30, 5, "paintings", "train"), (40, 4, "photos", "holdout")]:  # fmt: skip
        rows = pa.Table.from_pylist([_row(start + i, domain, split) for i in range(count)], SCHEMA)
        shards.append(write_shard(path, rows, domain, split))
    write_card(path, Card(1, tuple(shards), {}))
    return path


def _contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.usefixtures("ray_cluster")
def test_the_training_set_is_a_dataset(folder: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    config = AugmentConfig(size_px=32, copies=2)
    summary = augment(config, folder, tmp_path / "out", seen.append)

    card = read_card(tmp_path / "out")
    assert summary.id == card.id
    assert summary.pictures == {"photos": 23, "paintings": 5}
    assert summary.variants == {"photos": 46, "paintings": 10}
    assert card.format == AUGMENT
    assert {shard.split for shard in card.shards} == {"train"}
    assert card.facts["dataset"] == read_card(folder).id
    assert card.facts["augment"]["copies"] == 2
    for shard in card.shards:
        assert hashlib.sha256((tmp_path / "out" / shard.file).read_bytes()).hexdigest() == shard.sha256

    parents = {row["group"] for row in read_rows(folder, read_card(folder), split="train").to_pylist()}
    rows = read_rows(tmp_path / "out", card).to_pylist()
    assert {row["group"] for row in rows} == parents
    assert {row["attributes"] for row in rows} == {'{"a": 1}'}
    assert sorted(row["image"]["path"] for row in rows if row["domain"] == "paintings")[:2] == [
        "deep/30-0.png", "deep/30-1.png",
    ]  # fmt: skip
    for row in rows:
        assert row["id"] == hashlib.sha256(row["image"]["bytes"]).hexdigest()
        picture = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (picture.format, picture.size, row["width"], row["height"]) == ("PNG", (32, 32), 32, 32)

    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 28, 28)
    assert len(seen) > 3, "progress is told part by part"
    with Image.open(tmp_path / "out" / CONTACT_SHEET) as sheet:
        assert sheet.width > 3 * 128
        assert sheet.height > 6 * 128


@pytest.mark.usefixtures("ray_cluster")
def test_same_seed_same_bytes_with_one_and_two_workers(folder: Path, tmp_path: Path) -> None:
    import ray

    config = AugmentConfig(size_px=32, copies=2, default=DomainAugmentation(noise_probability=1, blur_probability=1))
    context = ray.data.DataContext.get_current()
    whole = context.execution_options.resource_limits
    sets = {}
    for workers in (1, 2):
        context.execution_options.resource_limits = whole.copy(cpu=workers)
        try:
            augment(config, folder, tmp_path / str(workers), silent)
        finally:
            context.execution_options.resource_limits = whole
        sets[workers] = _contents(tmp_path / str(workers))
    assert sets[1] == sets[2]
    assert sets[1][CARD]

    # a run over an older set replaces it: another seed, other bytes, and nothing of the old set left
    other = augment(replace(config, seed=1, held_out=True), folder, tmp_path / "2", silent)
    card = read_card(tmp_path / "2")
    assert (card.rows("photos", "train"), card.rows("photos", "holdout")) == (46, 4), "held-out pictures are kept once"
    assert card.id == other.id != json.loads(sets[1][CARD])["id"]
    assert {p.name for p in (tmp_path / "2").glob("*.parquet")} == {shard.file for shard in card.shards}


@pytest.mark.usefixtures("ray_cluster")
def test_a_crash_leaves_no_training_set(folder: Path, tmp_path: Path) -> None:
    augment(AugmentConfig(size_px=16, copies=1), folder, tmp_path / "out", silent)

    def crash(progress: Progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        augment(AugmentConfig(size_px=16, copies=2), folder, tmp_path / "out", crash)
    with pytest.raises(FileNotFoundError):
        read_card(tmp_path / "out")


def test_nothing_to_train_with_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no dataset"):
        augment(AugmentConfig(), tmp_path, tmp_path / "out", silent)
    write_card(tmp_path, Card(1, (), {}))
    with pytest.raises(ValueError, match="no picture in its train split"):
        augment(AugmentConfig(), tmp_path, tmp_path / "out", silent)


def test_parameters_are_checked() -> None:
    schema = TypeAdapter(AugmentConfig)
    read = schema.validate_python({"copies": 2, "domains": {"photos": {"crop_area": [0.5, 0.9]}}})
    assert read.of("photos").crop_area == (0.5, 0.9)
    assert read.of("paintings") == DomainAugmentation()
    for wrong in ({"copys": 2}, {"copies": 0}, {"default": {"flip": 1}}, {"default": {"flip_vertical": 2}}):
        with pytest.raises(ValidationError):
            schema.validate_python(wrong)
    with pytest.raises(ValueError, match=r"crop_area is \(0.9, 0.5\)"):
        DomainAugmentation(crop_area=(0.9, 0.5))
