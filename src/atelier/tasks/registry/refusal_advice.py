"""What to do about a model that the gate refused, in order of worth."""

import json
from collections.abc import Iterator
from pathlib import Path

from atelier.tasks.dataset.subsets import MANY_GROUPS
from atelier.tasks.evaluation.metric_catalogue import (
    CHECKERBOARD,
    INVERSION,
    KID,
    MEANS,
    MEMORISED,
    PSNR_GAIN,
    REPETITION,
    SSIM,
    STYLE,
    Metrics,
    lookup,
)
from atelier.tasks.registry.base_models import list_bases
from atelier.tasks.registry.release import ReleaseResult
from atelier.tasks.registry.tags import MODEL
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.workspace.run_record import REFUSED, WOULD_BE_REFUSED

LIMITS = {
    KID.ratio.key: "max_kid_ratio",
    STYLE.ratio.key: "max_style_ratio",
    SSIM.key: "min_ssim",
    INVERSION.key: "max_inversion_share",
    CHECKERBOARD.ratio.key: "max_checkerboard_ratio",
    REPETITION.key: "max_repetition_share",
    PSNR_GAIN.key: "min_psnr_gain_db",
    MEMORISED.key: "max_memorised_share",
    MEANS.key: "max_mean_distance",
}  # fields of `GateConfig` by the metric that begins a reason
FAULTS = {CHECKERBOARD.ratio.key, REPETITION.key}  # of a young generator, whatever the pictures
FEW_STEPS = 500  # of which a style needs more, whatever the pictures


def next_steps(release: ReleaseResult, evaluation: Path, train: TrainConfig) -> tuple[str, ...]:
    """What the user of a refused model can do, in sentences, the most useful first; nothing where it is not refused.

    Args:
        evaluation: the model's `evaluation.json`.
        train: how it was trained.
    """
    if release.decision not in (REFUSED, WOULD_BE_REFUSED):
        return ()
    metrics = json.loads(evaluation.read_bytes())
    missed = {key for key in LIMITS if any(reason.startswith(key) for reason in release.reasons)}
    return tuple(_steps(release, metrics, train, missed))


def _steps(release: ReleaseResult, metrics: Metrics, train: TrainConfig, missed: set[str]) -> Iterator[str]:
    if release.version and not release.new:
        yield (
            "a change of pictures or of params.yaml: without one the same model comes out, and a version is judged once"
        )
    few = any("too few held-out pictures" in reason for reason in release.reasons)
    held_out = [int(lookup(metrics, f"counts.{side}_groups") or 0) for side in ("content", "style")]
    counts = f"{held_out[0]} of {train.content} and {held_out[1]} of {train.style} are held out to measure with"
    pictures = f"more pictures: {counts}; from {MANY_GROUPS} of each, of as many originals, the numbers are dependable"
    lacking = few or min(held_out) < MANY_GROUPS
    young = bool(missed) and (missed <= FAULTS or train.loop.steps < FEW_STEPS)
    if lacking and not young:
        yield pictures
    if MEMORISED.key in missed:
        yield f"pictures learned by heart: more pictures, fewer steps, or train.{train.method}.diffaugment"
    elif missed and missed <= {SSIM.key, INVERSION.key} and hasattr(train.method_config, "content_weight"):
        yield f"a weaker style: raise train.{train.method}.content_weight, or lower the style's weight beside it"
    elif missed and _takes_steps(train.method):
        steps = max(2 * train.loop.steps, FEW_STEPS)
        now = f"train.loop.steps is {train.loop.steps:,}"
        yield f"more steps: {now}, try the same command with --set train.loop.steps={steps}"
    if train.start_from == "scratch" and (bases := list_bases(train.method_config)):
        yield f"a base model instead of scratch: train.start_from: {bases[0].label}"
    if lacking and young:
        yield pictures
    if limits := [f"gate.{name}" for key, name in LIMITS.items() if key in missed]:
        yield f"another limit for the models to come: {', '.join(limits)} in params.yaml"
    elif few:
        yield "more tolerance for the models to come: gate.tolerance in params.yaml"
    if release.version:
        name = release.version if release.model == MODEL else f"{release.model}@{release.version}"
        generates = metrics.get("kind") == "generates"
        see = "generate FOLDER" if generates else "stylize FOLDER --preview 12"
        yield (
            "its pictures, to judge by eye: those of the report, or "
            f"`atelier {see} --model {release.model}@{release.version}`"
        )
        yield f'your own decision: `atelier models promote {name} --reason "…"` makes it prod all the same'


def _takes_steps(method: str) -> bool:
    """Whether a method is trained in steps; a method without turns learns all there is before the first."""
    from atelier.models.methods import method_class  # PyTorch, which takes seconds to load

    return bool(method_class(method).turns)
