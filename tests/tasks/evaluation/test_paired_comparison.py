"""The paired comparison on a real cluster: differences pair by pair, canaries, and models that do other work."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from atelier.models import artifact
from atelier.models.configs.gan import DcganConfig
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.methods.cpgan import Cpgan
from atelier.models.methods.gan import Dcgan
from atelier.tasks.dataset.shards import Card, read_card, read_rows, write_card
from atelier.tasks.dataset.subsets import held_out_pictures
from atelier.tasks.evaluation.canaries import Canary, canaries
from atelier.tasks.evaluation.evaluate import measure, measurement
from atelier.tasks.evaluation.paired_comparison import compare_pair
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.runtime.progress import silent
from tests.tasks.evaluation.test_evaluate import FACTS, make_shard

DOMAINS = ("photos", "paintings")
CONFIG = EvaluateConfig(pictures=8, batch=5, resamples=60)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> Path:
    """A dataset, a generator that leaves structure alone, and one that ruins it."""
    root = tmp_path_factory.mktemp("studio")
    shards = [make_shard(root / "dataset", domain, "holdout", 8, seed) for seed, domain in enumerate(DOMAINS)]
    write_card(root / "dataset", Card(1, tuple(shards)))
    for name, strength in (("gentle", 0.02), ("wild", 0.6)):
        torch.manual_seed(1)
        config = CpganConfig(filters=4, blocks=1)
        generator = Cpgan.build_generator(config, None)
        for parameter in generator.parameters():
            torch.nn.init.normal_(parameter, std=strength)
        artifact.save(root / name, config, generator, FACTS)
    return root


def shown(studio: Path) -> list[Canary]:
    return canaries((), studio, studio / "dataset", "photos")


def test_a_model_is_its_own_equal(studio: Path) -> None:
    model = studio / "gentle"
    found = compare_pair(CONFIG, studio / "dataset", model, model, "v1.0.0", shown(studio), studio / "cache")
    assert found is not None
    assert set(found.differences) == {"kid.ratio", "style.ratio", "ssim.mean"}
    for one in found.differences.values():
        assert (one.candidate, one.low, one.high) == (one.prod, 0.0, 0.0)
    assert all(canary.ssim[0] == canary.ssim[1] and canary.style[0] == canary.style[1] for canary in found.canaries)


def test_figures_are_the_evaluations_and_the_interval_is_of_the_difference(studio: Path) -> None:
    dataset, seen = studio / "dataset", []
    gentle, wild = studio / "gentle", studio / "wild"
    found = compare_pair(CONFIG, dataset, wild, gentle, "v1.0.0", shown(studio), studio / "cache", seen.append)
    assert found is not None
    card = read_card(dataset)
    pictures = [held_out_pictures(dataset, card, domain, CONFIG.pictures) for domain in DOMAINS]
    for model, values in ((wild, "candidate"), (gentle, "prod")):
        metrics, _ = measure(model, measurement(CONFIG, model, *pictures, studio / "cache"), silent)
        for key, one in found.differences.items():
            section, name = key.split(".")
            assert getattr(one, values) == pytest.approx(metrics[section][name], rel=1e-4), key
    ssim = found.differences["ssim.mean"]
    assert ssim.high < 0, "it is worse in every resample"
    assert ssim.low <= ssim.candidate - ssim.prod <= ssim.high
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 32, 32), "both models, photographs and paintings"
    assert found.metrics["ssim"]["mean"] == pytest.approx(ssim.prod, rel=1e-4)
    assert len(found.canaries) == 8
    assert all(canary.ssim[0] < canary.ssim[1] for canary in found.canaries)
    assert found.sheet is not None
    assert Image.open(io.BytesIO(found.sheet)).width > 3 * 192


def test_a_painter_and_a_maker_are_not_compared(studio: Path) -> None:
    config = DcganConfig(size_px=32, noise=8, filters=4)
    artifact.save(studio / "maker", config, Dcgan.build_generator(config, None), FACTS)
    models = studio / "maker", studio / "gentle"
    assert compare_pair(CONFIG, studio / "dataset", *models, "v1.0.0", shown(studio), studio / "cache") is None


def test_named_canaries_come_in_their_order_and_bad_ones_are_named(tmp_path: Path, studio: Path) -> None:
    for name in ("b.png", "a.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert [one.name for one in canaries(("b.png", "a.png"), tmp_path, studio, "photos")] == ["b.png", "a.png"]
    table = read_rows(studio / "dataset", read_card(studio / "dataset"), "photos")
    assert {one.name for one in shown(studio)} <= {image["path"] for image in table["image"].to_pylist()}
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "loop.png").symlink_to("loop.png")
    with pytest.raises(ValueError, match=r"canary picture loop\.png"):
        canaries(("odd",), tmp_path, studio, "photos")
