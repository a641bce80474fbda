"""Sources and destinations at an object store: a local S3 server."""

import json
import logging
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from atelier.models.card import identify
from atelier.models.controls import Controls
from atelier.tasks.bulk.inputs import list_inputs
from atelier.tasks.bulk.job import open_job
from atelier.tasks.bulk.ledger import Ledger
from atelier.tasks.bulk.messages import JobSpec, JobStep, picture_tasks
from atelier.tasks.bulk.worker import StylizeWorker
from atelier.tasks.images.codec import decode, encode
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import Execution, ExecutionPlan
from atelier.tasks.inference.output_names import plan_outputs
from atelier.tasks.storage.object_store import ObjectStore
from atelier.tasks.storage.open_destination import open_destination
from atelier.tasks.storage.open_source import list_entries, list_files, read
from atelier.tasks.storage.source_limits import SourceLimits
from tests.tasks.storage.test_destination import refused_everywhere

PNG = encode(np.full((8, 8, 3), 90, np.uint8), "png")
DRIVER = """
import json, sys
from dataclasses import asdict
from pathlib import Path
import ray
from atelier.models.card import identify
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.inference.config import StylizeConfig

model, destination, *sources = sys.argv[1:]
identity = identify(Path(model), "style-model", "v1")
connect = lambda: ray.init(num_cpus=1, include_dashboard=False, logging_level="error", log_to_driver=False)
for _ in range(2):
    request = StylizeRequest(tuple(sources), destination, Path(model), StylizeConfig(), identity)
    summary = stylize(request, connect=connect)
    print(json.dumps(asdict(summary)))
    connect = None  # the second run has nothing to do
"""


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """An S3 server with an empty bucket called `bucket`."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would log every request
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield
    running.stop()


@pytest.fixture
def bucket(server: None) -> Iterator[Any]:
    """An fsspec file system with an empty bucket."""
    import s3fs

    from atelier.tasks.storage.s3_filesystem import ExactKeys

    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem(use_listings_cache=False)
    system.mkdir("bucket")
    yield system
    exact = ExactKeys()
    exact.delete([f"bucket/{found['Key']}" for page in exact.pages("bucket") for found in page.get("Contents", ())])
    system.rmdir("bucket")


def _zip(path: Path, names: list[str]) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, PNG)
    return path.read_bytes()


def test_a_folder_at_a_url_lists_like_a_local_one(bucket: Any, tmp_path: Path) -> None:
    for name in ("z.png", "b/1.png", "b.png", "b/.hidden.png", "notes.txt", "b/../up.png"):
        bucket.pipe_file(f"bucket/in/{name}", PNG + name.encode())
    bucket.pipe_file("bucket/in/b/", b"")  # as programs mark an empty folder
    entries = list(list_entries("s3://bucket/in/", tmp_path))
    assert [entry.name for entry in entries if not entry.problem] == ["b.png", "b/1.png", "z.png"]
    assert {entry.name: entry.problem for entry in entries if entry.problem} == {
        "b/../up.png": "its name leads out of the source"
    }
    assert all(read(entry) == PNG + entry.name.encode() for entry in entries if not entry.problem)
    (one,) = list_entries("s3://bucket/in/z.png", tmp_path)
    assert (one.name, read(one)) == ("z.png", PNG + b"z.png")
    assert one.etag == entries[-1].etag


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.zst"])
def test_archives_are_read_in_place(bucket: Any, tmp_path: Path, name: str) -> None:
    if name == "a.zip":
        _zip(tmp_path / name, ["a/1.png", "2.png"])
    else:
        (tmp_path / "1.png").write_bytes(PNG)
        (tmp_path / "2.png").write_bytes(PNG)
        with tarfile.open(tmp_path / name, "w") as archive:
            archive.add(tmp_path / "1.png", "a/1.png")
            archive.add(tmp_path / "2.png", "2.png")
        if name.endswith("zst"):
            data = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(pa.Codec("zstd").compress(data).to_pybytes())
    bucket.pipe_file(f"bucket/{name}", (tmp_path / name).read_bytes())
    entries = list(list_entries(f"s3://bucket/{name}", tmp_path))
    here = list(list_entries(name, tmp_path))
    assert [replace(entry, source="", path="") for entry in entries] == [
        replace(entry, source="", path="") for entry in here
    ]
    assert [read(entry) for entry in entries] == [PNG, PNG]


def test_lists_of_urls_are_confined(bucket: Any, tmp_path: Path) -> None:
    bucket.pipe_file("bucket/in/a.png", PNG)
    bucket.pipe_file("bucket/other/b.png", PNG)
    lines = [
        "s3://bucket/in/a.png",
        "s3://bucket/other/b.png",
        "s3://bucket/in/gone.png",
        "s3://bucket/in/../other/b.png",
    ]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    (tmp_path / "rooted.txt").write_text("\n".join([*lines, "a.png", "../other/b.png"]))
    free = list(list_entries("a.txt", tmp_path, SourceLimits(schemes=("s3",))))
    assert [(e.name, read(e)) for e in free if not e.problem] == [("bucket/in/a.png", PNG), ("bucket/other/b.png", PNG)]
    confined = list(list_entries("rooted.txt", tmp_path, SourceLimits(schemes=("s3",), list_root="s3://bucket/in")))
    assert {e.name for e in confined if not e.problem} == {"a.png"}
    assert {e.problem for e in confined if e.problem} == {"outside the folder of its list", "no such file"}
    bucket.pipe_file("bucket/in/list.txt", b"a.png\n../other/b.png\n")  # its root is its own folder
    there = list(list_entries("s3://bucket/in/list.txt", tmp_path))
    assert [(e.name, e.problem) for e in there] == [("../other/b.png", "outside the folder of its list"), ("a.png", "")]


def test_missing_sources_have_clear_errors(bucket: Any, tmp_path: Path) -> None:
    for url in ("s3://bucket/none", "s3://nobucket/a", "s3://bucket/none.zip"):
        with pytest.raises(FileNotFoundError, match="does not exist"):
            list_entries(url, tmp_path)
    bucket.pipe_file("bucket/a.zip", PNG)
    with pytest.raises(ValueError, match=r"a.zip is damaged or no zip archive"):
        list(list_entries("s3://bucket/a.zip", tmp_path))
    with pytest.raises(RuntimeError, match="nobucket/out cannot be written"), open_job("s3://nobucket/out"):
        pass


def test_names_that_leave_the_prefix_are_refused(bucket: Any) -> None:
    bucket.pipe_file("bucket/é/1.png", b"another's, which a pattern would match")
    refused_everywhere(open_destination("s3://bucket/deep/out"))
    assert bucket.find("bucket/deep") == bucket.find("bucket/deep/out")


def test_a_name_is_no_pattern(bucket: Any) -> None:
    folder = open_destination("s3://bucket/out")
    for name in ("a1.png", "a[1].png", "b.png", "*"):
        folder.write(name, b"1")
    folder.remove(["a[1].png", "*"])
    assert folder.names() == ["a1.png", "b.png"]


def test_files_by_their_names(bucket: Any) -> None:
    folder = open_destination("s3://bucket/out")
    assert folder.names() == []
    folder.write("x/y.png", b"123")
    (folder / "x").write_unsynced("z", b"1")
    assert (folder / "x").names() == ["y.png", "z"]
    assert folder.names() == ["x"]
    assert folder.sizes(["x/y.png", "none", "x/z", "x/none"]) == [3, -1, 1, -1]
    folder.remove(["x/y.png", "none"])
    folder.remove([])
    assert (folder / "x").names() == ["z"]
    with pytest.raises(FileNotFoundError):
        folder.read("x/y.png")


class Hasty(ObjectStore):
    """A store that renews often, and for which every lock is stale."""

    renew_s = 0.05
    stale_s = -1.0


def test_a_lock_has_one_holder_and_is_renewed(bucket: Any) -> None:
    url = "s3://bucket/out"
    with ObjectStore(url).lock("lock") as held:
        with pytest.raises(BlockingIOError), ObjectStore(url).lock("lock"):
            pass
        assert held()
    assert not bucket.exists("bucket/out/lock")
    with Hasty(url).lock("lock") as held:
        _until(lambda: json.loads(bucket.cat_file("bucket/out/lock"))["beats"] >= 2)
        assert held()


def test_a_stale_lock_is_taken_over_and_its_holder_learns_of_it(bucket: Any) -> None:
    with Hasty("s3://bucket/out").lock("lock") as first, _taken_over(Hasty("s3://bucket/out")) as second:
        _until(lambda: not first())
        assert second()
    assert not bucket.exists("bucket/out/lock")


@contextmanager
def _taken_over(store: ObjectStore) -> Iterator[Callable[[], bool]]:
    """Take the lock of a store, once its holder does not renew it in between."""
    store.renew_s = 60.0
    for _ in range(100):
        with suppress(BlockingIOError), store.lock("lock") as held:
            yield held
            return
    raise AssertionError("it was never taken")


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_worker_writes_the_same_to_a_url_as_to_a_folder(bucket: Any, tmp_path: Path, tiny_model: Path) -> None:
    for index in range(3):
        bucket.pipe_file(f"bucket/in/deep/{index}.png", encode(np.full((8, 8 + index, 3), 90, np.uint8), "png"))
    bucket.pipe_file("bucket/in/bad.png", b"bad")
    inputs = list_inputs(["s3://bucket/in"], tmp_path)
    todo = picture_tasks(inputs, inputs["input"])
    identity = identify(tiny_model, "style-model", "v1")
    for destination in (str(tmp_path / "out"), "s3://bucket/out"):
        with open_job(destination):
            step = JobStep(tiny_model, identity, Controls(), Execution(ExecutionPlan(version=torch.__version__)))
            worker = StylizeWorker(JobSpec(destination, (step,), StylizeConfig(), 1))
            states = dict(zip(*(worker(todo)[name].to_pylist() for name in ("input", "state")), strict=True))
            assert sorted(states.values()) == ["done", "done", "done", "quarantined"]
    names = [f"deep/{index}.png" for index in range(3)]
    assert all(bucket.cat_file(f"bucket/out/{name}") == (tmp_path / "out" / name).read_bytes() for name in names)
    here, there = (
        Ledger(f"{where}/_atelier/ledger").read().sort_by("input").drop_columns(["seconds"])
        for where in (tmp_path / "out", "s3://bucket/out")
    )
    assert here.equals(there)
    left = {name.partition("-")[0] for name in open_destination("s3://bucket/out/_atelier/inflight").names()}
    assert left == {"count"}, "the job takes the counts away"


def test_a_whole_job_from_and_to_an_object_store(bucket: Any, tmp_path: Path, tiny_model: Path) -> None:
    for index in range(4):
        bucket.pipe_file(f"bucket/in/{index % 2}/{index}.png", encode(np.full((8, 9, 3), 40 * index, np.uint8), "png"))
    bucket.pipe_file("bucket/more.zip", _zip(tmp_path / "more.zip", ["a.png", "sub/b.png"]))
    sources = ["s3://bucket/in", "s3://bucket/more.zip"]
    command = [sys.executable, "-c", DRIVER, str(tiny_model), "s3://bucket/out", *sources]
    done = subprocess.run(command, env=os.environ | {"RAY_AUTH_MODE": "token"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert (first["done"], first["processed"], second["done"], second["processed"]) == (6, 6, 6, 0)
    outputs = {name for name in bucket.find("bucket/out") if "/_atelier/" not in name}
    wanted = ["in/0/0.png", "in/0/2.png", "in/1/1.png", "in/1/3.png", "more/a.png", "more/sub/b.png"]
    assert outputs == {f"bucket/out/{name}" for name in wanted}
    assert decode(bucket.cat_file("bucket/out/more/a.png")).shape == (8, 8, 3)
    books = {name.removeprefix("bucket/out/_atelier/") for name in bucket.find("bucket/out/_atelier")}
    assert {name for name in books if not name.startswith("ledger/")} == {
        "job.json",
        "names.parquet",
        "quarantine.csv",
        "report.html",
        "request.json",
        "summary.json",
    }


KEYS = {
    **dict.fromkeys(("a.png", "b::c.png", "d//e.png", "f?versionId=1.png", "g#1.png", "50%.png", "50%25.png"), ""),
    **dict.fromkeys(("ü.png", "u\u0308.png", "p+ q.png", "h/./i.png", "h/i.png", "r[1].png", "r1.png", "*.png"), ""),
    "empty.png": "",
    "marker/": "folder marker",
    "": "folder marker",
    "photo.png/": "its key ends with /, so that it has no file name",
    "../up.png": "its name leads out of the source",
    "x.xmp": "sidecar",
    "@eaDir/a.png/T.jpg": "thumbnails",
    "/lead.png": "",
}


def test_every_key_is_in_a_total(bucket: Any, tmp_path: Path) -> None:
    import boto3

    put = boto3.client("s3").put_object
    for key in KEYS:
        put(Bucket="bucket", Key=f"in/{key}", Body=b"" if key in ("", "marker/", "empty.png") else PNG + key.encode())
    names = {"": "./", "/lead.png": "./lead.png"}
    entries = list(list_files("s3://bucket/in", tmp_path))
    assert {entry.name: entry.problem or entry.skipped for entry in entries} == {
        names.get(key, key): what for key, what in KEYS.items()
    }
    assert len(entries) == len(KEYS)
    pictures = {entry.name: entry for entry in entries if not (entry.problem or entry.skipped)}
    for key, what in KEYS.items():
        if not what:
            content = b"" if key == "empty.png" else PNG + key.encode()
            assert read(pictures[names.get(key, key)]) == content, key
    (tmp_path / "one.txt").write_text("s3://bucket/in/b::c.png\n")
    listed = list_files("one.txt", tmp_path, SourceLimits(schemes=("s3",)))
    assert [read(entry) for entry in listed] == [PNG + b"b::c.png"]

    (tmp_path / "out").mkdir()
    planned = plan_outputs(pictures, "keep")
    for destination in (open_destination(tmp_path / "out"), open_destination("s3://bucket/out")):
        for name, output in planned.items():
            destination.write(output, name.encode())
        assert [destination.read(output).decode() for output in planned.values()] == list(planned)
        assert destination.sizes(list(planned.values())) == [len(name.encode()) for name in planned]
        destination.remove([planned["r[1].png"], planned["*.png"]])  # names, and no patterns
        assert destination.sizes([planned[name] for name in ("r[1].png", "*.png", "r1.png", "a.png")]) == [-1, -1, 6, 5]


def test_more_than_a_page_of_keys_and_a_folder_called_as_an_object(bucket: Any, tmp_path: Path) -> None:
    from atelier.tasks.storage.s3_filesystem import ExactKeys

    bucket.pipe({f"bucket/many/{number}.png": b"x" for number in range(10)})
    pages = list(ExactKeys(use_listings_cache=False).pages("bucket/many", MaxKeys=3))
    assert [len(page["Contents"]) for page in pages] == [3, 3, 3, 1]
    bucket.pipe_file("bucket/many.zip/a.png", PNG)
    bucket.pipe_file("bucket/both", PNG)
    bucket.pipe_file("bucket/both/a.png", PNG)
    assert [entry.name for entry in list_files("s3://bucket/many.zip", tmp_path)] == ["a.png"]
    assert [entry.name for entry in list_files("s3://bucket/both/", tmp_path)] == ["a.png"]
    with pytest.raises(ValueError, match="is an object and a folder: write s3://bucket/both/"):
        list_files("s3://bucket/both", tmp_path)
