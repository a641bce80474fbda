"""Models side by side: the same pictures for all, found by name before anything starts, shown as they were measured."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from atelier.models import artifact
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.methods.cpgan import Cpgan
from atelier.tasks.dataset.shards import Card, write_card
from atelier.tasks.evaluation.compare import (
    Candidate,
    Comparison,
    ComparisonSpec,
    Measured,
    find,
    measure,
    measure_untouched,
    prepare,
    publish,
)
from atelier.tasks.evaluation.compare_table import cells
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.images.codec import decode
from atelier.tasks.runtime.progress import Progress
from tests.tasks.evaluation.test_evaluate import make_editor, make_faces, make_shard

CONFIG = EvaluateConfig(pictures=8, batch=4, resamples=30, pairs=3, viewed_pictures=3)
DOMAINS = ["photos", "inks", "oils"]


def located(text: str) -> tuple[str, Path]:
    return Path(text).name, Path(text)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with two styles, and three models: of each style, and one that does not say what it learned."""
    root = tmp_path_factory.mktemp("studio")
    shards = [make_shard(root / "dataset", domain, "holdout", 8, seed) for seed, domain in enumerate(DOMAINS)]
    write_card(root / "dataset", Card(1, tuple(shards)))
    for seed, (name, facts) in enumerate(
        {"first": {"style_domain": "oils"}, "second": {"style_domain": "inks"}, "third": {}}.items()
    ):
        torch.manual_seed(seed)
        config = CpganConfig(filters=4 + 2 * seed, blocks=1)
        artifact.save(root / name, config, Cpgan.build_generator(config, None), {"encoder": "vgg19", **facts})
    return root


@pytest.fixture(scope="module")
def candidates(studio: Path) -> list[Candidate]:
    return find([str(studio / name) for name in ("first", "second", "third")], located, "oils", DOMAINS)


@pytest.fixture(scope="module")
def spec(
    ray_cluster: None, studio: Path, candidates: list[Candidate], tmp_path_factory: pytest.TempPathFactory
) -> ComparisonSpec:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_CACHE", str(tmp_path_factory.mktemp("cache")))  # only the encoder of the packages
        spec = prepare(CONFIG, studio / "dataset", "photos", 32, studio / "features", candidates)
        assert measure_untouched(spec) == 24
    return spec


@pytest.fixture(scope="module")
def measured(spec: ComparisonSpec, candidates: list[Candidate]) -> list[Measured]:
    seen: list[Progress] = []
    found = [measure(spec, candidate, seen.append) for candidate in candidates]
    counts = [0, 4, 8, 12, 16, 20, 24]  # stylized, untouched, paintings: eight of each in batches of four
    assert [(p.done, p.total) for p in seen] == 3 * [(done, spec.total(candidates[0])) for done in counts]
    return found


def test_each_is_compared_with_its_own_style(candidates: list[Candidate]) -> None:
    assert [(c.name, c.method, c.style) for c in candidates] == [
        ("first", "cpgan", "oils"),
        ("second", "cpgan", "inks"),
        ("third", "cpgan", "oils"),  # what the workspace says, where the model does not
    ]


def test_pictures_and_size_are_the_same_for_all(measured: list[Measured], spec: ComparisonSpec) -> None:
    first, second, third = measured
    for one in measured:
        assert one.metrics["counts"] == {"content": 8, "style": 8, "content_groups": 4, "style_groups": 4}
        assert one.metrics["kid"]["low"] <= one.metrics["kid"]["high"]
    assert first.metrics["kid"]["photos"] == third.metrics["kid"]["photos"] != second.metrics["kid"]["photos"]
    for before in zip(*(one.shown for one in measured), strict=True):
        assert all(np.array_equal(pair[0], before[0][0]) for pair in before)
    assert first.metrics["size"]["parameters"] < third.metrics["size"]["parameters"]
    file = measured[0].candidate.folder / artifact.WEIGHTS
    assert first.metrics["size"]["megabytes"] == pytest.approx(file.stat().st_size / 1e6, rel=1e-4)
    assert len(list(spec.cache.iterdir())) == 6 + 9, "three domains in batches of four; three pictures of each at 60 px"


def test_a_model_is_measured_as_it_is_alone(
    measured: list[Measured], spec: ComparisonSpec, candidates: list[Candidate]
) -> None:
    again = measure(spec, candidates[1]).metrics
    for name in ("kid", "style", "ssim", "content"):
        assert again[name] == measured[1].metrics[name]


@pytest.fixture
def published(tmp_path: Path, spec: ComparisonSpec, measured: list[Measured]) -> Comparison:
    return publish(tmp_path, spec, measured, {"fourth": "it is broken"})


