"""A destination that is met again: more inputs, other parameters, what failed tried once more."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from atelier.models.card import identify, weights_sha256
from atelier.tasks.bulk import results
from atelier.tasks.bulk.failure_limit import allowed_failures
from atelier.tasks.bulk.inputs import ALL_INPUTS, Selection, list_inputs
from atelier.tasks.bulk.job import JobFolder, open_job
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.bulk.request import Rerun, StylizeRequest
from atelier.tasks.bulk.stylize import StylizeSummary, stylize
from atelier.tasks.inference.config import StylizeConfig

CONFIG = StylizeConfig(format="png")
BEGUN = """\
{
  "format": 2,
  "model": {
    "dataset": "%s",
    "method": "cpgan",
    "name": "style-model",
    "version": "v1",
    "weights_sha256": "%s"
  },
  "parameters": {
    "direction": "a2b",
    "execution": {
      "backend": "auto",
      "device": "auto",
      "precision": "auto"
    },
    "format": "png",
    "metadata": "keep",
    "preserve_color": false,
    "quality": 95,
    "size": null,
    "steps": null,
    "strength": 1.0,
    "style_weight": null,
    "styles": [],
    "to": []
  },
  "plan": {
    "backend": "torch",
    "batch_pixels": 65536,
    "device": "cpu",
    "max_batch": 16,
    "precision": "float32",
    "threads": 1,
    "tile_px": 0,
    "version": "%s",
    "whole_pixels": 16777216
  },
  "since": 1,
  "source": "%s"
}
"""


def _picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def job(tmp_path: Path, tiny_model: Path) -> Callable[..., StylizeSummary]:
    """Runs the job from `tmp_path/in` to `tmp_path/out`."""

    def run(config: StylizeConfig = CONFIG, connect: Callable[[], None] = _connected, **options: Any) -> StylizeSummary:
        identity = identify(tiny_model, "style-model", options.pop("version", "v1"))
        out = options.pop("out", tmp_path / "out")
        selection = options.pop("selection", ALL_INPUTS)
        request = StylizeRequest(
            (str(tmp_path / "in"),), out, tiny_model, config, identity, selection=selection, rerun=Rerun(**options)
        )
        return stylize(request, connect=connect)

    return run


def _connected() -> None:
    """The cluster is connected by the fixture."""


def _killed() -> None:
    raise ConnectionError("killed")


def _nothing() -> None:
    raise AssertionError("there was nothing to do, and it connected")


def _counts(summary: StylizeSummary) -> tuple[int, ...]:
    return summary.total, summary.done, summary.skipped, summary.quarantined, summary.pending, summary.processed


def _outputs(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "_atelier" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.usefixtures("ray_cluster")
def test_a_limit_and_globs_are_lifted_and_the_same_job_goes_on(tmp_path: Path, job: Any) -> None:
    for index in range(4):
        _picture(tmp_path / f"in/{index}.png", index)
    assert _counts(job(selection=Selection(exclude=("0*",), limit=2))) == (2, 2, 0, 0, 0, 2)
    first = _outputs(tmp_path / "out")
    assert set(first) == {"1.png", "2.png"}
    assert _counts(job()) == (4, 4, 0, 0, 0, 2)
    every = _outputs(tmp_path / "out")
    assert set(every) == {"0.png", "1.png", "2.png", "3.png"}
    assert first.items() <= every.items()
    assert _counts(job(connect=_nothing, selection=Selection(limit=1))) == (1, 1, 0, 0, 0, 0)
    assert _outputs(tmp_path / "out") == every


@pytest.mark.usefixtures("ray_cluster")
def test_what_failed_is_tried_again_alone_and_only_when_asked(tmp_path: Path, job: Any) -> None:
    _picture(tmp_path / "in/good.png", 1)
    bad = _picture(tmp_path / "in/bad.png", 2)
    whole, facts = bad.read_bytes(), bad.stat()

    def set_content(data: bytes) -> None:
        """As a disk that reads wrong: neither size nor time tell."""
        bad.write_bytes(data)
        os.utime(bad, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    set_content(bytes(len(whole)))
    assert _counts(job()) == (2, 1, 0, 1, 0, 2)
    stamp = (tmp_path / "out/good.png").stat().st_mtime_ns
    assert _counts(job(connect=_nothing)) == (2, 1, 0, 1, 0, 0)
    with pytest.raises(RuntimeError, match="1 of 2 inputs are quarantined, more than the limit of 0"):
        job(connect=_nothing, max_quarantine="0")
    assert _counts(job(retry_quarantined=True)) == (2, 1, 0, 1, 0, 1)  # still bad
    set_content(whole)
    with pytest.raises(ConnectionError, match="killed"):
        job(connect=_killed, retry_quarantined=True)
    assert _counts(job(connect=_nothing)) == (2, 1, 0, 1, 0, 0)
    assert _counts(job(retry_quarantined=True)) == (2, 2, 0, 0, 0, 1)
    assert (tmp_path / "out/good.png").stat().st_mtime_ns == stamp
    assert (tmp_path / "out/_atelier/quarantine.csv").read_text() == "path,stage,reason\n"
    with open_job(tmp_path / "out") as folder:
        rows = folder.ledger.read().to_pylist()
    assert {row["input"]: row["attempt"] for row in rows} == {"good.png": 1, "bad.png": 3}


@pytest.mark.usefixtures("ray_cluster")
def test_other_parameters_replace_a_job_only_when_that_is_meant(tmp_path: Path, job: Any) -> None:
    for name in ("a.png", "b.png", "b.jpg"):
        _picture(tmp_path / "in" / name, len(name))
    (tmp_path / "in/bad.png").write_bytes(b"bad")
    assert _counts(job()) == (4, 3, 0, 1, 0, 4)
    before = _outputs(tmp_path / "out")
    other = replace(CONFIG, strength=0.5, stroke=2.0, format="webp")
    for options in ({"config": other}, {"version": "v2"}):
        with pytest.raises(ValueError, match="or --replace to make its outputs again"):
            job(**options, connect=_nothing)
    assert _outputs(tmp_path / "out") == before

    with open_job(tmp_path / "out") as folder:  # an output that was never recorded, as a kill leaves it
        folder.ledger.folder.remove(folder.ledger.folder.names())
        folder.ledger.append([LedgerRow("bad.png", "quarantined")])
    with pytest.raises(ConnectionError, match="killed"):
        job(other, replace=True, connect=_killed)
    assert _outputs(tmp_path / "out") == {}  # nothing of the job that was replaced is left
    with pytest.raises(ValueError, match=r"strength is 0\.5, you ask for 1\.0"):
        job(connect=_nothing)
    assert _counts(job(other)) == (4, 3, 0, 1, 0, 4)
    job(other, out=tmp_path / "afresh")
    assert _outputs(tmp_path / "out") == _outputs(tmp_path / "afresh")
    assert set(_outputs(tmp_path / "out")) == {"a.webp", "b.png.webp", "b.jpg.webp"}
    manifest = json.loads((tmp_path / "out/_atelier/job.json").read_text())
    assert (manifest["plan"]["stroke"], manifest["parameters"]["stroke"]) == (2.0, 2.0)
    with pytest.raises(ValueError, match=r"stroke is 2\.0, you ask for 1\.0"):
        job(replace(other, stroke=1.0), connect=_nothing)
    assert _counts(job(other, connect=_nothing)) == (4, 3, 0, 1, 0, 0)
    _picture(tmp_path / "elsewhere/a.png", 1)
    (tmp_path / "in").rename(tmp_path / "gone")
    (tmp_path / "in").symlink_to("elsewhere")
    with pytest.raises(ValueError, match="holds another job: its source is"):
        job(other, replace=True, connect=_nothing)


@pytest.mark.usefixtures("ray_cluster")
def test_a_job_of_which_too_much_fails_fails(tmp_path: Path, job: Any) -> None:
    for index in range(8):
        _picture(tmp_path / f"in/{index}.png", index)
    for index in range(3):
        (tmp_path / f"in/bad{index}.png").write_bytes(b"bad")
    with pytest.raises(
        RuntimeError, match=r"of 11 inputs are quarantined, more than the limit of 25%.*raise --max-quar"
    ):
        job(max_quarantine="25%")
    rows = list(csv.DictReader((tmp_path / "out/_atelier/quarantine.csv").read_text().splitlines()))
    assert len(rows) == 3
    assert _counts(job(max_quarantine="3"))[:5] == (11, 8, 0, 3, 0)


def test_limits_of_the_quarantine() -> None:
    assert allowed_failures("", 10) == 10
    assert [allowed_failures(text, 200) for text in ("0", "7", "0.05", "5%", "0.5%", "100%", "1.0")] == [
        0,
        7,
        10,
        10,
        1,
        200,
        200,
    ]
    assert allowed_failures("7%", 100) == 7
    for text in ("x", "-1", "nan", "inf%", "1e999", "%"):
        with pytest.raises(ValueError, match="no limit for quarantined inputs: give a count"):
            allowed_failures(text, 10)


def test_an_output_that_has_another_input_by_now_is_not_removed(tmp_path: Path) -> None:
    """As after a job was replaced by one with another format, which planned the names anew."""
    _picture(tmp_path / "in/a.png", 1)
    _picture(tmp_path / "in/a.jpg", 1)
    inputs = list_inputs(["in"], tmp_path)
    stamps = dict(zip(inputs["input"].to_pylist(), inputs["stamp"].to_pylist(), strict=True))
    with open_job(tmp_path / "out") as job:
        job.destination.write("a.png", b"123")
        job.ledger.append([LedgerRow("a.jpg", "done", "a.png", stamp=stamps["a.jpg"], bytes=3, attempt=1)])
        job.ledger.append([LedgerRow("a.png", "done", "a.png", stamp=stamps["a.png"], bytes=3, attempt=2)])
        state = job.state(inputs, since=2)
        assert state.inputs("done") == {"a.png"}
        assert state.inputs("pending") == {"a.jpg"}
        job.start_run(state)
        assert job.destination.read("a.png") == b"123"
        assert job.state(inputs, since=1).inputs("done") == {"a.png", "a.jpg"}


@pytest.mark.usefixtures("ray_cluster")
def test_a_job_that_an_earlier_version_began_continues(tmp_path: Path, tiny_model: Path, job: Any) -> None:
    """Its folder as that version wrote it, to the letter: manifest, names, ledger and the file of a running job."""
    for name in ("a.png", "b.png"):
        _picture(tmp_path / "in" / name, 1)
    inputs = list_inputs(["in"], tmp_path)
    state = tmp_path / "out/_atelier"
    (state / "ledger").mkdir(parents=True)
    manifest = BEGUN % ("d" * 64, weights_sha256(tiny_model), torch.__version__, tmp_path / "in")
    (state / "job.json").write_text(manifest)
    names = pa.table({"input": ["a.png", "b.png"], "output": ["a.png", "planned/b.png"]})
    pq.write_table(names.replace_schema_metadata({"format": "png"}), state / "names.parquet")
    texts = {"input": "a.png", "output": "a.png", "state": "done", "stage": "", "reason": ""}
    texts |= {"stamp": inputs["stamp"][0].as_py(), "input_sha256": "0" * 64, "output_sha256": "0" * 64}
    columns = {name: pa.array([text]) for name, text in texts.items()}
    columns |= {"bytes": pa.array([4]), "seconds": pa.array([0.5], pa.float32()), "attempt": pa.array([1], pa.int32())}
    pq.write_table(pa.table(columns), state / "ledger/0123456789abcdef.parquet")
    (state / "running").write_bytes(b"")
    (tmp_path / "out/a.png").write_bytes(b"made")
    (tmp_path / "out/.atelier-1-dead-0.tmp").write_bytes(b"half")
    assert _counts(job()) == (2, 2, 0, 0, 0, 1)
    assert (tmp_path / "out/a.png").read_bytes() == b"made"
    assert set(_outputs(tmp_path / "out")) == {"a.png", "planned/b.png"}
    assert (state / "job.json").read_text() == BEGUN % (
        "d" * 64,
        weights_sha256(tiny_model),
        torch.__version__,
        tmp_path / "in",
    )
    assert sorted(path.name for path in state.iterdir()) == [
        *("inflight", "job.json", "ledger", "lock", "names.parquet", "quarantine.csv", "report.html", "request.json"),
        "summary.json",
    ]
    with open_job(tmp_path / "out") as folder:
        rows = folder.ledger.read().to_pylist()
    assert {row["input"]: row["attempt"] for row in rows} == {"a.png": 1, "b.png": 2}


def test_parts_of_the_ledger_become_one_while_a_job_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "COMPACT_BLOCKS", 4)
    counts = {"done": 0, "skipped": 0, "quarantined": 0, "pending": 10}
    parts = []
    with open_job(tmp_path) as job:

        def blocks() -> Iterator[pa.Table]:
            for index in range(10):
                job.ledger.append([LedgerRow(f"{index}", "done")])
                parts.append(len(list((tmp_path / "_atelier/ledger").iterdir())))
                yield pa.table({})

        assert len(list(results.supervised(blocks(), job, counts, ""))) == 10
        assert parts == [1, 2, 3, 4, 2, 3, 4, 5, 2, 3]
        assert job.ledger.read().num_rows == 10


@pytest.mark.parametrize("output", ["../mine", "/etc/x", "a/../../mine", "_atelier/job.json", "_ATELIER/lock", "C:\\x"])
def test_state_that_names_files_of_others_is_refused(tmp_path: Path, output: str) -> None:
    """Nothing is removed and nothing written: in the ledger, and in the planned names, for another format too."""
    (tmp_path / "mine").write_text("mine")
    listing = pa.table({"input": ["a.png"], "stamp": ["2"]})
    with open_job(tmp_path / "out") as job:
        job.ledger.append([LedgerRow("a.png", "done", output, stamp="1")])
        with pytest.raises(ValueError, match=r"ledger names the output .*, which is none of a job"):
            job.state(listing)
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"input": ["a.png"], "output": [output]}), sink)
        job.folder.write("names.parquet", sink.getvalue())
        for format in ("png", "webp"):
            with pytest.raises(ValueError, match=r"names.parquet names the output .*, which is none of a job"):
                job.plan_names(listing["input"], format)
        for text in ("[]", "[" * 10**5, '{"parameters": 1}', '{"since": []}'):
            job.folder.write("job.json", text.encode())
            with pytest.raises(ValueError, match=r"job.json is damaged"):
                job.manifest()
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "/inflight", "/ledger", "/lock", "/running"])
def test_job_state_behind_a_link_is_refused(tmp_path: Path, name: str) -> None:
    out, home = tmp_path / "out", tmp_path / "home"
    (home / "x").mkdir(parents=True)
    (home / "mine").write_text("mine")
    link = out / f"_atelier{name}"
    link.parent.mkdir(parents=True)
    link.symlink_to(home / "mine" if name in ("/lock", "/running") else home)
    listing = pa.table({"input": ["a.png"], "stamp": ["2"]})
    with (  # noqa: PT012
        pytest.raises((RuntimeError, OSError), match=r"leads out of the destination|symbolic links"),
        open_job(out) as job,
    ):
        job.start_run(job.state(listing))
        job.ledger.append([LedgerRow("a.png", "skipped")])
    assert sorted(path.name for path in home.iterdir()) == ["mine", "x"]
    assert (home / "mine").read_text() == "mine"


def test_a_job_that_another_process_took_over_stops(tmp_path: Path) -> None:
    counts = {"done": 0, "skipped": 0, "quarantined": 0, "pending": 1}
    with open_job(tmp_path) as job, pytest.raises(RuntimeError, match="another process has taken over the job in"):
        list(results.supervised(iter([pa.table({})]), JobFolder(job.destination, lambda: False), counts, ""))


def test_the_whole_destination_is_searched_only_after_a_killed_run(tmp_path: Path) -> None:
    _picture(tmp_path / "in/a.png", 1)
    inputs = list_inputs(["in"], tmp_path)
    with open_job(tmp_path / "out") as job:
        for folder in ("old", "new"):
            job.destination.write(f"{folder}/a.png", b"x")

        def leave() -> None:
            for folder in ("old", "new"):
                (tmp_path / f"out/{folder}/.atelier-1-dead-0.tmp").write_bytes(b"half")

        def left() -> list[str]:
            return sorted(path.parent.name for path in (tmp_path / "out").rglob("*.tmp"))

        job.start_run(job.state(inputs))
        leave()
        job.finish_run(pa.chunked_array([["new/a.png"]]))
        assert left() == ["old"]  # where this run did not write, none of its workers can have left anything
        job.start_run(job.state(inputs))
        leave()
    with open_job(tmp_path / "out") as job:
        job.start_run(job.state(inputs))
        assert left() == []
