"""Evaluation on a real cluster: a small model, a small held-out split, the encoder that comes with the packages."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file

from atelier.models import artifact
from atelier.models.card import ModelCard
from atelier.models.configs.gan import DcganConfig
from atelier.models.configs.restoration import RestoreConfig
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.configs.translation import StarganConfig
from atelier.models.encoders import load
from atelier.models.encoders.alexnet import AlexNet
from atelier.models.methods.cpgan import Cpgan
from atelier.models.methods.gan import Dcgan
from atelier.models.methods.restore import Restore
from atelier.models.methods.stargan import Editor
from atelier.models.metrics.lpips import lpips
from atelier.models.networks.classifier import Classifier
from atelier.models.pixels import luminance
from atelier.models.random_draws import along, uniform
from atelier.tasks.dataset.shards import Card, Shard, read_card, write_card, write_shard
from atelier.tasks.dataset.subsets import batches, files, held_out_pictures, spread
from atelier.tasks.evaluation import attribute_edits, measures, summary
from atelier.tasks.evaluation.evaluate import Evaluation, evaluate
from atelier.tasks.evaluation.measure_models import Measurement, measure_models
from atelier.tasks.evaluation.measure_models import summarize as summarize_measured
from atelier.tasks.evaluation.protocol import (
    Bootstrap,
    ClassifierSpec,
    EvaluateConfig,
    MeasuringEncoder,
    choose_encoder,
)
from atelier.tasks.evaluation.viewing_sizes import viewing_sizes
from atelier.tasks.images.codec import center_square, decode, encode
from atelier.tasks.reports.metrics_table import metrics_table
from atelier.tasks.runtime import encoder_weights
from atelier.tasks.runtime.encoder_catalogue import PUBLISHED_WEIGHTS
from atelier.tasks.runtime.progress import Progress, silent

pytestmark = pytest.mark.long

CONFIG = EvaluateConfig(pictures=10, batch=4, resamples=50, pairs=3, viewed_pictures=5)
FACTS = {"content_domain": "photos", "style_domain": "paintings", "augment": {"size_px": 48}, "encoder": "vgg19"}


def make_shard(folder: Path, domain: str, split: str, count: int, seed: int) -> Shard:
    generator = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        if domain == "paintings":
            coarse[..., 2] = 255 - coarse[..., 0]
        data = encode(np.kron(coarse, np.ones((10, 10, 1), dtype=np.uint8)), "png")
        row = {
            "id": hashlib.sha256(data).hexdigest(),
            "group": f"{domain}{index // 2}",
            "image": {"bytes": data, "path": f"{index}.png"},
            "domain": domain,
            "split": split,
            "width": 80,
            "height": 60,
            "source": "drawn",
            "attributes": "{}",
        }
        rows.append(row)
    return write_shard(folder, pa.Table.from_pylist(rows), domain, split)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    shards = [
        make_shard(folder, "photos", "holdout", 7, 1),
        make_shard(folder, "photos", "holdout", 5, 2),
        make_shard(folder, "paintings", "holdout", 6, 3),
        make_shard(folder, "photos", "train", 3, 4),
        make_shard(folder, "paintings", "train", 9, 6),
        make_shard(folder, "lonely", "holdout", 1, 5),
    ]
    write_card(folder, Card(1, tuple(shards)))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    config = CpganConfig(filters=4, blocks=1)
    torch.manual_seed(0)
    artifact.save(folder, config, Cpgan.build_generator(config, None), FACTS)
    return folder


@pytest.fixture(scope="module")
def only_packaged_encoders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever this machine has in its cache, only the weights that come with the packages are found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
    dataset: Path,
    model: Path,
    ray_cluster: None,
    only_packaged_encoders: None,
) -> tuple[Evaluation, Path, list[Progress]]:
    folder = tmp_path_factory.mktemp("workspace")
    seen: list[Progress] = []
    (folder / "plots" / "pairs").mkdir(parents=True)
    (folder / "plots" / "pairs" / "99-before.jpg").touch()
    out = folder / "reports" / "evaluation.json"
    return evaluate(CONFIG, dataset, model, out, folder / "plots", folder / "cache", seen.append), folder, seen


def test_measures_are_written_as_they_are_returned(run: tuple[Evaluation, Path, list[Progress]]) -> None:
    evaluation, _, _ = run
    metrics = json.loads(evaluation.path.read_text())
    assert metrics == evaluation.metrics
    assert metrics["counts"] == {"content": 10, "style": 6, "content_groups": 4, "style_groups": 3}
    assert (metrics["split"], metrics["indicative"], metrics["size_px"]) == ("holdout", True, 48)
    assert metrics["kid"]["metric"] == "kid_efficientnet_lite0"
    assert metrics["frechet"]["metric"] == "frechet_efficientnet_lite0"
    assert metrics["style"]["independent"] is True
    for name in ("kid", "frechet", "style", "content", "diversity", "checkerboard"):
        assert metrics[name]["ratio"] == pytest.approx(metrics[name]["stylized"] / metrics[name]["photos"], rel=1e-4)
    assert metrics["kid"]["low"] < metrics["kid"]["high"]
    assert metrics["repetition"] == {"share": 0, "median": 0, "pictures": 0}, "too small for a plain area"
    assert -1 <= metrics["ssim"]["worst"] <= metrics["ssim"]["low"] <= metrics["ssim"]["mean"] <= 1
    assert metrics["speed"]["images_per_second"] > 0


def test_nothing_that_dvc_cannot_show(
    run: tuple[Evaluation, Path, list[Progress]], edited: tuple[Evaluation, Path, list[Progress]]
) -> None:
    """`dvc metrics show` drops lists and nulls without a word."""

    def leaves(value: object) -> list[object]:
        return [leaf for v in value.values() for leaf in leaves(v)] if isinstance(value, dict) else [value]

    assert "attributes" not in run[0].metrics, "its method has none"
    for evaluation, *_ in (run, edited):
        assert all(isinstance(leaf, float | int | str) for leaf in leaves(evaluation.metrics))


def test_progress_counts_every_picture(run: tuple[Evaluation, Path, list[Progress]]) -> None:
    _, _, seen = run
    larger, seen = [p for p in seen if p.note], [p for p in seen if not p.note]
    assert (larger[-1].note, larger[-1].done, larger[-1].total) == ("at 60 px", 15, 15)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 26, 26)


def test_the_size_that_people_look_at(
    run: tuple[Evaluation, Path, list[Progress]], dataset: Path, model: Path, tmp_path: Path
) -> None:
    """The dataset's own, as a comparison at that size has it; the training's size is 48."""
    ((px, at),) = run[0].metrics["sizes"].items()
    assert (px, at["counts"]["content"], at["counts"]["style"]) == ("60", 5, 5)
    assert at.keys() == {"counts", "kid", "style", "checkerboard", "repetition"}
    photos = held_out_pictures(dataset, read_card(dataset), "photos", 10)
    assert viewing_sizes(48, photos) == [60]
    assert viewing_sizes(56, photos) == [], "nearly the same"
    large = [replace(photos[0], data=encode(np.zeros((700, 600, 3), np.uint8), "png"))]
    assert viewing_sizes(128, large) == [256, 600]
    paintings = held_out_pictures(dataset, read_card(dataset), "paintings", 10)
    on = Measurement(CONFIG, spread(photos, 5), spread(paintings, 5), 60, choose_encoder("vgg19"), tmp_path)
    alone, _ = summarize_measured(measure_models([model], on, "evaluate", silent), on)
    assert {name: alone[name] for name in ("kid", "style", "repetition")} == {
        name: at[name] for name in ("kid", "style", "repetition")
    }


def test_plots(run: tuple[Evaluation, Path, list[Progress]]) -> None:
    evaluation, folder, _ = run
    lines = (folder / "plots" / "ssim.csv").read_text().splitlines()
    assert lines[0] == "image,group,ssim,correlation"
    assert np.mean([float(line.split(",")[2]) for line in lines[1:]]) == pytest.approx(
        evaluation.metrics["ssim"]["mean"], abs=1e-4
    )
    pairs = sorted(path.name for path in (folder / "plots" / "pairs").iterdir())
    assert pairs == [f"{i:02}-{side}.jpg" for i in range(3) for side in ("after", "before")]
    assert decode((folder / "plots" / "pairs" / "00-after.jpg").read_bytes()).shape == (60, 80, 3)
    assert decode((folder / "plots" / "grid.png").read_bytes()).shape[1] > 3 * 160


def test_a_second_run_uses_kept_features_and_gives_the_same(
    run: tuple[Evaluation, Path, list[Progress]], dataset: Path, model: Path
) -> None:
    evaluation, folder, _ = run
    cache = folder / "cache"
    kept = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(kept) == 5 + 4, "at both sizes"
    (cache / "stale.safetensors").touch()
    again = evaluate(CONFIG, dataset, model, folder / "again.json", folder / "again", cache)
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == kept
    for name in ("kid", "frechet", "style", "content", "ssim", "checkerboard"):
        assert again.metrics[name] == evaluation.metrics[name]


def test_an_identical_picture_keeps_everything(
    tmp_path: Path, dataset: Path, ray_cluster: None, only_packaged_encoders: None
) -> None:
    """A generator whose output is what the photographs are scores as the photographs do."""
    from atelier.tasks.evaluation.measures import Stylized, measure_real
    from atelier.tasks.evaluation.summary import summarize

    encoder = MeasuringEncoder("efficientnet_lite0", choose_encoder("vgg19").weights, True)
    photos = held_out_pictures(dataset, read_card(dataset), "photos", 6)
    paintings = held_out_pictures(dataset, read_card(dataset), "paintings", 6)
    features = [measure_real([p.data for p in of], 48, encoder, tmp_path / of[0].id) for of in (photos, paintings)]
    grey = np.random.default_rng(0).random((6, 1, 48, 48), dtype=np.float32)
    same = Stylized(features[0], grey, grey, np.ones(6), np.ones(6), np.zeros(6), 1.0)
    groups = [p.group for p in photos], [p.group for p in paintings]
    metrics, _ = summarize([same], features, encoder, Bootstrap(*groups, 50, 0))
    for name in ("kid", "frechet", "style", "diversity", "checkerboard"):
        assert metrics[name]["ratio"] == pytest.approx(1)
    assert metrics["content"]["stylized"] == 0
    assert metrics["inversion"] == {"share": 0, "correlation": 1}


def test_generated_pictures_are_measured_without_what_needs_a_picture_before(
    tmp_path: Path, dataset: Path, ray_cluster: None, only_packaged_encoders: None
) -> None:
    config = DcganConfig(size_px=32, noise=8, filters=4)
    torch.manual_seed(0)
    both = {"content_domain": "paintings", "style_domain": "paintings", "augment": {"size_px": 32}}
    artifact.save(tmp_path / "model", config, Dcgan.build_generator(config, None), FACTS | both)
    out, plots, cache = tmp_path / "evaluation.json", tmp_path / "plots", tmp_path / "cache"
    metrics = evaluate(CONFIG, dataset, tmp_path / "model", out, plots, cache).metrics
    assert metrics["kind"] == "generates"
    assert not metrics.keys() & {"ssim", "content", "inversion", "lpips", "artfid"}
    for name in ("kid", "frechet", "style"):
        assert metrics[name]["stylized"] > 0
        assert not metrics[name].keys() & {"photos", "ratio", "ratio_low"}, "paintings are no baseline for paintings"
    assert metrics["means"]["distance"] > 2.5, "far from real ones"
    among = metrics["manifold"]
    assert among["encoder"] == "efficientnet_lite0"
    assert among["precision"] == among["recall"] == 0, "an untrained network makes no paintings"
    assert among.keys() == {"encoder", "precision", "recall", "density", "coverage"}
    copies = metrics["memorisation"]
    assert (copies["share"], copies["pictures"], copies["training_pictures"]) == (0, 6, 9)
    assert (copies["encoder"], "lpips" in copies) == ("efficientnet_lite0", False), "there is no AlexNet"
    assert decode((plots / "nearest.png").read_bytes()).shape[0] > 2 * 160, "generated above, training pictures below"
    assert len([*cache.iterdir()]) == 2 + 2, "the training pictures' embeddings, and how near they are"
    assert metrics["diversity"]["ratio"] > 0
    assert metrics["checkerboard"]["ratio"] > 0
    made = artifact.load(tmp_path / "model").generate(0, range(6))
    features = measures.measure_stylized(files(held_out_pictures(dataset, read_card(dataset), "paintings", 6)), 32,
        tmp_path / "model", choose_encoder("vgg19")).luminance  # fmt: skip
    torch.testing.assert_close(torch.from_numpy(features), luminance(made / 255))
    assert (plots / "ssim.csv").read_text() == "image,group,ssim,correlation\n"
    assert decode((plots / "pairs" / "00-after.jpg").read_bytes()).shape == (32, 32, 3)


@pytest.fixture(scope="module")
def with_lpips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuringEncoder]:
    """An encoder, and LPIPS with random weights."""
    cache = tmp_path_factory.mktemp("cache")
    torch.manual_seed(3)
    state = AlexNet().state_dict()
    state |= {key: torch.rand(value.shape) for key, value in state.items() if key.startswith("heads")}
    (cache / "encoders").mkdir()
    save_file(state, cache / "weights")
    digest = hashlib.sha256((cache / "weights").read_bytes()).hexdigest()
    stem = encoder_weights._stem("alexnet", PUBLISHED_WEIGHTS["alexnet"])
    (cache / "weights").rename(cache / "encoders" / f"{stem}-{digest[:16]}.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_CACHE", str(cache))
        yield choose_encoder("vgg19")


class TestLpips:
    """With weights that stand where AlexNet's would be."""

    def test_measures(self, tmp_path: Path, dataset: Path, model: Path, with_lpips: MeasuringEncoder) -> None:
        encoder = with_lpips
        photos, paintings = (held_out_pictures(dataset, read_card(dataset), of, 6) for of in ("photos", "paintings"))
        groups = [p.group for p in photos], [p.group for p in paintings]
        stylized = [measures.measure_stylized(files(batch), 48, model, encoder) for batch in batches(photos, 4)]
        untouched = [
            measures.measure_real(files(batch), 48, encoder, tmp_path / batch[0].id)
            for batch in batches(photos, 4) + batches(paintings, 4)
        ]
        metrics, _ = summary.summarize(stylized, untouched, encoder, Bootstrap(*groups, 50, 0))

        assert encoder.lpips is not None
        alexnet = load("alexnet", encoder.lpips)
        assert isinstance(alexnet, AlexNet)
        before = torch.from_numpy(np.stack([center_square(decode(p.data), 48) for p in photos])).permute(0, 3, 1, 2)
        after = artifact.load(model).painter()(before)
        expected = lpips(alexnet, before / 255, after / 255)
        assert metrics["lpips"]["mean"] == pytest.approx(float(expected.mean()), rel=1e-4)
        assert metrics["lpips"]["low"] < metrics["lpips"]["mean"] < metrics["lpips"]["high"]
        places = [(i, j) for i in range(6) for j in range(6) if i != j]
        first, second = (after[[pair[side] for pair in places]] / 255 for side in (0, 1))
        mean = float(lpips(alexnet, first, second).mean())
        assert metrics["diversity"] == {"metric": "lpips_alexnet"} | metrics["diversity"]
        assert metrics["diversity"]["stylized"] == pytest.approx(mean, rel=1e-3)
        assert "artfid" not in metrics, "it is defined on Inception's features"

        inception = replace(encoder, name="inception")
        metrics, _ = summary.summarize(stylized, untouched, inception, Bootstrap(*groups, 50, 0))
        product = (1 + metrics["lpips"]["mean"]) * (1 + metrics["frechet"]["stylized"])
        assert metrics["artfid"]["stylized"] == pytest.approx(product)
        assert metrics["artfid"]["photos"] == pytest.approx(1 + metrics["frechet"]["photos"])

    def test_diversity_of_generated_pictures(self, tmp_path: Path, dataset: Path, with_lpips: MeasuringEncoder) -> None:
        config = DcganConfig(size_px=32, noise=8, filters=4)
        torch.manual_seed(0)
        artifact.save(tmp_path, config, Dcgan.build_generator(config, None), FACTS)
        data = files(held_out_pictures(dataset, read_card(dataset), "paintings", 2))
        measured = measures.measure_stylized(data, 32, tmp_path, with_lpips)
        seen = measured.lpips
        assert seen is not None
        assert seen.distances is None, "they come from no photograph"
        assert with_lpips.lpips is not None
        encoder = load("alexnet", with_lpips.lpips)
        assert isinstance(encoder, AlexNet)
        made = artifact.load(tmp_path).generate(0, range(2)) / 255
        self.check_path_lengths(measured.path_lengths, artifact.load(tmp_path), encoder)
        expected = float(lpips(encoder, made[:1], made[1:]))
        assert summary._lpips_diversity([seen], 2)["stylized"] == pytest.approx(expected, rel=1e-4)

    def check_path_lengths(self, lengths: np.ndarray | None, trained: artifact.TrainedModel, encoder: AlexNet) -> None:
        """By steps of another length: where the network is smooth, the quotient hardly depends on it."""
        assert lengths is not None
        step, place = 1e-3, float(uniform(0, 0, 0, 1, 1, measures.PLACES))
        ends = trained.noise(0, [0])[0], trained.noise(1, [0])[0]
        near, far = ((trained.synthesize(along(*ends, torch.tensor([t]))) + 1) / 2 for t in (place, place + step))
        assert float(lengths[0]) == pytest.approx(float(lpips(encoder, near, far)) / step**2, rel=0.1)

    def test_pictures_smaller_than_it_takes(self, dataset: Path, model: Path, with_lpips: MeasuringEncoder) -> None:
        photos = held_out_pictures(dataset, read_card(dataset), "photos", 2)
        assert measures.measure_stylized(files(photos), 24, model, with_lpips).lpips is None


