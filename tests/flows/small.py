"""A workspace small enough for tests: tiny networks, few steps, few pictures."""

import hashlib
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from atelier.flows.config.defaults import defaults
from atelier.flows.config.params import SECTIONS
from atelier.flows.control_plane.prefect_server import ask
from atelier.models.methods import METHODS
from atelier.tasks.dataset.shards import fold_of, split_of
from atelier.tasks.images.codec import encode, resize

SHRUNK = {
    "steps": 6,
    "batch_size": 2,
    "log_every": 1,
    "checkpoint_every": 2,
    "sample_every": 3,
    "filters": 4,
    "width": 8,
    "blocks": 1,
    "discriminator_filters": 4,
    "discriminator_layers": 1,
    "style_images": 4,
    "encoder": "efficientnet_lite0",
    "start_from": "scratch",  # no base has so few filters
    "copies": 1,
    "pictures": 8,
    "resamples": 20,
    "pairs": 2,
    # six steps make nobody a painter: here the gate shall open
    "max_kid_ratio": 1000.0,
    "max_style_ratio": 1000.0,
    "min_ssim": -1.0,
    "max_inversion_share": 1.0,
    "max_checkerboard_ratio": 1000.0,
    "max_repetition_share": 1.0,
    "tolerance": 1000.0,
}


HOLDOUT_SHARE = 0.2  # as params.yaml has it


def set_params(workspace: Path, **values: object) -> None:
    """Set all parameters of these names that are not null by default; of the methods, those of the chosen one."""
    configs = defaults()
    method = YAML(typ="safe").load((workspace / "params.yaml").read_text())["train"]["method"]
    configs["train"] = {
        name: value for name, value in vars(configs["train"]).items() if name not in METHODS or name == method
    }
    for name, value in values.items():
        keys = list(_keys(configs, name))
        assert keys, f"there is no parameter {name}"
        for key in keys:
            set_param(workspace, key, value)


def _keys(config: Any, name: str) -> Iterator[str]:
    """The dotted keys of the fields of this name."""
    for key, value in (config if isinstance(config, dict) else vars(config)).items():
        if key == name and value is not None:
            yield key
        elif is_dataclass(value) or key in SECTIONS:
            yield from (f"{key}.{below}" for below in _keys(value, name))


def set_param(workspace: Path, key: str, value: object) -> None:
    """Set a parameter by its dotted key; a text is read as YAML."""
    path, yaml = workspace / "params.yaml", YAML()
    yaml.width, yaml.preserve_quotes = 10_000, True
    content = yaml.load(path.read_text())
    *sections, last = key.split(".")
    place = content
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = yaml.load(value) if isinstance(value, str) else value
    yaml.dump(content, path)


def draw(folder: Path, coarseness: int, fold_sizes: list[int], held_out: int) -> Path:
    """A folder of noise of one kind: so many pictures in each fold of the training split, and so many held out."""
    folder.mkdir(parents=True)
    wanted: dict[tuple[str, int], int] = {("train", k): size for k, size in enumerate(fold_sizes)}
    wanted["holdout", 0] = held_out
    seed = 0
    while any(wanted.values()):
        coarse = np.random.default_rng([seed, coarseness]).integers(0, 256, (coarseness, coarseness, 3), np.uint8)
        data = encode(resize(coarse, 64, 64), "png")
        group = hashlib.sha256(data).hexdigest()
        split = split_of(group, HOLDOUT_SHARE)
        place = (split, fold_of(group, len(fold_sizes)) if split == "train" else 0)
        if wanted[place]:
            wanted[place] -= 1
            (folder / f"{seed}.png").write_bytes(data)
        seed += 1
    return folder


def asked(plane: str, what: str) -> list[dict[str, Any]]:
    """All that a Prefect server has of a kind: "flow_runs", "artifacts"."""
    found: list[dict[str, Any]] = ask(plane, f"/{what}/filter", {}, timeout_s=20)
    return found
