"""From one worker to two on one machine, a thread each: images a second by the product's own training under Ray Train.

    python benchmarks/scaling.py

The default method at 128², batches of 4 and of 8: one worker takes all of it, two take half each and sum their
gradients. Every training has a Ray cluster of its own, with as many CPUs as workers; they take turns. The rate is what
the training logs, without its first log points, where processes start.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from training import RESULTS, hardware, write_training_set

WARM_UP = 2  # log points


def run(workers: int, batch: int, steps: int, data: Path) -> dict[str, list[float]]:
    """Images a second, and the share of the time that pictures were waited for, at each log point."""
    import ray

    from atelier.models.configs.loop import LoopConfig
    from atelier.tasks.runtime.progress import silent
    from atelier.tasks.training.config import TrainConfig
    from atelier.tasks.training.train import train

    ray.init(num_cpus=workers, include_dashboard=False, logging_level="error", log_to_driver=False)
    loop = LoopConfig(steps=steps, batch_size=batch, checkpoint_every=10**6, sample_every=10**6)
    config = TrainConfig(encoder="efficientnet_lite0", workers=workers, min_workers=workers, loop=loop)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        train(config, data, root / "model", root / "checkpoints", root / "logs", silent)
        found = {}
        for name in ("images_per_second", "data_wait"):
            lines = (root / "logs" / "plots" / "metrics" / f"{name}.tsv").read_text().splitlines()
            column = lines[0].split("\t").index(name)
            found[name] = [float(line.split("\t")[column]) for line in lines[1 + WARM_UP :]]
    ray.shutdown()
    return found


def main() -> None:
    """Run both in turns, print and write `results/scaling.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.workers:
        print(json.dumps(run(arguments.workers, arguments.batches[0], arguments.steps, arguments.data)))
        return
    result: dict[str, Any] = {"hardware": hardware(), "size_px": 128, "method": "cpgan"}
    with tempfile.TemporaryDirectory() as data:
        write_training_set(Path(data), 128)
        for batch in arguments.batches:
            found: dict[int, dict[str, list[float]]] = {1: {}, 2: {}}
            for _ in range(arguments.rounds):
                for workers, seen in found.items():
                    command = [sys.executable, __file__, "--workers", str(workers), "--data", data]
                    command += ["--steps", str(arguments.steps), "--batches", str(batch)]
                    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                    for name, values in json.loads(done.stdout.splitlines()[-1]).items():
                        seen.setdefault(name, []).extend(values)
            result[f"batch {batch}"] = compared(found)
    (RESULTS / "scaling.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def compared(found: dict[int, dict[str, list[float]]]) -> dict[str, Any]:
    """Medians and quartiles of each number of workers, and the ratio of the medians."""
    result: dict[str, Any] = {}
    for workers, seen in found.items():
        low, median, high = statistics.quantiles(seen["images_per_second"], n=4)
        result[f"{workers} workers"] = {
            "images_per_s": round(median, 2), "quartiles": [round(low, 2), round(high, 2)],
            "data_wait": round(statistics.median(seen["data_wait"]), 4), "log_points": len(seen["data_wait"]),
        }  # fmt: skip
    one, two = (statistics.median(seen["images_per_second"]) for seen in found.values())
    return result | {"times_faster": round(two / one, 2)}


if __name__ == "__main__":
    main()
