"""What planning costs: a bulk job up to the moment in which it asks for a cluster, and a finished job run again.

    python benchmarks/planning.py

A million inputs each as a folder (of a thousand folders), a text list, a Parquet list and a zip, all of empty files:
what is measured is listing, naming, writing the books and preparing the tasks. Then a finished job of 100,000 outputs
is run again. Every measurement has a process of its own; seconds and peak memory (RSS) include all imports, and
`process_seconds` the start of Python too.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

RESULTS = Path(__file__).parent / "results" / "planning.json"
NAME = "archive/{:04}/photograph_{:07}.jpg"


class PlannedError(Exception):
    """The job is planned and asks for a cluster."""


def names(count: int) -> list[str]:
    """Paths as archives have them."""
    return [NAME.format(index % 1000, index) for index in range(count)]


def make(kind: str, root: Path, count: int) -> Path:
    """A source; the files of the lists are those of the folder."""
    folder = root / "folder"
    if not folder.exists():
        for name in names(count):
            path = folder / name
            if not path.parent.exists():
                path.parent.mkdir(parents=True)
            path.touch()
    if kind == "zip":
        with zipfile.ZipFile(root / "source.zip", "w") as archive:
            for name in names(count):
                archive.writestr(zipfile.ZipInfo(name), b"")
        return root / "source.zip"
    if kind == "text":
        (folder / "list.txt").write_text("\n".join(names(count)))
        return folder / "list.txt"
    if kind == "parquet":
        pq.write_table(pa.table({"path": names(count)}), folder / "list.parquet")
        return folder / "list.parquet"
    return folder


def finish(source: Path, destination: Path) -> None:
    """Make the destination what a job leaves that has made an output of every input of a folder."""
    from atelier.tasks.bulk.inputs import list_inputs
    from atelier.tasks.bulk.job import open_job
    from atelier.tasks.bulk.ledger import LedgerRow

    try:
        plan(source, destination)
    except PlannedError:
        inputs = list_inputs([str(source)], Path()).select(["input", "stamp"])
    with open_job(destination) as job:
        outputs = job.plan_names(inputs["input"], "keep")
        for name in outputs.to_pylist():
            path = destination / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        rows = zip(inputs["input"].to_pylist(), outputs.to_pylist(), inputs["stamp"].to_pylist(), strict=True)
        digest = "0" * 64
        job.ledger.append(LedgerRow(i, "done", o, "", "", s, digest, digest, 1, 1) for i, o, s in rows)
        job.finish_run(outputs)
        job.write_summary({}, job.state(inputs), b"")


def plan(source: Path, destination: Path, planned: Callable[[], None] = lambda: None) -> None:
    """Start a job whose model is never loaded; `planned` is called when it would connect."""
    from atelier.models.card import ModelCard, ModelIdentity
    from atelier.tasks.bulk.request import StylizeRequest
    from atelier.tasks.bulk.stylize import stylize
    from atelier.tasks.inference.config import StylizeConfig

    def connect() -> None:
        planned()
        raise PlannedError

    identity = ModelIdentity(**dict.fromkeys(ModelIdentity.__dataclass_fields__, "benchmark") | {"method": "cpgan"})
    model = destination.with_name("model")
    model.mkdir(exist_ok=True)
    ModelCard("cpgan", {}).write(model)
    stylize(StylizeRequest((str(source),), destination, model, StylizeConfig(), identity), connect=connect)


def measure(source: Path, destination: Path) -> None:
    """Plan, and print the seconds and the memory up to the moment that counts."""
    begun = time.perf_counter()
    peak = {}

    def told() -> None:
        peak["seconds"] = round(time.perf_counter() - begun, 1)
        lines = Path("/proc/self/status").read_text().splitlines()  # getrusage would tell of the parent's memory too
        peak["peak_mb"] = round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3)

    with contextlib.suppress(PlannedError):
        plan(source, destination, told)
    if not peak:
        told()  # there was nothing to do
    print(json.dumps(peak | {"torch": "torch" in sys.modules}))


def alone(source: Path, destination: Path) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--source", str(source), "--destination", str(destination)]
    begun = time.perf_counter()
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return dict(answer) | {"process_seconds": round(time.perf_counter() - begun, 1)}


def main() -> None:
    """Measure, print and write `results/planning.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--finished", type=int, default=100_000)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--destination", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.source:
        measure(arguments.source, arguments.destination)
        return
    from training import hardware

    result: dict[str, Any] = {"hardware": hardware(), "entries": arguments.entries, "finished": arguments.finished}
    with tempfile.TemporaryDirectory(prefix="planning-") as folder:
        root = Path(folder)
        for kind in ("folder", "text", "parquet", "zip"):
            result[kind] = alone(make(kind, root, arguments.entries), root / f"to-{kind}")
            print(kind, result[kind], flush=True)
        finished = make("folder", root / "small", arguments.finished)
        finish(finished, root / "done")
        result["again"] = alone(finished, root / "done")
        print("finished job again", result["again"])
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