NAMES = ("light", "dark", "warm", "faces")


def make_faces(folder: Path, split: str, count: int, seed: int) -> Shard:
    """Light or dark pictures, warm or cold, and what they are."""
    generator = np.random.default_rng(seed)
    rows = []
    for light, warm in generator.integers(0, 2, (count, 2)).tolist():
        pixels = 60 + 90 * light + generator.integers(0, 20, (32, 32, 3))
        pixels += np.array([60, 0, -60]) * (2 * warm - 1)
        data = encode(pixels.astype(np.uint8), "png")
        name = hashlib.sha256(data).hexdigest()
        row = {"id": name, "group": name, "image": {"bytes": data, "path": "x.png"}, "domain": "faces", "split": split}
        said = json.dumps({"light": bool(light), "dark": not light, "warm": bool(warm)})
        rows.append(row | {"width": 32, "height": 32, "source": "drawn", "attributes": said})
    return write_shard(folder, pa.Table.from_pylist(rows), "faces", split)


def make_editor(folder: Path, brighter: float) -> Path:
    """A model that makes everything a little brighter, whatever it is asked for."""
    config = StarganConfig(attributes=NAMES, exclusive=("light", "dark"), filters=4, blocks=1, classifier_filters=2)
    torch.manual_seed(0)
    editor = Editor(config)
    torch.nn.init.constant_(editor.painter.decode[-1].bias, brighter)  # type: ignore[arg-type]
    both = {"content_domain": "faces", "style_domain": "faces", "augment": {"size_px": 32}}
    artifact.save(folder, config, editor, FACTS | both)
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    shards = [make_faces(folder, "train", 60, 6), make_faces(folder, "train", 40, 7)]
    write_card(folder, Card(1, (*shards, make_faces(folder, "holdout", 24, 8))))
    return folder


