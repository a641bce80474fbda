"""What a chain of three models costs in a bulk job, beside its networks alone.

    python benchmarks/chain.py PHOTOS

The job paints photographs of 240 × 160 px on a cluster with one CPU, so that one worker with one thread does all: its
seconds a picture are those between the first and the last report of its progress. A network's are those of its painter
by the job's plan, at the size that it has in the chain, in one thread; the three add up. The job also reads, decodes,
encodes, writes and records. Both in turns; medians and the range.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray

from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.images import codec
from atelier.tasks.inference.chain import find_chain, parse_step
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import plans_of_record
from atelier.tasks.runtime import cluster, ray_head
from atelier.tasks.runtime.progress import Progress
from training import RESULTS, hardware

CHAIN = "starter/denoise", "starter/paintings", "starter/upscale2"
WIDTH, HEIGHT = 240, 160
DIFFERENT, COPIES = 20, 4
ROUNDS = 2


def job(archive: Path, folder: Path) -> None:
    """Write `result.json`: seconds a picture of the chain in a bulk job, and the record of its plans."""
    config, found, then = find_chain([parse_step(text) for text in CHAIN], StylizeConfig(), None)
    seen: list[tuple[float, int]] = []

    def report(progress: Progress) -> None:
        seen.append((time.perf_counter(), progress.done))

    folder.mkdir()
    head = ray_head.start_head(folder, folder / "ray", cpus=1)
    try:
        ray_head.await_head(head)
        out = folder / "out"
        request = StylizeRequest((str(archive),), out, found[0].folder, config, found[0].identity, then=then)
        stylize(request, report, connect=lambda: cluster.connect(head.address, Path(head.token)))
        done = [one for one in seen if one[1]]
        record = json.loads((out / "_atelier" / "job.json").read_text())["plan"]
        seconds = (done[-1][0] - done[0][0]) / (done[-1][1] - done[0][1])
        (folder / "result.json").write_text(json.dumps([seconds, record]))
        ray.shutdown()
    finally:
        ray_head.stop(head)


def networks(record: dict[str, Any], archive: Path) -> dict[str, float]:
    """Seconds a picture of each network, at its size in the chain."""
    import torch

    from atelier.models import artifact
    from atelier.models.controls import Controls
    from atelier.tasks.inference import backends

    torch.set_num_threads(1)
    _, found, _ = find_chain([parse_step(text) for text in CHAIN], StylizeConfig(), None)
    files = sorted(archive.glob("*.jpg"))[:DIFFERENT]
    images = [torch.from_numpy(codec.decode(file.read_bytes()).copy()).permute(2, 0, 1)[None] for file in files]
    seconds = {}
    for name, one, plan in zip(CHAIN, found, plans_of_record(record), strict=True):
        trained = artifact.load(one.folder)
        paint = backends.build_painter(trained, Controls(), plan, backends.onnx_for(plan, trained, Controls()))
        size = plan.batch_size(images[0].shape[2], images[0].shape[3])
        batches = [torch.cat(images[at : at + size]) for at in range(0, len(images), size)]
        paint(batches[0])
        begun = time.perf_counter()
        made = [paint(batch) for batch in batches]
        seconds[name] = (time.perf_counter() - begun) / len(images)
        images = [image[None] for batch in made for image in batch]
    return seconds


def main() -> None:
    """Both sides in turns, into `results/chain.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--networks", help=argparse.SUPPRESS)  # of a process of its own
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)  # the same: it ends with its cluster
    arguments = parser.parse_args()
    if arguments.job:
        job(arguments.photos, arguments.job)
        return
    if arguments.networks:
        print(json.dumps(networks(json.loads(arguments.networks), arguments.photos)))
        return
    jobs, sums, parts = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "archive"
        archive.mkdir()
        for number, photo in enumerate(sorted(arguments.photos.glob("*.jpg"))[:DIFFERENT]):
            data = codec.encode(codec.resize(codec.decode(photo.read_bytes()), WIDTH, HEIGHT), "jpeg")
            for copy in range(COPIES):
                (archive / f"{copy}-{number}.jpg").write_bytes(data)
        for turn in range(ROUNDS):
            out = Path(folder) / str(turn)
            subprocess.run([sys.executable, __file__, str(archive), "--job", str(out)], check=True)
            seconds, record = json.loads((out / "result.json").read_text())
            command = [sys.executable, __file__, str(archive), "--networks", json.dumps(record)]
            alone = subprocess.run(
                command, stdout=subprocess.PIPE, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
            parts.append(json.loads(alone.stdout.splitlines()[-1]))
            jobs.append(seconds)
            sums.append(sum(parts[-1].values()))
            print(f"job {seconds:.3f} s a picture, networks {sums[-1]:.3f} s")
    ratios = [one / other for one, other in zip(jobs, sums, strict=True)]
    content = {
        "hardware": hardware(), "chain": CHAIN, "pictures": DIFFERENT * COPIES, "size": [WIDTH, HEIGHT],
        "seconds_of_the_job": jobs, "seconds_of_the_networks": parts, "plan": record,
        "ratio": {"median": round(statistics.median(ratios), 3), "low": min(ratios), "high": max(ratios)},
    }  # fmt: skip
    (RESULTS / "chain.json").write_text(json.dumps(content, indent=2) + "\n")
    print(content["ratio"])


if __name__ == "__main__":
    main()
