from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from atelier.tasks.dataset import checks, profiling
from atelier.tasks.dataset.checks import ChecksConfig, Finding, validate
from atelier.tasks.dataset.profile import Profile, read_profile, representatives
from atelier.tasks.dataset.profiling import profile_dataset
from atelier.tasks.dataset.shards import Card, read_card, split_of, write_card, write_shard
from atelier.tasks.images.codec import encode, resize

pytestmark = pytest.mark.usefixtures("ray_cluster")
CONFIG = ChecksConfig(drift_sample=50)
FACTS = {"parameters": {"size_px": 48}, "files": 100, "quarantined": 0, "screened": {}}


def picture(seed: int, cells: int = 6, px: int = 48, gain: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return (resize(noise, px, px) * gain).astype(np.uint8)


def rows(pictures: dict[int, np.ndarray], groups: dict[int, str]) -> pa.Table:
    made = []
    for seed, one in pictures.items():
        id = f"{seed:064x}"
        group = groups.get(seed, id)
        image = {"bytes": encode(one, "png"), "path": f"{seed}.png"}
        row = {"id": id, "group": group, "image": image, "domain": "photos", "split": split_of(group, 0.2)}
        size = {"width": one.shape[1], "height": one.shape[0]}
        made.append(row | size | {"source": "photos", "attributes": "{}"})
    return pa.Table.from_pylist(made)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A dataset of 60 photographs, with shards of others beside."""
    root = tmp_path_factory.mktemp("datasets")
    first = rows({seed: picture(seed) for seed in range(60)}, {})

    def grow(
        name: str,
        others: dict[int, np.ndarray],
        groups: dict[int, str] | None = None,
        kept: int = 60,
        facts: dict[str, object] | None = None,
    ) -> Path:
        shards = []
        for table in (first.slice(0, kept), rows(others, groups or {})):
            for split in ("train", "holdout") if len(table) else ():
                part = table.filter(pa.compute.equal(table["split"], split))
                shards.append(write_shard(root / name, part, "photos", split))
        write_card(root / name, Card(1, tuple(shards), FACTS | (facts or {})))
        return root / name

    return grow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def prod(grown: Callable[..., Path], cache: Path) -> tuple[Profile, Card]:
    dataset = grown("prod", {})
    return profile_dataset(dataset, cache, 50), read_card(dataset)


def findings(dataset: Path, cache: Path, prod: tuple[Profile, Card], config: ChecksConfig = CONFIG) -> list[Finding]:
    now = profile_dataset(dataset, cache, config.drift_sample, prod[0])
    return validate(config, now, prod[0], read_card(dataset), prod[1])


def stopped(found: list[Finding]) -> set[str]:
    return {finding.name for finding in found if not finding.passed}


def test_a_profile_names_all_rows_and_measures_a_sample(prod: tuple[Profile, Card], cache: Path) -> None:
    domain = prod[0].domains["photos"]
    assert len(domain.groups) == 60
    assert domain.training == prod[1].rows("photos", "train")
    assert set(domain.statistics) == set(representatives(domain.groups, 50))
    id, look = next(iter(domain.statistics.items()))
    seen = picture(int(id, 16))
    assert look[:2].tolist() == [48, 48]
    assert look[2:5] == pytest.approx(seen.reshape(-1, 3).mean(0), abs=0.01)
    assert look[6] == pytest.approx((seen @ np.array([0.299, 0.587, 0.114])).std(), abs=0.05)
    kept = read_profile(prod[1].id, cache)
    assert kept is not None
    assert kept.domains["photos"].groups == domain.groups
    assert all((kept.domains["photos"].statistics[id] == domain.statistics[id]).all() for id in domain.statistics)


def test_of_a_dataset_that_has_grown_only_new_rows_are_measured(
    grown: Callable[..., Path], cache: Path, prod: tuple[Profile, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []
    measure = profiling._measure
    monkeypatch.setattr(profiling, "_measure", lambda d, places, r: asked.append(set(places)) or measure(d, places, r))
    dataset = grown("some", {seed: picture(seed) for seed in range(100, 120)})
    now = profile_dataset(dataset, cache, 50, prod[0])
    assert asked[0] == {f"{seed:064x}" for seed in range(100, 120)} <= set(now.domains["photos"].statistics)
    assert (
        profile_dataset(dataset, cache, 50, prod[0]).domains["photos"].statistics.keys()
        == now.domains["photos"].statistics.keys()
    )
    assert asked[1] == set()


def test_a_damaged_profile_is_made_again(grown: Callable[..., Path], tmp_path: Path) -> None:
    dataset = grown("prod", {})
    made = profile_dataset(dataset, tmp_path, 4)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert read_profile(made.dataset_id, tmp_path) is None
    assert profile_dataset(dataset, tmp_path, 4).domains.keys() == made.domains.keys()
    assert read_profile(made.dataset_id, tmp_path) is not None
    assert read_profile("0" * 64, tmp_path) is None


def test_few_profiles_are_kept_and_that_of_prod_always(
    grown: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "KEPT", 3)
    first = profile_dataset(grown("prod", {}), tmp_path, 2)
    for kept in range(59, 54, -1):
        profile_dataset(grown(f"less{kept}", {}, kept=kept), tmp_path, 2, first)
    assert len(list(tmp_path.iterdir())) == 3
    assert read_profile(first.dataset_id, tmp_path) is not None


def test_a_night_of_more_of_the_same_passes(
    grown: Callable[..., Path], cache: Path, prod: tuple[Profile, Card]
) -> None:
    found = findings(grown("same", {seed: picture(seed) for seed in range(100, 140)}), cache, prod)
    assert stopped(found) == set()
    assert {finding.name for finding in found} == {
        *("pictures", "quarantined", "copies", "lost", "size", "colour", "drift")
    }
    assert checks.failed_checks(found) == []


@pytest.mark.parametrize(
    ("first", "kind", "alarms"),
    [
        (200, {"cells": 12}, {"drift"}),
        (300, {"gain": 0.5}, {"drift", "colour"}),
        (400, {"px": 24}, {"size"}),
    ],
)
def test_arrivals_of_another_kind_stop_the_night_and_say_what_to_do(
    grown: Callable[..., Path],
    cache: Path,
    prod: tuple[Profile, Card],
    first: int,
    kind: dict[str, float],
    alarms: set[str],
) -> None:
    others = {seed: picture(seed, **kind) for seed in range(first, first + 20)}  # type: ignore[arg-type]
    dataset = grown(f"from{first}", others)
    found = findings(dataset, cache, prod)
    assert stopped(found) == alarms
    for sentence in checks.failed_checks(found):
        assert "raise checks." in sentence
        assert "\n" not in sentence
    loose = replace(CONFIG, drift_min=3.0, max_colour_shift=255.0, max_size_change=10.0)
    assert stopped(findings(dataset, cache, prod, loose)) == set()


def test_twenty_crops_of_one_parent_are_one_observation(
    grown: Callable[..., Path], cache: Path, prod: tuple[Profile, Card]
) -> None:
    others = {seed: picture(seed, 12) for seed in range(500, 520)}
    found = findings(grown("crops", others, dict.fromkeys(others, "one parent")), cache, prod)
    assert stopped(found) == set()
    assert any("1 parents of photos have arrived" in finding.sentence for finding in found)


def test_pictures_that_are_gone_stop_the_night(
    grown: Callable[..., Path], cache: Path, prod: tuple[Profile, Card]
) -> None:
    found = findings(grown("less", {}, kept=40), cache, prod)
    assert stopped(found) == {"lost"}
    assert checks.failed_checks(found)[0].startswith("33% of prod's pictures of photos are gone, at most 20% may be")


def test_other_parameters_are_not_taken_for_drift(
    grown: Callable[..., Path], cache: Path, prod: tuple[Profile, Card]
) -> None:
    others = {seed: picture(seed, 12) for seed in range(600, 620)}
    found = findings(grown("again", others, facts={"parameters": {"size_px": 64}}), cache, prod)
    assert stopped(found) == set()
    assert found[-1].sentence.startswith("the pictures were prepared with other parameters")


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"quarantined": 21}, "quarantined"),
        ({"files": 120, "quarantined": 5}, "quarantined"),  # a quarter of those that arrived
        ({"screened": {"duplicate": 50, "near-duplicate": 41}}, "copies"),
    ],
)
def test_files_that_cannot_be_used_stop_the_night(
    prod: tuple[Profile, Card], facts: dict[str, object], name: str
) -> None:
    card = Card(1, prod[1].shards, FACTS | facts)
    assert stopped(validate(CONFIG, prod[0], prod[0], card, prod[1])) == {name}


def test_the_first_night_has_nothing_to_be_compared_with(prod: tuple[Profile, Card]) -> None:
    found = validate(replace(CONFIG, min_pictures=61), prod[0], None, prod[1], None)
    assert {finding.name for finding in found} == {"pictures", "quarantined", "copies"}
    assert stopped(found) == {"pictures"}
    table = checks.markdown(found).splitlines()
    assert table[0].startswith("| check | domain |")
    assert "stopped" in table[2]
    assert len(table) == 2 + len(found)
    assert len(checks.finding_rows(found)[0]) == len(checks.HEADER)