@pytest.fixture(scope="module")
def edited(
    tmp_path_factory: pytest.TempPathFactory, studio: Path, ray_cluster: None, only_packaged_encoders: None
) -> tuple[Evaluation, Path, list[Progress]]:
    folder = tmp_path_factory.mktemp("edited")
    make_editor(folder / "model", 0.7)
    seen: list[Progress] = []
    config = replace(CONFIG, pictures=20, batch=8)
    out, plots, cache = folder / "evaluation.json", folder / "plots", folder / "cache"
    cache.mkdir()
    (cache / "stale.classifier").touch()
    return evaluate(config, studio, folder / "model", out, plots, cache, seen.append), folder, seen


def counted(studio: Path, pictures: int) -> np.ndarray:
    """Which of NAMES the held-out pictures have."""
    held = held_out_pictures(studio, read_card(studio), "faces", pictures)
    said = [json.loads(picture.attributes) for picture in held]
    return np.array([[one.get(name, True) for name in NAMES] for one in said])


class TestAttributes:
    """With a model that makes pictures brighter, so that one wish comes true and the others do not."""

    def test_what_comes_true(self, edited: tuple[Evaluation, Path, list[Progress]], studio: Path) -> None:
        evaluation, _, _ = edited
        assert json.loads(evaluation.path.read_text()) == evaluation.metrics
        found = evaluation.metrics["attributes"]
        assert set(found["classifier"]) == {"light", "dark", "warm"}, "nobody knows how well 'faces' is told"
        assert all(told["accuracy"] == 1 for told in found["classifier"].values())
        wishes, truth = found["wishes"], counted(studio, 20)
        assert list(wishes) == ["light", "dark", "warm", "-warm"], "exclusive ones are not taken"
        assert [wishes[wish]["share"] for wish in ("light", "dark")] == [1, 0]
        assert {wish["photos"] for wish in wishes.values()} == {0}, "a picture does not show what it lacks"
        lacking = {"light": ~truth[:, 0], "dark": truth[:, 0], "warm": ~truth[:, 2], "-warm": truth[:, 2]}
        for wish, rows in lacking.items():
            assert wishes[wish]["pictures"] == rows.sum()
            assert wishes[wish]["groups"]["faces"] == {"share": wishes[wish]["share"], "pictures": rows.sum()}
            assert "lpips" not in wishes[wish], "there is no AlexNet"
        assert wishes["light"]["groups"]["warm"] == {"share": 1, "pictures": (~truth[:, 0] & truth[:, 2]).sum()}
        assert found["share"] == pytest.approx(np.mean([wish["share"] for wish in wishes.values()]), rel=1e-5)
        assert "lpips" not in found

    def test_progress(self, edited: tuple[Evaluation, Path, list[Progress]]) -> None:
        told = [p for p in edited[2] if p.note == "attributes"]
        assert (told[0].done, told[-1].done, told[-1].total) == (0, 20, 20)

    def test_the_classifier_is_kept(self, edited: tuple[Evaluation, Path, list[Progress]], studio: Path) -> None:
        evaluation, folder, _ = edited
        (kept,) = (folder / "cache").glob("*.classifier")
        before = kept.stat().st_mtime_ns
        model, out, config = make_editor(folder / "other", 0.0), folder / "again.json", replace(CONFIG, pictures=20)
        again = evaluate(config, studio, model, out, folder / "again", folder / "cache").metrics["attributes"]
        assert kept.stat().st_mtime_ns == before
        assert again["classifier"] == evaluation.metrics["attributes"]["classifier"]
        assert all(wish["share"] == wish["photos"] for wish in again["wishes"].values()), "it changes nothing"

    def test_a_classifier_is_its_pictures_and_names(self, studio: Path, tmp_path: Path) -> None:
        spec = ClassifierSpec(studio, ("faces",), NAMES, 32, tmp_path)
        others = [replace(spec, names=NAMES[:2]), replace(spec, size_px=64), replace(spec, domains=("a", "faces"))]
        write_card(tmp_path, Card(1, (make_faces(tmp_path, "train", 3, 9),)))
        assert len({one.file for one in (spec, *others, replace(spec, dataset=tmp_path))}) == 5

    def test_lpips(self, studio: Path, tmp_path: Path, with_lpips: MeasuringEncoder) -> None:
        """Distances are those of each pair; two different pictures are all pairs, one by one."""
        torch.manual_seed(0)
        truth = counted(studio, 6)
        photos = files(held_out_pictures(studio, read_card(studio), "faces", 6))
        by = attribute_edits.Recognised(Classifier(4, 2), NAMES, truth, truth)
        model = make_editor(tmp_path, 0.5)
        parts = [
            attribute_edits.edit_photos(part, 32, model, by, with_lpips.lpips) for part in (photos[:4], photos[4:])
        ]
        found = attribute_edits.summarize(by, parts)["attributes"]
        assert with_lpips.lpips is not None
        encoder = load("alexnet", with_lpips.lpips)
        assert isinstance(encoder, AlexNet)
        before = measures.center_squares(photos, 32)
        distances = lpips(encoder, before / 255, artifact.load(model).painter()(before) / 255).numpy()
        assert found["wishes"]["light"]["lpips"] == pytest.approx(distances[~truth[:, 0]].mean(), rel=1e-4)
        assert found["lpips"]["mean"] == pytest.approx(np.mean([w["lpips"] for w in found["wishes"].values()]))
        pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
        first, second = (before[[pair[side] for pair in pairs]] / 255 for side in (0, 1))
        assert found["lpips"]["different"] == pytest.approx(float(lpips(encoder, first, second).mean()), rel=1e-4)

    def test_large_pictures_are_kept_as_the_classifier_sees_them(self) -> None:
        torch.manual_seed(0)
        large = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
        classifier = Classifier(3, 2)
        small = attribute_edits._small(large)
        assert small.shape == (2, 3, 64, 64)
        torch.testing.assert_close(classifier(small / 255), classifier(large / 255), atol=3e-4, rtol=0)

    def test_nothing_where_the_pictures_do_not_differ(self) -> None:
        truth = np.ones((3, 1), dtype=np.bool_)
        by = attribute_edits.Recognised(Classifier(1, 2), ("light",), truth, truth)
        assert attribute_edits.summarize(by, [attribute_edits.Edited({"light": truth, "-light": truth}, None)]) == {}

    def test_in_the_report(self, edited: tuple[Evaluation, Path, list[Progress]]) -> None:
        metrics = edited[0].metrics
        html = metrics_table(metrics, {}, {}, None)
        for text in ("shown after", '<th scope="row">-warm</th>', "By what the pictures had before"):
            assert text in html
        assert "Two different pictures" not in html, "there is no AlexNet"
        assert "shown after" not in metrics_table({**metrics, "attributes": {}}, {}, {}, None)


