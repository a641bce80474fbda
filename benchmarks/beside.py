"""A training beside other work on the same cores, with and without what Ray's workers are told about waiting.

    python benchmarks/beside.py

`cpgan` as `params.yaml` has it, on all cores at the priority that Ray gives its workers; alone, and beside a process
of normal priority that keeps one core busy. Each of the four in processes of its own, in turns; milliseconds a step,
medians with quartiles.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stylize import spread
from training import RESULTS, WARM_UP, hardware, plan_on, write_training_set

SIZE = 128  # px
STEPS = {"alone": 40, "beside": 6}
ROUNDS = 2
NICENESS = 15  # of Ray's workers
WAITING = "GOMP_SPINCOUNT"


def step_seconds(data: Path, steps: int) -> list[float]:
    """Of a training in this process."""
    import itertools
    import time

    import torch

    from atelier.models import encoders as networks
    from atelier.models.configs.loop import LoopConfig
    from atelier.models.configs.style_statistics import CpganConfig
    from atelier.models.training import Trainer
    from atelier.tasks.runtime import encoder_weights
    from atelier.tasks.training.loader import BatchLoader

    os.nice(NICENESS)
    torch.set_num_threads(os.cpu_count() or 1)
    loop = LoopConfig(steps=WARM_UP + steps, log_every=1, checkpoint_every=10**6, sample_every=10**6)
    plan = plan_on(data, CpganConfig(), loop)
    trainer = Trainer(plan.method_config, plan.loop, networks.load(plan.encoder, encoder_weights.resolve(plan.encoder)))
    ends = []
    with BatchLoader(plan, 0, 1) as batches:
        trainer.run(
            batches, lambda step, metrics: ends.append(time.perf_counter()), lambda step: None, lambda step: None
        )
    return [end - begin for begin, end in itertools.pairwise(ends)][WARM_UP:]


def run(data: Path, where: str, told: bool) -> list[float]:
    """One of the four, in processes of its own."""

    from atelier.tasks.runtime.ray_settings import ray_environment

    variables = {name: value for name, value in os.environ.items() if name not in (WAITING, "OMP_WAIT_POLICY")}
    if told:
        variables[WAITING] = ray_environment("")[WAITING]
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if where == "beside" else None
    try:
        command = [sys.executable, __file__, str(data), str(STEPS[where])]
        done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, check=True)
    finally:
        if busy:
            busy.kill()
            busy.wait()
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, print and write `results/beside.json`; or be one side."""
    if len(sys.argv) == 3:
        print(json.dumps(step_seconds(Path(sys.argv[1]), int(sys.argv[2]))))
        return
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_training_set(Path(folder), SIZE)
        for _ in range(ROUNDS):
            for where in STEPS:
                for told in (False, True):
                    name = f"{where}, {'told to sleep sooner' if told else 'as libgomp waits by itself'}"
                    seconds.setdefault(name, []).extend(run(Path(folder), where, told))
    spreads = {name: spread([1e3 * one for one in values]) for name, values in seconds.items()}
    result = {"hardware": hardware(), "method": "cpgan", "size_px": SIZE, "milliseconds a step": spreads}
    (RESULTS / "beside.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
