import csv
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from atelier.models import artifact
from atelier.models.card import ModelIdentity, identify
from atelier.models.controls import Controls
from atelier.models.methods.cin import Cin
from atelier.models.methods.inpaint import Inpaint
from atelier.tasks.bulk.job import open_job
from atelier.tasks.bulk.ledger import Ledger, LedgerRow
from atelier.tasks.bulk.manifest import differences, in_words, manifest_of
from atelier.tasks.bulk.messages import ENTRY_FIELDS, RESULT_SCHEMA, TASK_SCHEMA, JobSpec, JobStep
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.bulk.worker import StylizeWorker
from atelier.tasks.images import provenance
from atelier.tasks.images.codec import decode
from atelier.tasks.inference.config import InsertConfig, StylizeConfig
from atelier.tasks.inference.controls import controls_from_config
from atelier.tasks.inference.execution_plan import Execution, ExecutionPlan
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.storage.local_folder import LocalFolder
from atelier.tasks.storage.open_destination import open_destination
from tests.models.tiny import CIN, INPAINT
from tests.tasks.bulk.test_ledger import die

pytestmark = pytest.mark.long

# Ray Data sets its own deprecated attribute
CONFIG = StylizeConfig(format="png")
DRIVER = """
import os, sys
from pathlib import Path
import ray
from atelier.models.card import identify
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.inference.config import StylizeConfig

source, destination, model, address, extra, stages = sys.argv[1:]
options = {"address": address} if address else {"num_cpus": 1, "include_dashboard": False}
if extra:
    paths = os.pathsep.join(filter(None, (extra, os.environ.get("PYTHONPATH"))))
    options["runtime_env"] = {"env_vars": {"PYTHONPATH": paths}}
identity = identify(Path(model), "style-model", "v1")
config = StylizeConfig(format="png", stages=stages)
stylize(StylizeRequest((source,), Path(destination), Path(model), config, identity),
        connect=lambda: ray.init(**options, logging_level="error", log_to_driver=False))
"""


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Path:
    """A tiny generator that changes its input visibly."""
    return tiny_model


@pytest.fixture(scope="module")
def identity(model: Path) -> ModelIdentity:
    return identify(model, "style-model", "v1")


