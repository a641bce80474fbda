"""A bulk job against what limits it, against the loop that everyone writes, and against itself with fewer workers.

    python benchmarks/stylize.py [FOLDER] [--pictures 5000] [--model MODEL_FOLDER]

FOLDER holds photographs (the embedded ones otherwise). They are cut to 256² and saved as JPEG once; the archive repeats
them under as many names as are asked for, so the files come from memory, as they would for every contestant.

forward  the generator alone on batches in memory, every backend and precision, one process a core with one thread each
files    decoding and encoding alone, in the same processes
loop     the reference test script's way: one picture at a time, float32 in eager PyTorch, all cores, decode and save
job      `stylize` on a Ray cluster of its own with as many CPUs as cores: rate from the first report of the progress
         on, in windows; with one CPU, where one worker with one thread does all; and with its stages apart
memory   the job at 1,000 and at 10,000 pictures of five sizes: the most that driver and workers hold together; in runs
         of their own, since looking costs a few hundredths of a core

Rates are images a second, medians with quartiles. The ceiling is the slower of the quickest `forward` and of `files`.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
from PIL import Image

from atelier.tasks.runtime import ray_head
from training import RESULTS, hardware

SIZE = 256
SIZES = (64, 80, 96, 128, 192)  # of the pictures with which memory is looked at
DIFFERENT = 64  # photographs that the archive repeats
SECONDS = 12.0  # of forward and files
WINDOWS = 10  # of the job's pictures
LOOP = 150  # pictures
SIDES = ("forward", "files", "loop", "job")


# ---- what is measured, each in a process of its own


def forward(model: Path, files: list[Path]) -> dict[str, list[float]]:
    """Rates of the backends and precisions that this machine has, by "backend precision"."""
    import torch

    from atelier.models import artifact
    from atelier.models.controls import Controls
    from atelier.tasks.inference import backends

    torch.set_num_threads(1)
    trained = artifact.load(model)
    found = {}
    for plan in backends.possible_plans(gpu=False, single=True, tiled=False):
        paint = backends.build_painter(trained, Controls(), plan, backends.onnx_for(plan, trained, Controls()))
        batch = np.stack([np.asarray(Image.open(file)) for file in files[: plan.batch_size(SIZE, SIZE)]])
        pictures = torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous()
        found[f"{plan.backend} {plan.precision}"] = timed(lambda p=paint, x=pictures: p(x), len(pictures))  # type: ignore[misc]
    return found


def decode_and_encode(model: Path, files: list[Path]) -> dict[str, list[float]]:
    """The rate of the files alone, by the functions that the job uses."""
    from atelier.tasks.images.codec import decode, encode

    data = [file.read_bytes() for file in files]

    def once() -> None:
        for one in data[:8]:
            encode(decode(one), "jpeg")

    return {"files": timed(once, 8)}


def loop(model: Path, files: list[Path]) -> dict[str, list[float]]:
    """The loop that everyone writes: open, scale to [-1, 1], run, save."""
    import torch

    from atelier.models import artifact

    network = artifact.load(model).generator
    rates = []
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for number in range(LOOP):
            begun = time.perf_counter()
            with Image.open(files[number % len(files)]) as image:
                x = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1
            y = (network(x)[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5
            Image.fromarray(y.numpy().astype(np.uint8)).save(Path(folder) / f"{number}.jpg", quality=95)
            rates.append(1 / (time.perf_counter() - begun))
    return {"loop": rates[10:]}


def job(model: Path, archive: Path, cpus: int, memory: bool, stages: Literal["together", "apart"]) -> dict[str, Any]:
    """The bulk job: rates of its windows, seconds before the first pictures, and the memory held if asked for."""
    from atelier.models.card import identify
    from atelier.tasks.bulk.request import StylizeRequest
    from atelier.tasks.bulk.stylize import stylize
    from atelier.tasks.inference.config import StylizeConfig
    from atelier.tasks.runtime import cluster
    from atelier.tasks.runtime.progress import Progress

    seen: list[tuple[float, int]] = []

    def report(progress: Progress) -> None:
        seen.append((time.perf_counter(), progress.done))

    with tempfile.TemporaryDirectory() as folder:
        head = ray_head.start_head(Path(folder), Path(folder) / "ray", cpus=cpus)
        try:
            ray_head.await_head(head)
            begun, destination = time.perf_counter(), Path(folder) / "out"
            identity = identify(model, "benchmark", "")
            with Memory() if memory else nullcontext([0]) as held:
                request = StylizeRequest((str(archive),), destination, model, StylizeConfig(stages=stages), identity)
                summary = stylize(request, report, connect=lambda: cluster.connect(head.address, Path(head.token)))
            assert summary.done == summary.total
            plan = json.loads((destination / "_atelier" / "job.json").read_text())["plan"]
        finally:
            ray_head.stop(head)
    done = [one for one in seen if one[1]]
    step = max(1, (done[-1][1] - done[0][1]) // WINDOWS)
    rates, (then, had) = [], done[0]
    for now, count in done[1:]:
        if count - had >= step:
            rates.append((count - had) / (now - then))
            then, had = now, count
    overall = (done[-1][1] - done[0][1]) / (done[-1][0] - done[0][0])  # without the first pictures, a second's work
    return {
        "plan": plan, "rates": rates, "overall": overall, "peak_gb": max(held) / 1e9,
        "seconds_to_the_first_pictures": done[0][0] - begun, "seconds": done[-1][0] - begun,
    }  # fmt: skip


class Memory:
    """What this process and all below it hold, proportional shares of what they share, in bytes, again and again.

    Args:
        every_s: seconds between two looks.
    """

    def __init__(self, every_s: float = 1.0) -> None:
        self.every_s = every_s

    def __enter__(self) -> list[int]:
        self.seen, self.over = [0], threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        return self.seen

    def _look(self) -> None:
        while not self.over.wait(self.every_s):
            total = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.seen.append(total)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def timed(once: Callable[[], object], pictures: int) -> list[float]:
    """Rates of many calls, after some to warm up."""
    for _ in range(3):
        once()
    rates, end = [], time.perf_counter() + SECONDS
    while (begun := time.perf_counter()) < end:
        once()
        rates.append(pictures / (time.perf_counter() - begun))
    return rates


# ---- the archive, the processes, the report


def photographs(folder: Path | None) -> Iterator[Image.Image]:
    """Real ones, of any size."""
    if folder is not None:
        for path in sorted(folder.rglob("*.jpg")) + sorted(folder.rglob("*.png")):
            yield Image.open(path)
        return
    from atelier.tasks.storage.open_source import list_entries, read

    for entry in list_entries("sample://photos", Path()):
        yield Image.open(io.BytesIO(read(entry)))


def write_archive(folder: Path, pictures: int, sizes: Sequence[int], source: Path | None) -> list[Path]:
    """Squares of photographs, of these sizes in turn, and `pictures` names for them. Returns the different ones."""
    folder.mkdir(parents=True)
    different = []
    for number, photo in zip(range(DIFFERENT), photographs(source), strict=False):
        side, size = min(photo.size), sizes[number % len(sizes)]
        square = photo.convert("RGB").crop((0, 0, side, side)).resize((size, size), Image.Resampling.LANCZOS)
        different.append(folder / f"{number:06d}.jpg")
        square.save(different[-1], quality=92)
    for number in range(len(different), pictures):
        os.link(different[number % len(different)], folder / f"{number:06d}.jpg")
    return different


def side(
    name: str, model: Path, where: Path, processes: int = 1, cpus: int = 1, memory: bool = False, apart: bool = False
) -> list[dict[str, Any]]:
    """Run one side in so many processes at once."""
    command = [sys.executable, __file__, str(where), "--side", name, "--model", str(model), "--cpus", str(cpus)]
    command += ["--memory"] * memory + ["--apart"] * apart
    threads = {} if name == "loop" else {"OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | threads) for _ in range(processes)]
    answers = [process.communicate()[0] for process in running]
    assert not any(process.returncode for process in running), f"{name} failed"
    return [json.loads(answer.splitlines()[-1]) for answer in answers]


def spread(rates: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(rates, n=4)
    return {"median": round(median, 2), "low": round(low, 2), "high": round(high, 2)}


def together(parts: list[dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Processes at once: their rates add up."""
    return {
        name: {key: round(sum(spread(part[name])[key] for part in parts), 2) for key in ("median", "low", "high")}
        for name in parts[0]
    }