class TestMeasuringEncoder:
    def test_the_losses_own_encoder_is_the_last_choice_and_said_to_be(self, only_packaged_encoders: None) -> None:
        encoder = choose_encoder("efficientnet_lite0")
        assert (encoder.name, encoder.independent) == ("efficientnet_lite0", False)

    def test_another_encoder_is_independent(self, only_packaged_encoders: None) -> None:
        encoder = choose_encoder("vgg19")
        assert (encoder.name, encoder.independent) == ("efficientnet_lite0", True)


class TestErrors:
    def test_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="atelier train"):
            ModelCard.read_trained(tmp_path)

    @pytest.mark.parametrize("content", ["{", "[]", '"x"'])
    def test_damaged_model(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "model.json").write_text(content)
        with pytest.raises(ValueError, match="damaged"):
            ModelCard.read_trained(tmp_path)

    def test_a_model_that_does_not_say_its_domains(self, tmp_path: Path) -> None:
        (tmp_path / "model.json").write_text(
            '{"format": 1, "method": "cpgan", "config": {}, "content_domain": "photos"}'
        )
        with pytest.raises(ValueError, match="style_domain"):
            ModelCard.read_trained(tmp_path)

    @pytest.mark.parametrize("domain", ["lonely", "absent"])
    def test_too_little_is_held_out(self, dataset: Path, domain: str) -> None:
        with pytest.raises(ValueError, match=f"'{domain}'.*holdout_share"):
            held_out_pictures(dataset, read_card(dataset), domain, 10)

    def test_damaged_weights_are_the_models_own_error(
        self, tmp_path: Path, dataset: Path, model: Path, ray_cluster: None, only_packaged_encoders: None
    ) -> None:
        (tmp_path / "model.json").write_text((model / "model.json").read_text())
        (tmp_path / "generator.safetensors").write_bytes(b"nothing")
        with pytest.raises(ValueError, match=r"generator\.safetensors") as caught:
            evaluate(CONFIG, dataset, tmp_path, tmp_path / "out.json", tmp_path / "plots", tmp_path / "cache")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out.json").exists()

    def test_unknown_parameter(self) -> None:
        with pytest.raises(ValidationError):
            TypeAdapter(EvaluateConfig).validate_python({"pictuers": 3})


