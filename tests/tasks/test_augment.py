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

from atelier.tasks import dataset, images
from atelier.tasks.augment import CONTACT_SHEET, FORMAT, AugmentConfig, DomainAugmentation, augment, variant
from atelier.tasks.progress import Progress, silent

# Ray Data warns about a default of its own
pytestmark = pytest.mark.filterwarnings("ignore:`use_push_based_shuffle` is deprecated:DeprecationWarning")

STILL = DomainAugmentation(flip_horizontal=0, crop_area=(1.0, 1.0), rotation_deg=0)


def _picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _row(seed: int, domain: str, split: str) -> dict[str, object]:
    content = images.encode(_picture(seed), "png")
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
        rows = pa.Table.from_pylist([_row(start + i, domain, split) for i in range(count)], dataset.SCHEMA)
        shards.append(dataset.write_shard(path, rows, domain, split))
    dataset.write_card(path, dataset.Card(1, tuple(shards), {}))
    return path


def _contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.usefixtures("ray_cluster")
def test_the_training_set_is_a_dataset(folder: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    config = AugmentConfig(size_px=32, copies=2)
    summary = augment(config, folder, tmp_path / "out", seen.append)

    card = dataset.read_card(tmp_path / "out")
    assert summary.id == card.id
    assert summary.pictures == {"photos": 23, "paintings": 5}
    assert summary.variants == {"photos": 46, "paintings": 10}
    assert card.format == FORMAT
    assert {shard.split for shard in card.shards} == {"train"}
    assert card.facts["dataset"] == dataset.read_card(folder).id
    assert card.facts["augment"]["copies"] == 2
    for shard in card.shards:
        assert hashlib.sha256((tmp_path / "out" / shard.file).read_bytes()).hexdigest() == shard.sha256

    parents = {row["group"] for row in dataset.read_rows(folder, dataset.read_card(folder), split="train").to_pylist()}
    rows = dataset.read_rows(tmp_path / "out", card).to_pylist()
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
    sheet = Image.open(tmp_path / "out" / CONTACT_SHEET)
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
    assert sets[1][dataset.CARD]

    # a run over an older set replaces it: another seed, other bytes, and nothing of the old set left
    other = augment(replace(config, seed=1), folder, tmp_path / "2", silent)
    card = dataset.read_card(tmp_path / "2")
    assert card.id == other.id != json.loads(sets[1][dataset.CARD])["id"]
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
        dataset.read_card(tmp_path / "out")


def test_nothing_to_train_with_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no dataset"):
        augment(AugmentConfig(), tmp_path, tmp_path / "out", silent)
    dataset.write_card(tmp_path, dataset.Card(1, (), {}))
    with pytest.raises(ValueError, match="no picture in its train split"):
        augment(AugmentConfig(), tmp_path, tmp_path / "out", silent)


def _variant(settings: DomainAugmentation, picture: np.ndarray, size_px: int = 48, copy: int = 0) -> np.ndarray:
    return variant(AugmentConfig(size_px=size_px, default=settings), picture, "any", "id", copy)


def test_a_variant_is_a_function_of_seed_id_and_copy() -> None:
    config, picture = AugmentConfig(size_px=32), _picture(1)
    first = variant(config, picture, "photos", "a", 0)
    assert np.array_equal(first, variant(config, picture, "photos", "a", 0))
    for other in (
        variant(config, picture, "photos", "a", 1),
        variant(config, picture, "photos", "b", 0),
        variant(replace(config, seed=1), picture, "photos", "a", 0),
    ):
        assert not np.array_equal(first, other)


def test_with_everything_off_only_the_size_changes() -> None:
    picture = _picture(2, 48, 48)
    assert np.array_equal(_variant(STILL, picture), picture)
    assert np.array_equal(_variant(STILL, picture, 24), images.resize(picture, 24, 24))


def test_flips() -> None:
    picture = _picture(3, 48, 48)
    assert np.array_equal(_variant(replace(STILL, flip_horizontal=1), picture), picture[:, ::-1])
    assert np.array_equal(_variant(replace(STILL, flip_vertical=1), picture), picture[::-1])


def test_a_crop_is_a_square_of_the_share_that_was_drawn() -> None:
    x = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (100, 200, 3))
    for copy in range(20):
        made = _variant(replace(STILL, crop_area=(0.25, 0.25)), x, 50, copy)
        assert made.shape == (50, 50, 3)
        steps = np.diff(made[0, :, 0].astype(int))
        assert set(steps.tolist()) == {1}, "cut out unscaled, proportions kept"


def test_rotation_mirrors_the_borders_and_blackens_no_corner() -> None:
    white = np.full((48, 48, 3), 255, np.uint8)
    picture = _picture(4, 48, 48)
    for copy in range(5):
        assert _variant(replace(STILL, rotation_deg=45), white, copy=copy).min() == 255
    assert not np.array_equal(_variant(replace(STILL, rotation_deg=45), picture), picture)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue_deg"])
def test_colours_change_within_their_range(name: str) -> None:
    picture = _picture(5, 48, 48)
    small, large = (
        np.mean([np.abs(_variant(replace(STILL, **{name: amount}), picture, copy=c).astype(int) - picture).mean()
                 for c in range(8)])
        for amount in ((3.0, 60.0) if name == "hue_deg" else (0.05, 0.5))
    )  # fmt: skip
    assert 0 < small < large
    if name == "brightness":
        assert np.abs(_variant(replace(STILL, brightness=0.1), picture).astype(int) - picture).max() <= 26


def test_blur_and_noise() -> None:
    picture = _picture(6, 48, 48)
    sharp = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    blurred = _variant(replace(STILL, blur_probability=1, blur_sigma_px=(2.0, 2.0)), sharp)
    assert blurred.std() < 0.5 * sharp.std()
    grey = np.full((48, 48, 3), 128, np.uint8)
    noise = _variant(replace(STILL, noise_probability=1, noise_std=(0.05, 0.05)), grey).astype(float) - 128
    assert noise.std() == pytest.approx(0.05 * 255, rel=0.1)
    assert np.array_equal(_variant(replace(STILL, noise_std=(0.5, 0.5), blur_sigma_px=(3.0, 3.0)), picture), picture)


def test_the_defaults_leave_the_colours_of_a_style_alone() -> None:
    defaults, plain = AugmentConfig(size_px=32), np.full((48, 64, 3), (200, 100, 50), np.uint8)
    for copy in range(5):
        assert np.array_equal(variant(defaults, plain, "paintings", "x", copy), plain[:32, :32])
    assert not np.array_equal(variant(defaults, plain, "photos", "x", 0), plain[:32, :32])


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