def _picture(path: Path, seed: int, size: tuple[int, int] = (40, 32), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


def _no_connection() -> None:
    raise AssertionError("there was nothing to do, and it connected")


def _already() -> None:
    """The cluster is connected by the fixture."""


def _tree(folder: Path) -> dict[str, bytes]:
    """All outputs."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "_atelier" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def _quarantine(destination: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((destination / "_atelier/quarantine.csv").read_text().splitlines()))


@pytest.mark.usefixtures("ray_cluster")
def test_a_mixed_archive_ends_in_full_and_a_rerun_does_what_is_new(
    tmp_path: Path, model: Path, identity: ModelIdentity
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for index in range(6):
        _picture(source / f"deep/er/{index}.png", index)
    _picture(source / "same.png", 10)
    _picture(source / "same.jpg", 11)
    _picture(source / "one.png", 12, (1, 1))
    _picture(source / "thin.bmp", 13, (3, 70))
    _picture(source / "_atelier/job.png", 14)
    Image.new("CMYK", (30, 20)).save(source / "print.jpg")
    _picture(source / "huge.png", 15, (90, 90))
    (source / "=broken\u202e.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (source / "empty.jpg").write_bytes(b"")
    (source / "notes.txt").write_text("no picture")
    (source / "away.png").symlink_to("/etc/hostname")
    config = replace(CONFIG, max_pixels=8000, strength=0.5)

    seen: list[Progress] = []
    summary = stylize(StylizeRequest((str(source),), out, model, config, identity), seen.append, connect=_already)
    counts = (summary.total, summary.done, summary.skipped, summary.quarantined, summary.pending)
    assert counts == (17, 12, 1, 4, 0)
    assert (seen[0].done, seen[0].total) == (0, 17)
    assert (seen[-1].done, seen[-1].total, seen[-1].note) == (17, 17, "4 in quarantine")

    outputs = _tree(out)
    assert set(outputs) == {f"deep/er/{index}.png" for index in range(6)} | {
        *("same.png", "same.jpg.png", "one.png", "thin.png", "_atelier_/job.png", "print.png")
    }
    trained = artifact.load(model)
    for name, original in (("deep/er/3.png", "deep/er/3.png"), ("thin.png", "thin.bmp"), ("one.png", "one.png")):
        pixels = decode((source / original).read_bytes())
        batch = (
            torch.tensor(pixels).permute(2, 0, 1)[None].repeat(ExecutionPlan().batch_size(*pixels.shape[:2]), 1, 1, 1)
        )
        wanted = trained.painter(Controls(0.5))(batch)[0].permute(1, 2, 0).numpy()
        assert np.array_equal(decode(outputs[name]), wanted)
        assert not np.array_equal(wanted, pixels)

    found = provenance.read(outputs["same.jpg.png"])
    assert found is not None
    assert found.model == identity
    assert found.parameters["strength"] == 0.5
    assert all(str(tmp_path).encode() not in data for data in outputs.values())

    written = json.loads((out / "_atelier/summary.json").read_text())
    assert (written["total"], written["done"], written["quarantined"]) == (17, 12, 4)
    rows = _quarantine(out)
    assert {row["path"]: row["stage"] for row in rows} == {
        "'=broken\\u202e.png": "decode",
        "empty.jpg": "decode",
        "huge.png": "decode",
        "away.png": "read",
    }
    assert "8,000" in next(row["reason"] for row in rows if row["path"] == "huge.png")

    before = _everything(out)
    again = stylize(StylizeRequest((str(source),), out, model, config, identity), connect=_no_connection)
    assert (again.total, again.done, again.processed) == (17, 12, 0)
    assert _everything(out) == before

    _picture(source / "new.png", 20)
    _picture(source / "same.png", 21)  # changed
    (source / "same.webp").write_bytes((source / "new.png").read_bytes())
    (out / "one.png").unlink()
    (out / "deep/er/0.png").write_bytes(b"cut")
    stamp = (out / "thin.png").stat().st_mtime_ns
    grown = stylize(StylizeRequest((str(source),), out, model, config, identity), connect=_already)
    assert (grown.total, grown.done, grown.processed) == (19, 14, 5)
    after = _tree(out)
    assert after.pop("same.png") != outputs.pop("same.png")
    assert set(after) - set(outputs) == {"new.png", "same.webp.png"}
    assert {name: after[name] for name in outputs} == outputs
    assert (out / "thin.png").stat().st_mtime_ns == stamp


@pytest.mark.usefixtures("ray_cluster")
def test_outputs_do_not_depend_on_what_shares_a_batch(tmp_path: Path, model: Path, identity: ModelIdentity) -> None:
    names = [_picture(tmp_path / f"in/{index}.png", index, (60, 50)) for index in range(21)]
    stylize(StylizeRequest((str(tmp_path / "in"),), tmp_path / "all", model, CONFIG, identity), connect=_already)
    with zipfile.ZipFile(tmp_path / "few.zip", "w") as archive:
        for path in (names[17], names[3]):
            archive.write(path, path.name)
    stylize(StylizeRequest(("few.zip",), tmp_path / "few", model, CONFIG, identity, base=tmp_path), connect=_already)
    few, every = _tree(tmp_path / "few"), _tree(tmp_path / "all")
    assert len(every) == 21
    assert few == {name: every[name] for name in ("3.png", "17.png")}


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(
    ("ender", "status"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 1, marks=pytest.mark.slow)]
)
def test_a_job_that_is_stopped_writes_its_summary_within_ten_seconds_and_can_be_continued(
    tmp_path: Path, model: Path, identity: ModelIdentity, ender: signal.Signals, status: int
) -> None:
    import ray

    for index in range(48):
        _picture(tmp_path / f"in/{index}.png", index, (180, 160))
    source, out = str(tmp_path / "in"), tmp_path / "out"
    process = _driver(source, out, model, ray.get_runtime_context().gcs_address)
    try:
        _wait(lambda: len(list(out.rglob("[0-9]*.png"))) > 3, process)
    finally:
        process.send_signal(ender)
    assert process.wait(20) == status  # ten, and what a busy machine adds
    written = json.loads((out / "_atelier/summary.json").read_text())
    assert written["pending"] > 0
    assert written["total"] == 48 == sum(written[state] for state in ("done", "skipped", "quarantined", "pending"))
    assert stylize(StylizeRequest((source,), out, model, CONFIG, identity), connect=_already).done == 48
    assert LocalFolder(out).remove_leftovers() == 0


def test_a_picture_that_crashes_the_decoder_ends_in_quarantine_on_a_cluster_of_one_cpu(
    tmp_path: Path, model: Path
) -> None:
    for index in range(5):
        _picture(tmp_path / f"in/{index}.png", index)
    Image.new("RGB", (31, 77)).save(tmp_path / "in/3.png")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        "import os\n"
        "from PIL.PngImagePlugin import PngImageFile\n"
        "load = PngImageFile.load\n"
        "PngImageFile.load = lambda self: os.abort() if self.size == (31, 77) else load(self)\n"
    )
    out = tmp_path / "out"
    process = _driver(str(tmp_path / "in"), out, model, "", str(tmp_path / "site"))
    assert process.wait(200) == 0
    assert json.loads((out / "_atelier/summary.json").read_text())["done"] == 4
    rows = _quarantine(out)
    assert rows == [{"path": "3.png", "stage": "decode", "reason": "crashed the decoder"}]
    assert set(_tree(out)) == {"0.png", "1.png", "2.png", "4.png"}


@pytest.mark.usefixtures("ray_cluster")
def test_a_damaged_model_stops_the_job_with_one_line(tmp_path: Path, model: Path) -> None:
    broken = tmp_path / "model"
    shutil.copytree(model, broken)
    save_file({"w": np.zeros(3, np.float32)}, broken / "generator.safetensors")  # whole, but of another network
    _picture(tmp_path / "in/a.png", 1)
    with pytest.raises(ValueError, match="does not hold the network") as error:
        stylize(
            StylizeRequest((str(tmp_path / "in"),), tmp_path / "out", broken, CONFIG, identify(broken, "m", "")),
            connect=_already,
        )
    assert "\n" not in str(error.value)
    assert json.loads((tmp_path / "out/_atelier/summary.json").read_text())["pending"] == 1


def _agreed(*arguments: Any, **options: Any) -> bool:
    """Whether a job would continue; it is stopped before it connects."""
    with pytest.raises(ConnectionError, match="no cluster"):
        stylize(StylizeRequest(*arguments, **options), connect=_unreachable)
    return True


def _unreachable() -> None:
    raise ConnectionError("no cluster")


def test_styles_and_masks_make_the_job_by_what_they_show(tmp_path: Path, model: Path, identity: ModelIdentity) -> None:
    """They are known by their contents, wherever they lie."""
    _picture(tmp_path / "in/a.png", 1)
    oil, ink = _picture(tmp_path / "oil.png", 2), _picture(tmp_path / "ink.png", 3)
    mask = _picture(tmp_path / "mask.png", 4)
    arguments = ((str(tmp_path / "in"),), tmp_path / "out", model)
    painter = replace(identity, method="adain")
    begun = StylizeConfig(styles=("oil.png=2", "ink.png"), masks=("mask.png", "mask.png"))
    assert _agreed(*arguments, begun, painter, base=tmp_path)
    (tmp_path / "out/a.png").write_bytes(b"from a run that was killed")
    elsewhere = StylizeConfig(styles=(f"{oil}=2", str(ink)), masks=(str(mask),) * 2)
    assert _agreed(*arguments, elsewhere, painter, base=tmp_path / "in")

    def refused(config: StylizeConfig, reason: str) -> None:
        with pytest.raises(ValueError, match=f"holds another job: its {reason}"):
            stylize(StylizeRequest(*arguments, config, painter, base=tmp_path), connect=_no_connection)

    refused(replace(begun, styles=("oil.png=2", "ink.png=3")), 'styles 2 is .*"weight": 1.0}, you .*"weight": 3.0}')
    refused(replace(begun, styles=("oil.png=2",), masks=("mask.png",)), "styles ")
    refused(replace(begun, masks=()), "styles 1 .*; its styles 2 ")
    refused(replace(begun, preserve_color=True), "preserve_color is false, you ask for true")
    _picture(mask, 5)
    refused(begun, "styles 1 .*; its styles 2 ")


def test_a_job_from_before_a_parameter_was_there_goes_on(tmp_path: Path, model: Path, identity: ModelIdentity) -> None:
    _picture(tmp_path / "in/a.png", 1)
    arguments = ((str(tmp_path / "in"),), tmp_path / "out", model)
    assert _agreed(*arguments, CONFIG, identity)
    (tmp_path / "out/a.png").write_bytes(b"from a run that was killed")
    path = tmp_path / "out/_atelier/job.json"
    manifest = json.loads(path.read_text())
    manifest["parameters"] = {name: manifest["parameters"][name] for name in ("strength", "format", "quality")}
    painter = replace(identity, method="cyclegan")
    path.write_text(json.dumps(manifest | {"model": asdict(painter)}))
    with pytest.raises(ValueError, match='its direction is "a2b", you ask for "b2a"'):
        stylize(StylizeRequest(*arguments, replace(CONFIG, direction="b2a"), painter), connect=_no_connection)
    path.write_text(json.dumps(manifest))
    assert _agreed(*arguments, CONFIG, identity)


def test_another_job_on_the_same_destination_is_refused(tmp_path: Path, model: Path, identity: ModelIdentity) -> None:
    out, source = tmp_path / "out", str(tmp_path / "in")
    _picture(tmp_path / "in/a.png", 1)

    for config in (replace(CONFIG, format="webp"), CONFIG):  # a job that never began does not count
        assert _agreed((source,), out, model, config, identity)
    (out / "a.png").write_bytes(b"from a run that was killed")
    with pytest.raises(ValueError, match="made by style-model@v1, you ask for style-model@v2"):
        stylize(StylizeRequest((source,), out, model, CONFIG, replace(identity, version="v2")), connect=_no_connection)
    with pytest.raises(ValueError, match=r"its strength is 1.0, you ask for 0.5"):
        stylize(StylizeRequest((source,), out, model, replace(CONFIG, strength=0.5), identity), connect=_no_connection)
    with pytest.raises(ValueError, match="source"):
        stylize(
            StylizeRequest((str(_picture(tmp_path / "b/b.png", 1)),), out, model, CONFIG, identity),
            connect=_no_connection,
        )
    with open_job(out), pytest.raises(RuntimeError, match="another job is running"):
        stylize(StylizeRequest((source,), out, model, CONFIG, identity), connect=_no_connection)


def test_wrong_places_are_refused_before_anything_is_written(
    tmp_path: Path, model: Path, identity: ModelIdentity
) -> None:
    source = _picture(tmp_path / "in/a.png", 1).parent
    (tmp_path / "file").write_text("x")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("x")

    def attempt(wanted: str, destination: str) -> None:
        stylize(
            StylizeRequest((wanted,), tmp_path / destination, model, CONFIG, identity, base=tmp_path),
            connect=_no_connection,
        )

    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        attempt("nowhere", "out")
    with pytest.raises(ValueError, match="holds no picture"):
        attempt("texts", "out")
    for destination in ("in", "in/out", "."):
        with pytest.raises(ValueError, match="lie in each other"):
            attempt("in", destination)
    with pytest.raises(ValueError, match="holds other files"):
        attempt("in", "texts")
    with pytest.raises(NotADirectoryError, match="not a folder"):
        attempt("in", "file")
    assert sorted(tmp_path.rglob("*")) == before
    assert source.exists()


def test_too_little_space_is_reported_at_the_start(
    tmp_path: Path, model: Path, identity: ModelIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    _picture(tmp_path / "in/a.png", 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="has 1 MB free"):
        stylize(
            StylizeRequest((str(tmp_path / "in"),), tmp_path / "out", model, CONFIG, identity), connect=_no_connection
        )


@pytest.fixture
def worker(tmp_path: Path, model: Path, identity: ModelIdentity) -> Iterator[StylizeWorker]:
    """A worker outside Ray, whose destination is `tmp_path/out`."""
    threads = torch.get_num_threads()
    with open_job(tmp_path / "out") as job:
        job.markers.clear()
        step = JobStep(model, identity, Controls(), Execution(ExecutionPlan(version=torch.__version__)))
        yield StylizeWorker(JobSpec(tmp_path / "out", (step,), CONFIG, 1))
    torch.set_num_threads(threads)


def _ask(worker: StylizeWorker, *paths: Path) -> dict[str, tuple[str, str]]:
    import pyarrow as pa

    facts = {"source": "", "etag": "", "kind": "file", "member": "", "offset": 0, "problem": ""}
    assert set(facts) < set(ENTRY_FIELDS)
    rows = [
        {
            "input": p.name,
            "output": p.name,
            "stamp": "s",
            "name": p.name,
            "path": str(p),
            "size": p.stat().st_size,
            **facts,
        }
        for p in paths
    ]
    answer = worker(pa.Table.from_pylist(rows, TASK_SCHEMA))
    assert answer.schema == RESULT_SCHEMA
    return {row["input"]: (row["state"], row["reason"]) for row in answer.to_pylist()}


def test_a_full_disk_leaves_pictures_pending_and_no_half_file(
    tmp_path: Path, worker: StylizeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [_picture(tmp_path / f"{index}.png", index) for index in range(3)]

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        answers = _ask(worker, *paths)
    assert {state for state, _ in answers.values()} == {"pending"}
    assert "No space left on device" in next(iter(answers.values()))[1]
    assert _tree(tmp_path / "out") == {}
    assert {state for state, _ in _ask(worker, *paths).values()} == {"done"}
    assert set(_tree(tmp_path / "out")) == {"0.png", "1.png", "2.png"}


def test_what_fails_for_one_picture_is_its_own(
    tmp_path: Path, worker: StylizeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [_picture(tmp_path / f"{index}.png", index) for index in range(3)]
    long = _picture(tmp_path / ("x" * 250 + ".png"), 5)
    (tmp_path / "out/1.png").mkdir()  # where an output should go
    forward = worker.stylize._forward
    bad = decode(paths[2].read_bytes())

    def fails(pictures: list[tuple[np.ndarray, None]]) -> list[np.ndarray]:
        if any(np.array_equal(picture, bad) for picture, _ in pictures):
            raise RuntimeError("not enough\nmemory")
        return forward(pictures)

    monkeypatch.setattr(worker.stylize, "_forward", fails)
    answers = _ask(worker, *paths, long)
    assert answers["0.png"] == ("done", "") == answers[long.name]
    assert answers["1.png"] == ("quarantined", "cannot be written: Is a directory")
    assert answers["2.png"] == ("quarantined", "the model failed: not enough memory")
    rows = Ledger(tmp_path / "out/_atelier/ledger").read().to_pylist()
    assert {row["input"]: row["stage"] for row in rows} == {
        "0.png": "",
        long.name: "",
        "1.png": "write",
        "2.png": "stylize",
    }
    assert not [p for p in (tmp_path / "out/_atelier/inflight").iterdir() if not p.name.startswith("count-")], (
        "no marker"
    )


def test_pictures_of_every_kind_share_a_worker(tmp_path: Path, worker: StylizeWorker) -> None:
    """Frames of one file, frames of another size and of another depth: each is painted as it would be alone."""
    worker = StylizeWorker(replace(worker.spec, config=replace(CONFIG, format="keep", max_frames=3)))
    arrays = [np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8) for seed in range(4)]
    frames = [Image.fromarray(array) for array in arrays]
    paths = [tmp_path / name for name in ("a.png", "moving.webp", "scan.tif", "many.gif", "no.png", "photo.png")]
    frames[0].save(paths[0])
    frames[0].save(paths[1], lossless=True, save_all=True, append_images=frames[1:3], duration=40)
    deep = np.linspace(0, 65535, 480).astype(np.uint16).reshape(20, 24)
    Image.fromarray(deep).save(paths[2], save_all=True, append_images=[frames[1], Image.fromarray(arrays[2][:9])])
    frames[0].save(paths[3], save_all=True, append_images=frames[1:])
    paths[4].write_bytes(b"")
    frames[0].save(paths[5], "JPEG")
    answers = _ask(worker, *paths)
    assert answers["many.gif"] == ("quarantined", "the file has more frames or pages than the limit of 3")
    assert answers["no.png"] == ("quarantined", "the file is empty")
    assert {answers[path.name] for path in (*paths[:3], paths[5])} == {("done", "")}

    def painted(array: np.ndarray) -> np.ndarray:
        made = worker.stylize.paint(torch.tensor(array).permute(2, 0, 1)[None])[0]
        return made.permute(1, 2, 0).numpy()

    out = tmp_path / "out"
    assert np.array_equal(np.asarray(Image.open(out / "a.png")), painted(arrays[0]))
    assert (out / "photo.png").read_bytes().startswith(b"\x89PNG"), "a name says what is written, contents what is read"
    with Image.open(out / "moving.webp") as moving:
        for number in range(3):
            moving.seek(number)
            assert np.array_equal(np.asarray(moving.convert("RGB")), painted(arrays[number]))
    with Image.open(out / "scan.tif") as scan:
        assert [scan.n_frames, scan.mode] == [3, "I;16"]
        grey = np.repeat(deep[..., None], 3, axis=2)
        luma = painted((grey / 32767.5 - 1).astype(np.float32)) @ [0.299, 0.587, 0.114]
        assert np.abs(np.asarray(scan).astype(int) - (luma + 1) * 32767.5).max() <= 1
        for number, array in ((1, arrays[1]), (2, arrays[2][:9])):
            scan.seek(number)
            assert np.array_equal(np.asarray(scan), painted(array))


def test_label_pictures_place_styles(tmp_path: Path, worker: StylizeWorker) -> None:
    """A picture without its labels is quarantined, and the others are done."""
    torch.manual_seed(0)
    generator = Cin.build_generator(CIN, None)
    torch.nn.init.normal_(generator.styles, std=0.2)
    artifact.save(tmp_path / "styles", CIN, generator, {})
    labels = tmp_path / "labels"
    labels.mkdir()
    config = replace(CONFIG, styles=("dark@1", "light@2"), mask_from=str(labels))
    controls = controls_from_config(config, tmp_path)
    step = replace(worker.spec.steps[0], model=tmp_path / "styles", controls=controls)
    worker = StylizeWorker(replace(worker.spec, steps=(step,), config=config))
    paths = [_picture(tmp_path / f"{index}.png", index) for index in range(4)]
    wanted = [np.random.default_rng(index).integers(0, 3, (32, 40), dtype=np.uint8) for index in range(2)]
    for index, array in enumerate(wanted):
        array[:16] = index
        Image.fromarray(array).save(labels / f"{index}.png")
    Image.new("L", (32, 40)).save(labels / "3.png")
    assert _ask(worker, *paths) == {
        "0.png": ("done", ""),
        "1.png": ("done", ""),
        "2.png": ("quarantined", "there is no label picture 2.png"),
        "3.png": ("quarantined", "label picture 3.png has 32 × 40 pixels, and the picture has 40 × 32"),
    }
    for path, array in zip(paths, wanted, strict=False):
        output = (tmp_path / "out" / path.name).read_bytes()
        changed = (decode(output) != decode(path.read_bytes())).any(2)
        assert not changed[array == 0].any()
        assert changed[array > 0].mean() > 0.9
        said = provenance.read(output)
        assert said is not None
        assert len(said.parameters["labels"]) == 64
        assert [style["label"] for style in said.parameters["styles"]] == [1, 2]


def test_a_logo_stays_byte_for_byte(tmp_path: Path, worker: StylizeWorker) -> None:
    logos = tmp_path / "logos"
    with pytest.raises(FileNotFoundError, match="is no folder of label pictures"):
        controls_from_config(replace(CONFIG, keep_from=str(logos)), tmp_path)
    logos.mkdir()
    worker = StylizeWorker(replace(worker.spec, config=replace(CONFIG, keep_from=str(logos))))
    paths = [_picture(tmp_path / f"{index}.png", index) for index in range(2)]
    logo = np.zeros((32, 40), np.uint8)
    logo[5:9, 7:30] = 255
    Image.fromarray(logo).save(logos / "0.png")
    assert set(_ask(worker, *paths).values()) == {("done", "")}
    for path, kept in zip(paths, (logo > 0, logo < 0), strict=True):
        output = (tmp_path / "out" / path.name).read_bytes()
        changed = (decode(output) != decode(path.read_bytes())).any(2)
        assert not changed[kept].any()
        assert changed[~kept].mean() > 0.9
        said = provenance.read(output)
        assert said is not None
        assert ("kept" in said.parameters) == bool(kept.any())


@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="this processor has no bfloat16")
def test_16_bit_pictures_are_painted_in_float32_whatever_the_plan(tmp_path: Path, worker: StylizeWorker) -> None:
    deep = np.linspace(0, 65535, 480).astype(np.uint16).reshape(20, 24)
    Image.fromarray(deep).save(tmp_path / "scan.tif")
    shallow = _picture(tmp_path / "a.png", 1)
    spec = replace(worker.spec, config=replace(CONFIG, format="keep"))
    plan = replace(spec.plans[0], precision="bfloat16")
    pixels = []
    for each in (spec, spec.with_executions([Execution(plan)])):
        worker = StylizeWorker(each)
        assert set(_ask(worker, tmp_path / "scan.tif", shallow).values()) == {("done", "")}
        pixels.append([np.asarray(Image.open(tmp_path / "out" / name)) for name in ("scan.tif", "a.png")])
    assert np.array_equal(pixels[0][0], pixels[1][0])
    assert not np.array_equal(pixels[0][1], pixels[1][1]), "eight bits follow the plan"


@pytest.mark.parametrize(("stage", "reason"), [("decode", "crashed the decoder"), ("stylize", "memory")])
def test_suspects_of_a_crash_go_one_by_one_and_two_deaths_are_enough(
    tmp_path: Path, worker: StylizeWorker, stage: str, reason: str
) -> None:
    paths = [_picture(tmp_path / f"{index}.png", index) for index in range(4)]
    for _ in range(2):
        die(worker.markers, [path.name for path in paths], "1.png", stage)
    answers = _ask(worker, *paths)
    assert {answers[f"{index}.png"][0] for index in (0, 2, 3)} == {"done"}
    assert answers["1.png"][0] == "quarantined"
    assert reason in answers["1.png"][1]
    assert Ledger(tmp_path / "out/_atelier/ledger").read().num_rows == 4
    left = {path.name.partition("-")[0] for path in (tmp_path / "out/_atelier/inflight").iterdir()}
    assert left <= {"count"}, "the job takes the counts away"


def test_a_ledger_row_without_its_output_counts_as_pending(tmp_path: Path) -> None:
    import pyarrow as pa

    with open_job(tmp_path) as job:
        job.ledger.append(
            [LedgerRow("a", "done", "a.png", stamp="1", bytes=3), LedgerRow("b", "done", "b.png", stamp="1", bytes=3)]
        )
        (tmp_path / "a.png").write_bytes(b"abc")
        listing = pa.table({"input": ["a", "b", "c"], "stamp": ["1", "1", "1"]})
        assert job.state(listing).inputs("done") == {"a"}
        assert job.state(listing).counts == {"done": 1, "skipped": 0, "quarantined": 0, "pending": 2}


def _driver(
    source: str, destination: Path, model: Path, address: str, extra: str = "", stages: str = "auto"
) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"RAY_AUTH_MODE": "token"}
    command = [sys.executable, "-c", DRIVER, source, str(destination), str(model), address, extra, stages]
    return subprocess.Popen(command, env=environment)


def _wait(condition: object, process: "subprocess.Popen[bytes]") -> None:
    assert callable(condition)
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the job ended before its moment came"
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_is_marked_is_removed_and_nothing_else_changes(tmp_path: Path, worker: StylizeWorker) -> None:
    """By a mask in an archive that mirrors the inputs, and by a box; in 16 bits too."""
    generator = Inpaint.build_generator(INPAINT, None)
    artifact.save(tmp_path / "filler", INPAINT, generator, {})
    paths = [_picture(tmp_path / f"{index}.png", index) for index in range(3)]
    deep = np.random.default_rng(9).integers(0, 65536, (32, 40), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    mask = np.zeros((32, 40), np.uint8)
    mask[4:20, 10:30] = 255
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for name, marked in (("0.png", mask), ("1.png", 0 * mask), ("deep.png", mask)):
            with archive.open(name, "w") as file:
                Image.fromarray(marked).save(file, "PNG")
    config = replace(CONFIG, mask_from=str(tmp_path / "masks.zip"), remove=("-6,-25%,4,25%",))
    controls = controls_from_config(config, tmp_path, fills=True)
    step = replace(worker.spec.steps[0], model=tmp_path / "filler", controls=controls)
    worker = StylizeWorker(replace(worker.spec, steps=(step,), config=config))
    assert _ask(worker, *paths, tmp_path / "deep.png") == {
        "0.png": ("done", ""),
        "1.png": ("done", ""),
        "2.png": ("quarantined", "there is no label picture 2.png"),
        "deep.png": ("done", ""),
    }
    box = np.zeros_like(mask)
    box[24:, 34:38] = 1
    for name, marked in (("0.png", mask + box), ("1.png", box), ("deep.png", mask + box)):
        with Image.open(tmp_path / name) as before, Image.open(tmp_path / "out" / name) as after:
            assert after.mode == before.mode
            same = np.atleast_3d(np.asarray(after) == np.asarray(before)).all(2)
        assert same[marked == 0].all(), name
        assert same[marked > 0].mean() < 0.2, name
    said = provenance.read((tmp_path / "out" / "0.png").read_bytes())
    assert said is not None
    assert (said.parameters["fill"], said.parameters["remove"]) == (True, ["-6,-25%,4,25%"])
    assert len(said.parameters["labels"]) == 64
    Image.fromarray(mask).save(tmp_path / "logo.png")
    one = replace(config, mask_from=str(tmp_path / "logo.png"))
    worker = StylizeWorker(replace(worker.spec, config=one))
    assert _ask(worker, paths[2]) == {"2.png": ("done", "")}, "one picture for all"
    (tmp_path / "masks.zip").write_bytes(b"no archive")
    worker = StylizeWorker(replace(worker.spec, config=config))
    ((state, reason),) = _ask(worker, paths[2]).values()
    assert (state, reason[:22]) == ("quarantined", "label picture 2.png: s")


def test_an_object_is_added_and_nothing_else_changes(tmp_path: Path, worker: StylizeWorker) -> None:
    """In 8 and 16 bits, with the picture's own transparency; where it would not be seen is a reason."""
    artifact.save(tmp_path / "filler", INPAINT, Inpaint.build_generator(INPAINT, None), {})
    thing = np.zeros((14, 14, 4), np.uint8)
    thing[2:12, 2:12] = 255, 20, 10, 255
    Image.fromarray(thing).save(tmp_path / "thing.png")
    paths = [_picture(tmp_path / f"{index}.png", index) for index in range(2)]
    deep = np.random.default_rng(9).integers(0, 65536, (32, 40), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    clear = np.random.default_rng(8).integers(0, 256, (32, 40, 4), dtype=np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    Image.fromarray(clear[:9, :12, :3]).save(tmp_path / "small.png")
    config = replace(CONFIG, insert=InsertConfig("thing.png", at="-12,15"))
    controls = controls_from_config(config, tmp_path, fills=True)
    step = replace(worker.spec.steps[0], model=tmp_path / "filler", controls=controls)
    worker = StylizeWorker(replace(worker.spec, steps=(step,), config=config))
    assert _ask(worker, *paths, *(tmp_path / name for name in ("deep.png", "clear.png", "small.png"))) == {
        **dict.fromkeys(("0.png", "1.png", "deep.png", "clear.png"), ("done", "")),
        "small.png": (
            "quarantined",
            "the model failed: the object thing.png is outside of the picture, which has 12 × 9 pixels",
        ),
    }
    place = np.zeros((32, 40), bool)
    place[9:21, 22:34] = True  # with a seam of a pixel
    for name in ("0.png", "1.png", "deep.png", "clear.png"):
        with Image.open(tmp_path / name) as before, Image.open(tmp_path / "out" / name) as after:
            assert after.mode == before.mode
            same = np.atleast_3d(np.asarray(after) == np.asarray(before))
        assert same[~place].all(), name
        assert same[..., :3].all(2)[10:20, 23:33].mean() < 0.05, name
    assert same[..., 3].all()
    said = provenance.read((tmp_path / "out" / "0.png").read_bytes())
    assert said is not None
    sha256 = hashlib.sha256((tmp_path / "thing.png").read_bytes()).hexdigest()
    assert said.parameters["insert"] == {"name": "thing.png", "sha256": sha256, "at": "-12,15", "scale": "1"}


def test_another_object_is_another_job(tmp_path: Path) -> None:
    artifact.save(tmp_path / "filler", INPAINT, Inpaint.build_generator(INPAINT, None), {})
    (tmp_path / "in").mkdir()
    object_ = tmp_path / "thing.png"
    request = StylizeRequest(
        (str(tmp_path / "in"),), tmp_path / "out", tmp_path / "filler",
        replace(CONFIG, insert=InsertConfig("thing.png")), identify(tmp_path / "filler", "filler", ""), tmp_path,
    )  # fmt: skip

    def manifest(asked: StylizeRequest) -> dict[str, Any]:
        return manifest_of(asked, asked.controls(), open_destination(tmp_path / "out"))[0]

    found = []
    for colour in ("red", "blue"):
        thing = Image.new("RGBA", (9, 9))
        thing.paste(colour, (2, 2, 7, 7))
        thing.save(object_)
        found.append(manifest(request))
    changed = [pair for pair in differences(*found) if pair[1] != pair[2]]
    told = list(in_words(*({**one, "then": []} for one in found), changed))
    assert [text.partition(" is ")[0] for text in told] == ["its insert sha256"]
    moved = replace(request, config=replace(CONFIG, insert=InsertConfig("thing.png", "9,9")))
    assert [key for key, old, new in differences(found[1], manifest(moved)) if old != new] == ["parameters insert at"]
    none = replace(request, config=replace(CONFIG, remove=("0,0,1,1",)))
    assert "insert" not in manifest(none)["parameters"], "jobs of before have none"
    assert StylizeRequest.from_json(request.to_json(), tmp_path / "out").config.insert == request.config.insert