def test_square_takes_the_middle() -> None:
    picture = np.zeros((40, 80, 3), dtype=np.uint8)
    picture[:, 20:60] = 200
    assert (center_square(picture, 10) == 200).all()


def test_held_out_pictures_are_the_same_ones_every_time(dataset: Path) -> None:
    card = read_card(dataset)
    first, all_of_them = held_out_pictures(dataset, card, "photos", 5), held_out_pictures(dataset, card, "photos", 100)
    assert [p.id for p in first] == [p.id for p in all_of_them][:5]
    assert len(all_of_them) == 12


@pytest.mark.parametrize("scale", [1, 2])
def test_what_restores_is_given_degraded_pictures(
    scale: Any, dataset: Path, tmp_path: Path, ray_cluster: None, only_packaged_encoders: None
) -> None:
    config = RestoreConfig(filters=8, blocks=1, scale=scale, noise_from=25.0)
    torch.manual_seed(0)
    artifact.save(
        tmp_path / "model", config, Restore.build_generator(config, None), {**FACTS, "style_domain": "photos"}
    )
    out = tmp_path / "evaluation.json"
    metrics = evaluate(CONFIG, dataset, tmp_path / "model", out, tmp_path / "plots", tmp_path / "cache").metrics
    assert metrics["kind"] == "restores"
    found = metrics["psnr"]
    assert 5 < found["low"] <= found["mean"] <= found["high"] < 40
    assert found["gain"] == pytest.approx(found["mean"] - found["given"], abs=2e-3), (
        "an untrained network changes little"
    )
    assert "ratio" not in metrics["kid"], "photographs are no style"
    shown = sorted((tmp_path / "plots" / "pairs").iterdir())
    before, after = (decode(path.read_bytes()) for path in shown[:2])
    assert before.shape == after.shape == (60, 80, 3)
    again = evaluate(CONFIG, dataset, tmp_path / "model", out, tmp_path / "plots", tmp_path / "cache").metrics
    assert again["psnr"] == found, "every run degrades a picture alike"