def main() -> None:
    """Measure, print and write `results/stylize.json`; or be one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="photographs")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--model", type=Path, help="model folder; the starter model otherwise")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--cpus", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    model = (arguments.model or starter()).resolve()
    if arguments.side == "job":
        stages: Literal["together", "apart"] = "apart" if arguments.apart else "together"
        print(json.dumps(job(model, arguments.folder, arguments.cpus, arguments.memory, stages)))
        return
    if arguments.side:
        files = sorted(arguments.folder.iterdir())[:DIFFERENT]
        measure = {"forward": forward, "files": decode_and_encode, "loop": loop}[arguments.side]
        print(json.dumps(measure(model, files)))
        return
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_archive(root / "archive", arguments.pictures, [SIZE], arguments.folder)
        write_archive(root / "few", 1_000, SIZES, arguments.folder)
        write_archive(root / "many", 10_000, SIZES, arguments.folder)
        result: dict[str, Any] = {"hardware": hardware(), "size_px": SIZE, "pictures": arguments.pictures}
        result["photographs"] = "given" if arguments.folder else "embedded"
        result["forward"] = together(side("forward", model, root / "archive", cores))
        result["files"] = together(side("files", model, root / "archive", cores))["files"]
        result["loop"] = spread(side("loop", model, root / "archive")[0]["loop"])
        for name, cpus, apart in (("job", cores, False), ("job with one worker", 1, False), ("job apart", cores, True)):
            (found,) = side("job", model, root / "archive", cpus=cpus, apart=apart)
            del found["peak_gb"]
            result[name] = found | {"rates": spread(found["rates"])}
        sides = (side("job", model, root / where, cpus=cores, memory=True) for where in ("few", "many"))
        held = [found["peak_gb"] for (found,) in sides]
    ceiling = min(max(rate["median"] for rate in result["forward"].values()), result["files"]["median"])
    rate = result["job"]["rates"]["median"]
    result["peak_gb at 1,000 and 10,000 pictures"] = [round(gb, 3) for gb in held]
    result["ratios"] = {
        "job to ceiling": round(rate / ceiling, 3),
        "job to loop": round(rate / result["loop"]["median"], 2),
        "apart to together": round(result["job apart"]["rates"]["median"] / rate, 2),
        f"{cores} workers to one": round(rate / result["job with one worker"]["rates"]["median"], 2),
        "memory at 10,000 to 1,000": round(held[1] / held[0], 3),
    }
    (RESULTS / "stylize.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def starter() -> Path:
    """The model that comes with the package."""
    from atelier.tasks.inference.model_lookup import find_model

    return find_model("starter/monet", None).folder


if __name__ == "__main__":
    main()
