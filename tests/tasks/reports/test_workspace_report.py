"""The report: whole and partial workspaces, and names that try to be markup."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from atelier.tasks.dataset.shards import Card, Shard, write_card
from atelier.tasks.images.codec import encode
from atelier.tasks.registry.tags import Version
from atelier.tasks.reports.charts import curve, number, ratio_bar
from atelier.tasks.reports.metrics_table import metrics_table
from atelier.tasks.reports.workspace_report import RegistryInfo, write_report
from atelier.tasks.workspace.run_record import CANARY_SHEET, DATA_SHEET, RunRecord

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
METRICS = {
    "indicative": True,
    "counts": {"content": 96, "style": 80, "content_groups": 3, "style_groups": 2},
    "kid": {"metric": "kid_inception", "stylized": 0.0312, "photos": 0.0713, "ratio": 0.437, "ratio_low": 0.31,
            "ratio_high": 0.58},
    "style": {"encoder": "inception", "independent": True, "stylized": 0.06, "photos": 0.22, "ratio": 0.276},
    "ssim": {"mean": 0.618, "low": 0.59, "high": 0.65, "worst": 0.4},
    "inversion": {"share": 0.0, "correlation": 0.95},
}  # fmt: skip
MODEL = {
    "format": 1, "method": "cpgan", "content_domain": "photos", "style_domain": "paintings", "config": {"filters": 24},
}  # fmt: skip


class Page(HTMLParser):
    """The tags and the visible text of a page; unbalanced tags are an error."""

    VOID = ("meta", "img", "input", "br", "circle", "path", "polyline")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.source = path.read_text()
        self.feed(self.source)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text += data

    @property
    def titles(self) -> list[str]:
        return re.findall(r"<h2>(.*?)</h2>", self.source)


def fill(root: Path, name: str = "plain") -> Path:
    """A workspace with everything in it; `name` is in every place that comes from outside."""
    pairs = root / "reports/evaluation/pairs"
    pairs.mkdir(parents=True)
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for index in range(3):
        for side in ("before", "after"):
            (pairs / f"{index:02}-{side}.jpg").write_bytes(encode(picture, "jpeg"))
    for sheet in ("grid.png", "nearest.png"):
        (root / "reports/evaluation" / sheet).write_bytes(encode(picture, "png"))
    (root / "data/augmented").mkdir(parents=True)
    (root / "data/augmented/contact_sheet.png").write_bytes(encode(picture, "png"))
    metrics = METRICS | {"kid": METRICS["kid"] | {"metric": name}, name: {"ratio": 1}}
    (root / "reports/evaluation.json").write_text(json.dumps(metrics))
    curves = root / "reports/training/plots/metrics/loss"
    curves.mkdir(parents=True)
    (curves / "style.tsv").write_text("step\tstyle\n0\t3\n10\t2\n20\tnan\n30\t1.5\nbroken\n")
    shards = (
        Shard("a.parquet", "a" * 64, name, "train", 310, 1),
        Shard("b.parquet", "b" * 64, "paintings", "holdout", 80, 1),
    )
    (root / "data/dataset").mkdir(parents=True)
    write_card(root / "data/dataset", Card(1, shards, {"screened": {name: 12}}))
    row = f'"{name.replace(chr(34), chr(34) * 2)}",photos,the file is empty\n'
    (root / "data/dataset/quarantine.csv").write_text("path,domain,reason\n" + row)
    (root / "artifacts/style-model").mkdir(parents=True)
    model = MODEL | {"method": name, "style_domain": name, "config": {name: name}}
    (root / "artifacts/style-model/model.json").write_text(json.dumps(model))
    return root


def registry(name: str = "plain") -> RegistryInfo:
    return RegistryInfo(
        version=name,
        previous=name,
        stage="prod",
        decision="promoted",
        reasons=(f"because {name}",),
        thresholds={"kid.ratio": {"max": 0.6}, "ssim.mean": {"min": 0.7}, f"kid.{name}": {"max": 1}},
        previous_metrics={"kid": {"ratio": 0.491}, "ssim": {"mean": 0.6}},
        history=tuple(
            Version(
                "style-model", f"v1.{i}.0", None, "paintings", "d", "now", i > 0, False, (), {"kid": {"ratio": kid}}, ""
            )
            for i, kid in enumerate((0.5, 0.6))
        ),
        versions={name: name},
    )


def last_night(name: str = "plain") -> RunRecord:
    difference = {"candidate": 0.44, "prod": 0.4, "low": -0.01, "high": 0.09}
    return RunRecord(
        "2026-01-02T02:00:00+01:00", "promoted", f"v1.1.0{name}", name, (name,), {"train": "ran"},
        {"train": 100.0, name: 12.0, "evaluate": 68.0}, 2, 0,
        data={name: {"added": 12, "removed": 0, "pictures": 120}},
        findings=({"name": name, "domain": name, "value": 1.0, "limit": 2.0, "passed": True, "sentence": name},),
        differences={"kid.ratio": difference}, restyled={name: name}, problems=("the remote is down", name),
        next_steps=("try more steps", name),
    )  # fmt: skip


@pytest.fixture
def page(tmp_path: Path) -> Page:
    root = fill(tmp_path / "lakeside")
    left = tmp_path / "left"
    left.mkdir()
    for name in (DATA_SHEET, CANARY_SHEET):
        shutil.copyfile(root / "data/augmented/contact_sheet.png", left / name)
    return Page(write_report(root, tmp_path / "out" / "index.html", registry(), last_night(), left))


def test_everything_is_there(page: Page) -> None:
    assert page.titles == [
        "Last night", "Before and after", "Nearest training pictures",
        "What changed in the data", "How good it is", "Candidate and prod",
        "Version by version",
        "Training", "What the model saw", "The pictures", "The model", "Made with",
    ]  # fmt: skip
    for text in ("lakeside", "71.3", "31.2", "0.437", "0.31 – 0.58", "0.491", "the file is empty", "promoted", "310",
                 "12.0 s", "0.10 CPU hours", "the remote is down", "+0.0400", "−0.0100 … +0.0900",
                 "try more steps"):  # fmt: skip
        assert text in page.text
    assert "Indicative only" in page.text
    assert "left out" not in page.text


def test_limits_say_whether_they_are_kept(page: Page) -> None:
    assert re.search(r'≤ 0\.6 <span class="good">✓', page.source)
    assert re.search(r'≥ 0\.7 <span class="bad">✗', page.source)


def test_a_model_that_generates_has_no_before(tmp_path: Path) -> None:
    root = fill(tmp_path / "w")
    kid = {"kid": {"stylized": 0.3}, "memorisation": {"share": 0.2}, "kind": "generates"}
    kid |= {"means": {"distance": 5.31}}
    (root / "reports/evaluation.json").write_text(json.dumps(kid))
    limits = {"kid.ratio": {"max": 0.6}, "memorisation.share": {"max": 0.01}, "means.distance": {"max": 2.5}}
    before = {"kid": {"stylized": 0.3, "ratio": 2e12}}  # as it is measured beside a candidate
    page = Page(write_report(root, tmp_path / "index.html", RegistryInfo(thresholds=limits, previous_metrics=before)))
    assert "2,000" not in page.text
    assert page.titles[:3] == ["Generated pictures", "Nearest training pictures", "How good it is"]
    assert "makes pictures like plain from noise." in page.text
    assert "≤ 0.01 ✗" in page.text
    assert "≤ 2.5 ✗" in page.text
    assert "0.6" not in page.text, "without photographs to compare with, that limit is none of its"
    assert "stylized" not in page.text
    assert "kernel distance of all pictures to those of the style" in page.text
    assert "Held-out photographs" not in page.text


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "base", "object")
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "url(" not in page.source
    assert "@import" not in page.source
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    # the folder's own name cannot hold a slash
    root = fill(tmp_path / HOSTILE.replace("/", "\\"), HOSTILE)
    page = Page(write_report(root, tmp_path / "index.html", registry(HOSTILE), last_night(HOSTILE)))
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all((a.get("src") or "").startswith("data:image/jpeg") for tag, a in page.tags if tag == "img")
    assert page.text.count(HOSTILE) >= 12


def test_dollar_signs_in_names_are_no_placeholders(tmp_path: Path) -> None:
    assert "$body" in Page(write_report(fill(tmp_path / "w", "$body"), tmp_path / "index.html", registry())).text


def test_an_empty_workspace_has_a_quiet_note(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, tmp_path / "index.html"))
    assert page.titles == []
    assert "left out: last night, before and after, what changed in the data" in page.text


def test_damaged_files_are_left_out(tmp_path: Path) -> None:
    root = fill(tmp_path / "w")
    (root / "reports/evaluation.json").write_text('{"kid": 3, "ssim": {"mean": "many"}, "counts": []}')
    (root / "reports/evaluation/pairs/00-after.jpg").write_bytes(b"no picture")
    (root / "data/augmented/contact_sheet.png").unlink()
    (root / "data/dataset/dataset.json").write_text("{")
    (root / "artifacts/style-model/model.json").write_text("[]")
    page = Page(write_report(root, tmp_path / "index.html"))
    assert page.titles == ["Before and after", "Nearest training pictures", "Training", "The pictures"]
    assert sum(a.get("alt") == "photograph" for _, a in page.tags) == 3  # the stage and two of the three pairs
    assert "is damaged" in page.text


def test_viewing_sizes_are_columns_where_they_were_measured() -> None:
    at = {"counts": {"content": 48}, "kid": {"stylized": 0.0345, "photos": 0.05, "ratio": 0.69}}
    at |= {"style": {"stylized": 0.7, "photos": 1.4, "ratio": 0.5}, "repetition": {"share": 0.875}}
    metrics = METRICS | {"size_px": 128, "sizes": {"256": at, "512": at | {"repetition": {"share": 0.125}}}}
    html = metrics_table(metrics, {}, {}, None)
    for words in ("128 px", "256 px", "512 px", "34.5", "0.875", "0.125"):
        assert words in html
    for old in (METRICS, METRICS | {"sizes": {}}, METRICS | {"sizes": 3}):  # written before there were any, and damaged
        assert "people look at" not in metrics_table(old, {}, {}, None)


def test_an_encoder_of_the_loss_is_owned_up_to(tmp_path: Path) -> None:
    root = fill(tmp_path / "w")
    (root / "reports/evaluation.json").write_text(json.dumps({"style": METRICS["style"] | {"independent": False}}))
    assert "Not independent" in Page(write_report(root, tmp_path / "index.html")).text


def test_curve_is_well_formed_and_within_its_box() -> None:
    svg = ElementTree.fromstring(curve('a<b>&"c', [(0, 1), (5, float("nan")), (10, -2), (20, 4e5)]))
    lines = [line for line in svg if line.tag == "polyline"]
    assert len(lines) == 2
    points = [tuple(map(float, p.split(","))) for line in lines for p in line.attrib["points"].split()]
    assert len(points) == 6
    assert all(0 <= x <= 300 and 0 <= y <= 150 for x, y in points)


@pytest.mark.parametrize("points", [[], [(0, 1)], [(0, float("inf")), (1, 1)]])
def test_a_curve_needs_two_points(points: list[tuple[float, float]]) -> None:
    assert curve("x", points) == ""


def test_a_flat_and_a_long_curve() -> None:
    assert "polyline" in curve("flat", [(0, 2), (1, 2)])
    assert len(curve("long", [(i, i) for i in range(100_000)])) < 20_000


@pytest.mark.parametrize("ratio", [-3.0, 0.5, 900.0])
def test_ratio_stays_on_its_line(ratio: float) -> None:
    svg = ElementTree.fromstring(ratio_bar(ratio, 0.2, 7.0, 0.6))
    assert 0 <= float(next(e for e in svg if e.tag == "circle").attrib["cx"]) <= 200


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0312, "0.0312"), (71.3, "71.3"), (0, "0"), (1234567, "1,234,567"), (0.00001, "1.0e−05"), (-0.5, "−0.500"),
     (float("nan"), "–"), ("x", "–"), (None, "–"), (True, "–")],
)  # fmt: skip
def test_number(value: object, text: str) -> None:
    assert number(value) == text
