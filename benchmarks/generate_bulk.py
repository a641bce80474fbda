"""Ten thousand pictures by `atelier generate`: its rate beside the network's alone, and whether each is made once.

    python benchmarks/generate_bulk.py [--model FOLDER]

By default the model is an untrained `stylegan` of 64 px in its default width: what it makes takes as long as faces do.
The cluster has one CPU, so that one worker with one thread does all; a job's rate is that between its first and last
report of progress. The network's is that of batches of the same size from latents, in one thread. Both in turns;
medians and the range. The machine may be shared, so the same is measured in processor time: of a worker's task, which
draws, encodes and writes, and of its network. The last job is killed (SIGKILL) in the middle and run again: no picture
may be missing or other than the uninterrupted job's, and none that was there may have been made again.
"""

import argparse
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ray
import torch

from atelier.models import artifact
from atelier.models.card import identify
from atelier.models.configs.stylegan import StyleganConfig
from atelier.models.methods.stylegan import Stylegan
from atelier.tasks.inference.config import GenerateConfig
from atelier.tasks.inference.generate import TASK_BATCHES, check_request, generate
from atelier.tasks.inference.generate_worker import BATCH, file_name, write_batches
from atelier.tasks.runtime import cluster, ray_head
from atelier.tasks.runtime.progress import Progress
from training import RESULTS, hardware

TIMES = 8  # that a task and its network are measured


def job(model: Path, out: Path, count: int, address: str, token: Path, killed_at: int) -> None:
    """Write `OUT.json`: the rate of a job, pictures a second, and how many it made."""
    seen: list[tuple[float, int]] = []

    def report(progress: Progress) -> None:
        seen.append((time.perf_counter(), progress.done))
        if killed_at and progress.done >= killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    request = check_request(GenerateConfig(count), model, identify(model, "faces", ""))
    summary = generate(request, out, report, connect=lambda: cluster.connect(address, token))
    first, last = seen[1], seen[-1]
    rate = (last[1] - first[1]) / (last[0] - first[0])
    out.with_suffix(".json").write_text(json.dumps({"rate": rate, "made": summary.made}))
    ray.shutdown()


def network(model: Path, out: Path) -> tuple[float, list[float]]:
    """Pictures a second from latents; and their processor time as a share of that of a worker's task, in turns."""
    torch.set_num_threads(1)
    trained, request = artifact.load(model), check_request(GenerateConfig(), model, identify(model, "faces", ""))
    latents = trained.latents(trained.noise(0, range(BATCH)))
    batches = [list(range(first, first + BATCH)) for first in range(0, TASK_BATCHES * BATCH, BATCH)]

    def forward() -> None:
        for _ in batches:
            trained.from_latents(latents)

    def task() -> None:
        write_batches(request, out, batches)

    def timed(work: Callable[[], None], clock: Callable[[], float]) -> float:
        started = clock()
        work()
        return clock() - started

    task()
    rate = len(batches) * BATCH / statistics.median(timed(forward, time.perf_counter) for _ in range(TIMES))
    return rate, [timed(forward, time.process_time) / timed(task, time.process_time) for _ in range(TIMES)]


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "low": round(min(values), 3), "high": round(max(values), 3)}


def digests(folder: Path, count: int) -> list[str]:
    return [hashlib.sha256((folder / file_name(index)).read_bytes()).hexdigest() for index in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", nargs=4, help=argparse.SUPPRESS)  # of a process of its own: where, cluster, kill
    parser.add_argument("--network", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        job(given.model, Path(given.job[0]), given.count, given.job[1], Path(given.job[2]), int(given.job[3]))
        return
    if given.network:
        print(json.dumps(network(given.model, given.network)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, model = Path(temporary), given.model
        if not model:
            torch.manual_seed(0)
            config, model = StyleganConfig(size_px=64), folder / "model"
            artifact.save(model, config, Stylegan.build_generator(config, None), {})
        again = [sys.executable, __file__, "--model", str(model), "--count", str(given.count)]
        alone_env = os.environ | {"OMP_NUM_THREADS": "1"}
        head = ray_head.start_head(folder, folder / "ray", cpus=1)
        try:
            ray_head.await_head(head)

            def run(name: str, killed_at: int = 0) -> bool:
                place = [str(folder / name), head.address, str(head.token), str(killed_at)]
                return subprocess.run([*again, "--job", *place], check=False).returncode == 0

            jobs, networks, shares = [], [], []
            for turn in range(given.rounds):
                assert run(f"job{turn}")
                jobs.append(json.loads((folder / f"job{turn}.json").read_text())["rate"])
                command = [*again, "--network", str(folder / "task")]
                said = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=alone_env).stdout
                rate, found = json.loads(said.splitlines()[-1])
                networks.append(rate)
                shares += found
                print(f"job {jobs[-1]:.0f}, network {rate:.0f} a second; {statistics.median(found):.2f}", flush=True)
            assert not run("killed", given.count // 2)
            time.sleep(5)  # for the worker of the killed job to end
            there = {file.name: file.stat().st_mtime_ns for file in (folder / "killed").glob("[0-9]*.png")}
            assert run("killed")
            made = json.loads((folder / "killed.json").read_text())["made"]
            kept = all((folder / "killed" / name).stat().st_mtime_ns == at for name, at in there.items())
            equal = digests(folder / "killed", given.count) == digests(folder / "job0", given.count)
        finally:
            ray_head.stop(head)
    ratios = [one / other for one, other in zip(jobs, networks, strict=True)]
    content = {
        "hardware": hardware(), "pictures": given.count, "jobs": jobs, "networks": networks,
        "ratio": spread(ratios), "ratio_of_processor_time": spread(shares),
        "killed": {"there": len(there), "made_after": made, "not_made_again": kept, "equal_bytes": equal},
    }  # fmt: skip
    (RESULTS / "generate_bulk.json").write_text(json.dumps(content, indent=2) + "\n")
    print(content["ratio"], content["ratio_of_processor_time"], content["killed"])


if __name__ == "__main__":
    main()