def test_what_is_written(published: Comparison, measured: list[Measured]) -> None:
    content = json.loads(published.path.read_text())
    assert content == published.content
    assert [model["name"] for model in content["models"]] == ["first", "second", "third"]
    assert (content["size_px"], content["indicative"]) == (32, True)
    lines = published.table.read_text().splitlines()
    assert lines[0].split() == ["|", "|", "first", "|", "second", "|", "third", "|"]
    assert len({len(line) for line in lines if line.startswith("|")}) == 1, "columns are aligned"
    kid = next(line for line in lines if "KID × 1000" in line)
    value, interval = kid.split("|")[2].split(maxsplit=1)
    assert float(value.replace(",", "")) == pytest.approx(1000 * measured[0].metrics["kid"]["stylized"], rel=0.01)
    assert interval.startswith("[")
    larger = next(line for line in lines if "KID at 60 px × 1000" in line)
    at = 1000 * measured[0].metrics["sizes"]["60"]["kid"]["stylized"]
    assert float(larger.split("|")[2].split()[0].replace(",", "")) == pytest.approx(at, rel=0.01)
    assert "- fourth could not be measured: it is broken" in lines
    assert not any("LPIPS" in line for line in lines), "nobody has it"


def test_the_grid_has_a_row_for_each_picture_and_a_column_for_each_model(published: Comparison) -> None:
    grid = decode(published.grid.read_bytes())
    rows, columns = 3 + 1, 1 + 3
    assert grid.shape[0] == pytest.approx(rows * 196, abs=40)
    assert grid.shape[1] == pytest.approx(columns * 196, abs=120)


def test_of_one_style_the_photographs_are_a_column(measured: list[Measured]) -> None:
    models = [
        {"name": m.candidate.name, "method": "cpgan", "style_domain": "oils", **m.metrics}
        for m in (measured[0], measured[2])
    ]
    table = cells(models)
    assert table[0] == ["", "photographs", "first", "third"]
    row = next(row for row in table if row[0] == "KID × 1000")
    assert float(row[1].replace(",", "")) == pytest.approx(1000 * models[0]["kid"]["photos"], rel=0.01)


def test_attributes_stand_beside_models_that_have_none(studio: Path, tmp_path: Path, ray_cluster: None) -> None:
    shards = [make_faces(tmp_path / "dataset", split, count, 1) for split, count in (("train", 100), ("holdout", 8))]
    write_card(tmp_path / "dataset", Card(1, tuple(shards)))
    of = find([str(studio / "first"), str(make_editor(tmp_path / "editor", 0.7))], located, "faces", ["faces"])
    assert [one.attributes for one in of] == [(), ("light", "dark", "warm", "faces")]
    cache = tmp_path / "features"
    cache.mkdir()
    (cache / "stale.classifier").touch()
    spec = prepare(CONFIG, tmp_path / "dataset", "faces", 32, cache, of)
    assert measure_untouched(spec) == 8
    (kept,) = cache.glob("*.classifier")
    learned = kept.stat().st_mtime_ns
    plain, editor = (measure(spec, one) for one in of)
    assert kept.stat().st_mtime_ns == learned, "no model's task learns it again"
    assert "attributes" not in plain.metrics
    assert editor.metrics["attributes"]["wishes"]["light"]["share"] == 1
    lines = publish(tmp_path / "out", spec, [plain, editor], {}).table.read_text().splitlines()
    (row,) = (line for line in lines if line.startswith("| light, share"))
    assert [cell.strip() for cell in row.split("|")[2:5]] == ["0", "", "1"], "photographs, first, editor"
    (note,) = (line for line in lines if "right about so many real held-out pictures" in line)
    assert "light 100 %" in note


class TestErrors:
    def test_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="is no model: name a version"):
            find([str(tmp_path)], located, "oils", DOMAINS)

    def test_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "model.json").write_text("[]")
        with pytest.raises(ValueError, match="damaged"):
            find([str(tmp_path)], located, "oils", DOMAINS)

    def test_named_twice(self, studio: Path) -> None:
        with pytest.raises(ValueError, match="first is named twice"):
            find([str(studio / "first")] * 2, located, "oils", DOMAINS)

    def test_equal_names_of_different_folders(self, studio: Path, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            shutil.copytree(studio / "first", tmp_path / folder / "first")
        paths = [studio / "second", tmp_path / "a" / "first", tmp_path / "b" / "first"]
        assert [c.name for c in find(list(map(str, paths)), located, "oils", DOMAINS)] == [
            "second",
            "a/first",
            "b/first",
        ]

    def test_one_that_paints_nothing(self, studio: Path, tmp_path: Path) -> None:
        (tmp_path / "model.json").write_text(json.dumps({"format": 1, "method": "dcgan", "config": {}}))
        with pytest.raises(ValueError, match=r"makes pictures from noise \(dcgan\)"):
            find([str(studio / "first"), str(tmp_path)], located, "oils", DOMAINS)

    def test_the_dataset_changed(
        self, studio: Path, spec: ComparisonSpec, candidates: list[Candidate], tmp_path: Path
    ) -> None:
        shutil.copytree(studio / "dataset", tmp_path / "dataset")
        shards = [make_shard(tmp_path / "dataset", domain, "holdout", 4, 9) for domain in DOMAINS]
        write_card(tmp_path / "dataset", Card(1, tuple(shards)))
        with pytest.raises(RuntimeError, match="changed while models were compared"):
            measure(replace(spec, dataset=tmp_path / "dataset"), candidates[0])
