"""The methods side by side, each with the same pictures, the same generator size and the same time on a processor.

    python benchmarks/methods.py FOLDER --keep WORK

Photographs to Monet at 128²: FOLDER holds `photo/` and `monet/` (the "monet2photo" set of Zhu et al. 2017). A fifth of
the pictures is held out by ingestion, as it always is, and everything is measured on them. What one painting is as a
style `styles.py` shows, and faces `faces.py`.

A method trains for `--minutes` of processor time, the time of all cores added up: ten minutes are five on two cores,
less what threads wait for each other (`OMP_NUM_THREADS=1` wastes nothing). Its steps are counted from a short training
that is thrown away. What is finished is kept in WORK: the same command goes on.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from training import RESULTS, hardware

ATELIER = Path(sys.executable).with_name("atelier")
PROBE_STEPS = 12
WARM_UP = 4  # of the probe's steps


@dataclass(frozen=True)
class Contender:
    """How a method is set up: what differs from its defaults."""

    method: str
    settings: dict[str, Any]
    batch: int = 1
    encoder: str = "efficientnet_lite0"
    content: str = "photos"
    style: str = "paintings"
    start: str = ""  # starter/NAME, or the folder of the model to go on from
    loop: dict[str, Any] = field(default_factory=dict)  # settings of the training loop


# 0.7 to 0.8 million weights in every generator
SMALL = {"filters": 24, "blocks": 4}
# what makes so few steps go far
QUICK = {
    **SMALL,
    "generator": "skip",
    "discriminator": "projected",
    "discriminator_filters": 32,
    "adversarial": "hinge",
    "optimizer": {"generator_lr": 5e-4, "discriminator_lr": 5e-4, "beta2": 0.99},
}
MONET = {
    "color": Contender("color", {}),
    "cpgan": Contender("cpgan", {}, batch=4),
    "fast": Contender("fast", SMALL, batch=4),
    "adain": Contender("adain", {}, batch=4),
    "cyclegan": Contender("cyclegan", QUICK | {"cycle_weight": 5.0, "identity_weight": 0.0}, batch=4),
    "cut": Contender("cut", QUICK, batch=4),
    "fastcut": Contender("fastcut", QUICK | {"nce_weight": 2.0}, batch=4),
}


def cpu_seconds() -> float:
    """Processor time of this process and of those it waited for, over all cores."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def workspace(root: Path, sources: list[str], changes: dict[str, Any]) -> None:
    """A workspace with its training set, by the product's own commands.

    Args:
        root: where; one that is there is brought up to date.
        sources: `--content …` and `--style …` of `atelier init`.
        changes: parameters that differ from those of `atelier init`, by their dotted names.
    """
    if not (root / "params.yaml").is_file():
        subprocess.run([ATELIER, "init", root, *sources], check=True)
    yaml, path = YAML(), root / "params.yaml"
    yaml.preserve_quotes = True  # DVC needs those of addresses in brackets
    params = yaml.load(path)
    for name, value in changes.items():
        *sections, key = name.split(".")
        section = params
        for inner in sections:
            section = section.setdefault(inner, {})
        section[key] = value
    yaml.dump(params, path)
    subprocess.run([ATELIER, "augment", "--workspace", root], check=True)


