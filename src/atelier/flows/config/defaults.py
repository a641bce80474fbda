"""The params.yaml of a new workspace: the parameters that are changed most, and those without their default value."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from atelier.flows.config.notify import NotifyConfig
from atelier.flows.config.render import render
from atelier.flows.config.retrain import RetrainConfig
from atelier.tasks.bulk.subscriptions import StylizeSection
from atelier.tasks.dataset.augment_config import AugmentConfig, DomainAugmentation
from atelier.tasks.dataset.checks import ChecksConfig
from atelier.tasks.dataset.ingest import IngestConfig
from atelier.tasks.dataset.layouts import SourceConfig
from atelier.tasks.evaluation.gate import GateConfig
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.registry.base_models import with_base
from atelier.tasks.runtime import encoder_weights
from atelier.tasks.storage.open_source import list_entries, locate
from atelier.tasks.storage.windows import SCHEME as WINDOWS
from atelier.tasks.training.config import TrainConfig

BRAND = "brand"  # domain of a brand's pictures
BRAND_PICTURES = 10  # with more, a model of their own learns more from them
BRAND_BASE = "starter/any-style"  # it has the style of the pictures before the first step
BRAND_ENCODER = "vgg16"  # where its weights are; losses in the embedded encoder lead away from that style
BRAND_PX, BRAND_STEPS = 256, 400  # strokes are as wide as the base learned them
# thresholds of styles that cover most detail: the embedded painter's own pictures have an SSIM of 0.23
# and photographs as soft as the embedded ones have a grid score of 0.7, where nobody sees one of 2
BOLD = GateConfig(max_kid_ratio=0.9, max_style_ratio=0.7, min_ssim=0.2, max_checkerboard_ratio=4.0)
DEMO_STEPS = 700  # a little over three minutes on two cores
HEADER = """\
# The parameters that are changed most; one that is not here has its default. `atelier params` prints all of them.
# DVC reruns exactly the stages below a value that changes. Methods, each with settings at `atelier params train.NAME`:
# {methods}.
"""
# what a new params.yaml shows, beside the settings of its method
SHOWN = (
    *(
        "ingest.size_px",
        "ingest.min_px",
        "ingest.domains",
        "checks.max_quarantined_share",
        "checks.max_lost_share",
        "augment.size_px",
    ),
    *("augment.copies", "augment.domains", "train.method", "train.content", "train.style", "train.encoder"),
    *("train.workers", "train.device", "train.start_from", "train.loop.steps", "train.loop.batch_size"),
    *("train.loop.seed", "train.loop.checkpoint_every", "evaluate.pictures", "gate.max_kid_ratio"),
    *("gate.max_style_ratio", "gate.min_ssim", "gate.tolerance", "gate.mode", "gate.canary", "retrain.push"),
    *("retrain.git_remote", "stylize.strength", "stylize.format", "stylize.quality", "stylize.subscriptions"),
    *("notify.urls", "notify.when"),
)


def demo_params() -> str:
    """params.yaml for the embedded pictures, with so few training steps that one can watch."""
    train = with_base(TrainConfig())
    return _text(train=replace(train, loop=replace(train.loop, steps=DEMO_STEPS)), gate=BOLD)


def folder_params(content: tuple[str, ...], style: tuple[str, ...], base: Path) -> str:
    """params.yaml for a user's own pictures; relative sources are relative to `base`.

    Raises:
        FileNotFoundError, ValueError: a source is missing or holds no picture.
    """
    train = TrainConfig()
    domains: dict[str, tuple[SourceConfig | str, ...]] = {
        train.content: _found(content, base),
        train.style: _found(style, base),
    }
    return _text(ingest=replace(IngestConfig(), domains=domains), train=with_base(train))


def brand_params(folder: str, content: tuple[str, ...], base: Path) -> str:
    """params.yaml for a style that is known from three to ten pictures, see `storage.windows`.

    Raises:
        FileNotFoundError, ValueError: a source is missing, or holds too few pictures.
    """
    windows = WINDOWS + str(locate(folder, base))
    next(iter(list_entries(windows, base)))
    encoder = BRAND_ENCODER if encoder_weights.is_ready(BRAND_ENCODER) else TrainConfig().encoder
    train = with_base(TrainConfig(method="fast", style=BRAND, encoder=encoder), BRAND_BASE)
    return _text(
        ingest=replace(
            IngestConfig(),
            size_px=2 * BRAND_PX,
            min_px=BRAND_PX // 2,  # smaller windows would be learned too soft
            domains={train.content: _found(content, base), BRAND: (windows,)},
        ),
        # the windows have many sizes already, and letters are not mirrored
        augment=replace(
            AugmentConfig(),
            size_px=BRAND_PX,
            held_out=True,
            domains=AugmentConfig().domains
            | {BRAND: DomainAugmentation(flip_horizontal=0.0, rotation_deg=0.0, crop_area=(0.5, 1.0))},
        ),
        train=replace(
            train, patience=4, loop=replace(train.loop, steps=BRAND_STEPS, sample_every=BRAND_STEPS // 10, batch_size=2)
        ),
        gate=BOLD,
        stylize=replace(StylizeSection(), palette=str(locate(folder, base))),
    )


def brand_notes(folder: str, base: Path) -> list[str]:
    """Notes where a folder has more pictures than a brand style is made for, or the best encoder is missing."""
    notes = []
    if not encoder_weights.is_ready(BRAND_ENCODER):
        notes.append(
            f"note: a brand style comes nearer to its pictures with losses in {BRAND_ENCODER}: `atelier encoders pull "
            f"{BRAND_ENCODER}`, and train.encoder: {BRAND_ENCODER} in params.yaml"
        )
    count = len({entry.group for entry in list_entries(WINDOWS + str(locate(folder, base)), base) if entry.group})
    if count > BRAND_PICTURES:
        notes.append(
            f"note: {folder} has {count} pictures. --brand is made for 3 to {BRAND_PICTURES} and holds out one alone; "
            "with as many as here, --style in its place learns and measures better"
        )
    return notes


def check_same_sources(params: Path, text: str) -> None:
    """Check that a workspace has the sources that a new params.yaml would name.

    Args:
        params: the workspace's params.yaml.
        text: the new one's text.

    Raises:
        FileExistsError: it has others, which stay.
    """
    there, asked = (YAML(typ="safe", pure=True).load(of) or {} for of in (params.read_text(), text))
    domains = (there.get("ingest") or {}).get("domains")
    if domains != asked["ingest"]["domains"]:
        raise FileExistsError(
            f"{params.parent} is a workspace already, with the sources {json.dumps(domains, ensure_ascii=False)}: "
            f"change ingest.domains in {params.name} there, or name another folder for a new workspace"
        )


def defaults() -> dict[str, Any]:
    """Every section with its default values, in the order of the pipeline."""
    return {
        "ingest": IngestConfig(),
        "checks": ChecksConfig(),
        "augment": AugmentConfig(),
        "train": TrainConfig(),
        "evaluate": EvaluateConfig(),
        "gate": GateConfig(),
        "retrain": RetrainConfig(),
        "stylize": StylizeSection(),
        "notify": NotifyConfig(),
    }


def _text(**changed: Any) -> str:
    configs = defaults() | changed
    train: TrainConfig = configs["train"]
    method = [f"train.{train.method}.{field.name}" for field in dataclasses.fields(train.method_config)]
    rates = [f"train.{train.method}.optimizer.{network}_lr" for network in ("generator", "discriminator")]
    shown = (*SHOWN, *(key for key in method if not key.endswith(".optimizer")), *rates)
    known = [field.name for field in dataclasses.fields(train) if dataclasses.is_dataclass(getattr(train, field.name))]
    return HEADER.format(methods=", ".join(name for name in known if name != "loop")) + "\n" + render(configs, shown)


def _found(specs: tuple[str, ...], base: Path) -> tuple[str, ...]:
    """The sources as absolute paths, so that the workspace may lie anywhere."""
    for spec in specs:
        next(iter(list_entries(spec, base)))
    return tuple(spec if "://" in spec else str(locate(spec, base)) for spec in specs)
