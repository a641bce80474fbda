"""What the orchestration costs: one picture restyled with the control plane up, and a pipeline against its bare stages.

    python benchmarks/overhead.py

1. `atelier stylize` of one picture, control plane up, a whole process each: median of five. A fresh destination every
   time; the model is the one that the pipeline below has trained.
2. `atelier retrain` on a fresh workspace (embedded pictures, few training steps) against the same task functions called
   one after another in this process on the same Ray cluster: no Prefect, no DVC, no git, no process starts. Ray Train
   starts its worker in both, so it cancels out.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "overhead.json"
ATELIER = Path(sys.executable).with_name("atelier")
STEPS = 40


def atelier(*arguments: str) -> float:
    """Run the command and return its seconds."""
    begin = time.perf_counter()
    done = subprocess.run([str(ATELIER), *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"atelier {' '.join(arguments)} failed ({done.returncode}):\n{done.stderr}")
    return time.perf_counter() - begin


def few_steps(workspace: Path) -> None:
    """Shorten the training, which is not what is measured."""
    params = workspace / "params.yaml"
    lines = params.read_text().splitlines()
    params.write_text("\n".join(f"    steps: {STEPS}" if line.startswith("    steps:") else line for line in lines))


def bare_stages(root: Path) -> dict[str, float]:
    """Seconds of each stage's work when its task function is called directly."""
    from atelier.flows.config.params import Params
    from atelier.flows.control_plane.session import use
    from atelier.tasks.dataset import augment, ingest
    from atelier.tasks.evaluation import evaluate
    from atelier.tasks.runtime import cluster
    from atelier.tasks.runtime.progress import silent
    from atelier.tasks.training import train
    from atelier.tasks.workspace.layout import Workspace

    w = Workspace(root)
    params = Params(w.params).check()
    with use():
        cluster.connect()
        seconds: dict[str, float] = {}

        def timed(name: str, work: Callable[[], Any]) -> None:
            begin = time.perf_counter()
            work()
            seconds[name] = round(time.perf_counter() - begin, 2)

        timed("scan", lambda: ingest.scan(params.ingest, w.root, w.sources_lock))
        timed("ingest", lambda: ingest.ingest(params.ingest, w.root, w.sources_lock, w.dataset, silent))
        timed("augment", lambda: augment.augment(params.augment, w.dataset, w.augmented, silent))
        timed(
            "train",
            lambda: train.train(params.train, w.augmented, w.model, w.checkpoints, w.training_logs, silent),
        )
        timed(
            "evaluate",
            lambda: evaluate.evaluate(
                params.evaluate, w.dataset, w.model, w.evaluation, w.evaluation_pictures, w.evaluation_cache, silent
            ),
        )
    return seconds


def main() -> None:
    """Measure, print and write `results/overhead.json`."""
    folder = Path(tempfile.mkdtemp(prefix="overhead-"))
    os.environ["ATELIER_HOME"] = str(folder / "home")
    up = atelier("up")
    try:
        piped, bare = folder / "piped", folder / "bare"
        for workspace in (piped, bare):
            atelier("init", str(workspace), "--from", "demo")
            few_steps(workspace)
        # the bare stages go first, so that what a first run warms on this machine does not favour them
        stages = bare_stages(bare)
        retrain = atelier("retrain", "--workspace", str(piped))
        again = atelier("retrain", "--workspace", str(piped))

        from atelier.tasks.storage.sample_images import list_crops, read

        picture = folder / "one" / "picture.png"
        picture.parent.mkdir()
        picture.write_bytes(read(list_crops("sample://photos")[0].name, "sample://photos"))
        model = ("--model", str(piped / "artifacts" / "style-model"))
        one = [atelier("stylize", str(picture.parent), str(folder / f"out-{i}"), *model) for i in range(5)]
    finally:
        atelier("down")
        shutil.rmtree(folder, ignore_errors=True)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} × {cpu_name()}, Python {platform.python_version()}",
        "up_s": round(up, 2),
        "stylize_one_picture_s": {"median": round(statistics.median(one), 2), "all": [round(s, 2) for s in one]},
        "pipeline_s": {
            "retrain": round(retrain, 2),
            "bare_stages": stages,
            "overhead": round(retrain - sum(stages.values()), 2),
            "retrain_nothing_changed": round(again, 2),
        },
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def cpu_name() -> str:
    """The processor as the kernel names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