def train(contender: Contender, data: Path, out: Path, minutes: float) -> dict[str, Any]:
    """Train for a time on the processor, or go on where it stopped. Returns what it took.

    Args:
        contender: what.
        data: the training set.
        out: folder of the model, the checkpoints and `training.json`, which says that it is finished.
        minutes: of processor time.
    """
    from pydantic import TypeAdapter

    from atelier.tasks.registry.starter_models import find_starter
    from atelier.tasks.runtime.progress import Progress
    from atelier.tasks.training.config import TrainConfig
    from atelier.tasks.training.train import train as run

    finished = out / "training.json"
    if finished.is_file():
        return dict(json.loads(finished.read_text()))
    out.mkdir(parents=True, exist_ok=True)
    loop = {"batch_size": contender.batch, "sample_every": 10**6, "checkpoint_every": 10**6, "log_every": 50}
    loop |= contender.loop

    def config(steps: int) -> TrainConfig:
        given = {
            "method": contender.method, contender.method: contender.settings, "encoder": contender.encoder,
            "content": contender.content, "style": contender.style, "workers": 0, "loop": loop | {"steps": steps},
            "start_from": "a model" if contender.start else "scratch",
        }  # fmt: skip
        return TypeAdapter(TrainConfig).validate_python(given)

    def tell(progress: Progress) -> None:
        print(f"\r{contender.method}: {progress.done}/{progress.total} {progress.note:<80.80}", end="", file=sys.stderr)

    plan = out / "steps.json"
    if not plan.is_file():
        plan.write_text(json.dumps(_steps(config, data, out, minutes)))
    planned = json.loads(plan.read_text())
    loop["checkpoint_every"] = max(1, planned["steps"] // 24)
    loop["log_every"] = max(1, planned["steps"] // 40)
    used, begin = cpu_seconds(), time.perf_counter()
    initial = (find_starter(contender.start) or Path(contender.start)) if contender.start else None
    summary = run(config(planned["steps"]), data, out / "model", out / "checkpoints", out / "logs", tell, initial)
    print(file=sys.stderr)
    result = {
        "steps": summary.steps, "images": summary.steps * contender.batch, "precision": summary.precision,
        "threads": torch.get_num_threads(),
        "cpu_minutes": round((cpu_seconds() - used) / 60, 1), "minutes": round((time.perf_counter() - begin) / 60, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "continued_from_step": summary.resumed_from,
        "generator_mb": round((out / "model" / "generator.safetensors").stat().st_size / 1e6, 2),
    }  # fmt: skip
    finished.write_text(json.dumps(result))
    return result


def _steps(config: Callable[[int], Any], data: Path, out: Path, minutes: float) -> dict[str, Any]:
    """How many steps fit into the time, by the processor time of a few."""
    from atelier.models import encoders as networks
    from atelier.models.training import Trainer
    from atelier.tasks.dataset.shards import read_card
    from atelier.tasks.runtime import encoder_weights
    from atelier.tasks.training.loader import BatchLoader
    from atelier.tasks.training.plan import TrainingPlan
    from atelier.tasks.training.train import facts_of

    probe = config(PROBE_STEPS)
    if not getattr(probe.method_config, "optimizer", None):
        return {"steps": 1}
    probe = replace(probe, loop=replace(probe.loop, log_every=1))
    encoder = networks.load(probe.encoder, encoder_weights.resolve(probe.encoder))
    plan = TrainingPlan(
        probe.method_config, probe.loop, probe.encoder, data, probe.content, probe.style, None, out, None,
        facts_of(probe, read_card(data)), probe.shuffle_rows,
    )  # fmt: skip
    marks: list[float] = []
    trainer = Trainer(probe.method_config, probe.loop, encoder)
    with BatchLoader(plan, 0, 1) as batches:
        trainer.run(batches, lambda *_: marks.append(cpu_seconds()), lambda _: None, lambda _: None)
    each = (marks[-1] - marks[WARM_UP - 1]) / (len(marks) - WARM_UP)
    return {"steps": max(1, round(60 * minutes / each)), "cpu_s_a_step": round(each, 4)}


def in_processes(names: list[str], contenders: dict[str, Contender], data: Path, keep: Path, minutes: float) -> None:
    """Train each in a process of its own, one after the other: peak memory is of one method then."""
    for name in names:
        command = [sys.executable, __file__, str(data), "--keep", str(keep / name), "--minutes", str(minutes)]
        subprocess.run([*command, "--contender", json.dumps(asdict(contenders[name]))], check=True)


def landscapes(folder: Path, root: Path) -> None:
    """The workspace of photographs and Monet's paintings at 128², from a folder that holds `photo/` and `monet/`."""
    for name in ("photo", "monet"):
        if not (folder / name).is_dir():
            raise SystemExit(f"{folder / name} is missing")
    sources = ["--content", str(folder / "photo"), "--style", str(folder / "monet")]
    workspace(root, sources, {"evaluate.pictures": 320})


def monet(arguments: argparse.Namespace) -> None:
    """Photographs to Monet: train, compare, write `results/methods.json`."""
    root = arguments.keep.resolve() / "monet"
    landscapes(arguments.folder, root)
    names = arguments.methods or list(MONET)
    in_processes(names, MONET, root / "data" / "augmented", arguments.keep.resolve() / "methods", arguments.minutes)
    folders = [arguments.keep.resolve() / "methods" / name / "model" for name in names]
    given = [part for folder in folders for part in ("--models", str(folder))]
    subprocess.run([ATELIER, "evaluate", "--workspace", root, *given], check=True)
    compared = json.loads((root / "reports" / "comparison" / "comparison.json").read_text())
    record("monet", {
        "minutes_of_processor_time": arguments.minutes,
        "training": {n: json.loads((arguments.keep / "methods" / n / "training.json").read_text()) for n in names},
        "comparison": compared,
    })  # fmt: skip
    print(f"look at {root / 'reports' / 'comparison'}")


def record(part: str, result: dict[str, Any]) -> None:
    """Put one part's results into `results/methods.json`, beside the others'."""
    path = RESULTS / "methods.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | {part: {"hardware": hardware(), **result}}, indent=2) + "\n")


def arguments_of(description: str | None, *paths: str) -> argparse.ArgumentParser:
    """What the scripts that compare methods have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in paths:
        parser.add_argument(path, type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="where workspaces and models are made and kept")
    parser.add_argument("--minutes", type=float, default=10, help="of processor time for each method")
    parser.add_argument("--methods", nargs="+", help="only these")
    return parser


def main() -> None:
    """All methods, or one of them in a process of its own."""
    parser = arguments_of(__doc__, "folder")
    parser.add_argument("--contender", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        torch.manual_seed(0)
        print(train(Contender(**arguments.contender), arguments.folder, arguments.keep, arguments.minutes))
    else:
        monet(arguments)


if __name__ == "__main__":
    main()
