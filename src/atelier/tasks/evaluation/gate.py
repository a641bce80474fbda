"""The gate: what a model must reach to become `prod`, as a pure function of metrics and of the contest with `prod`.

A candidate must be no worse than `prod` even at the unlucky end of the interval of their difference: luck with the
held-out pictures does not promote.
"""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from atelier.tasks.evaluation.metrics import Metrics, value

_WORSE = {"kid.ratio": 1, "style.ratio": 1, "ssim.mean": -1}  # 1 where more is worse
# what does not apply to a model that is no painter of one domain in the style of another: there is no baseline where
# both domains are one, and nothing to compare with before where pictures come from noise
KINDS = {
    "edits": ("kid.ratio", "style.ratio"),
    "generates": ("kid.ratio", "style.ratio", "ssim.mean", "inversion.share"),
}


@dataclass(frozen=True)
class Difference:
    """A measure of both, and by how much they differ."""

    candidate: float
    prod: float
    low: float  # 2.5 % … 97.5 % of candidate - prod, over resamples of the held-out groups
    high: float


@dataclass(frozen=True)
class CanaryResult:
    """What both make of a canary picture."""

    name: str
    ssim: tuple[float, float]  # the candidate's and prod's, with the picture before
    style: tuple[float, float]  # squared distance of its Gram matrices to the style's mean, whose own norm is 1
    inverted: tuple[bool, bool]


@dataclass(frozen=True)
class PairedComparison:
    """What was found."""

    against: str  # the version that is prod
    differences: dict[str, Difference]  # by the metric's dotted key, such as "kid.ratio"
    canaries: tuple[CanaryResult, ...]
    metrics: dict[str, Any] = field(repr=False)  # all measures of prod on these pictures
    sheet: bytes | None = field(default=None, repr=False)  # PNG: the canaries, by prod and by the candidate


@dataclass(frozen=True)
class GateConfig:
    """Thresholds on `reports/evaluation.json`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    max_kid_ratio: float = field(
        default=0.6,
        metadata={"description": "largest distance to the style (KID), as a share of the photos' own", "ge": 0},
    )
    max_style_ratio: float = field(
        default=0.5,
        metadata={"description": "largest Gram style distance, as a share of the photos' own", "ge": 0},
    )
    min_ssim: float = field(
        default=0.5, metadata={"description": "smallest mean SSIM of luminance with the photo", "ge": -1, "le": 1}
    )
    max_inversion_share: float = field(
        default=0.0, metadata={"description": "largest share of pictures that come out as negatives", "ge": 0, "le": 1}
    )
    max_checkerboard_ratio: float = field(
        default=2.0, metadata={"description": "largest energy on the pixel grid, as a multiple of the photos'", "ge": 0}
    )
    tolerance: float = field(
        default=0.05,
        metadata={
            "description": "how much worse than prod each of the first three may be, at the end of its 95 % interval",
            "ge": 0,
        },
    )
    mode: Literal["auto", "manual", "dry"] = field(
        default="auto",
        metadata={
            "description": "auto promotes what passes, manual waits for approval, dry only says what it would do"
        },
    )
    canary: tuple[str, ...] = field(
        default=(),
        metadata={"description": "sources of the pictures that every version is shown on; none: some held-out ones"},
    )
    canary_tolerance: float = field(
        default=0.15,
        metadata={
            "description": "SSIM that a canary picture may lose against prod, and share by which its distance to the "
            "style may grow",
            "ge": 0,
        },
    )

    @property
    def thresholds(self) -> dict[str, dict[str, float]]:
        """The limits by the metric they hold for: {"kid.ratio": {"max": 0.6}, …}."""
        return {
            "kid.ratio": {"max": self.max_kid_ratio},
            "style.ratio": {"max": self.max_style_ratio},
            "ssim.mean": {"min": self.min_ssim},
            "inversion.share": {"max": self.max_inversion_share},
            "checkerboard.ratio": {"max": self.max_checkerboard_ratio},
        }


@dataclass(frozen=True)
class Decision:
    """Whether a model may become `prod`, and why."""

    passed: bool
    reasons: tuple[str, ...]  # sentences; of a refusal, what it was refused for


def gate(candidate: Metrics, prod: PairedComparison | None, config: GateConfig) -> Decision:
    """Hold a candidate against the thresholds and against `prod`.

    Args:
        candidate: `reports/evaluation.json` of the candidate.
        prod: what the contest with `prod` found; None when there is none, or it does other work.
        config: the thresholds.
    """
    refusals: list[str] = []
    notes: list[str] = []
    without = KINDS.get(candidate.get("kind", ""), ())
    for key, limit in config.thresholds.items():
        if key not in without:
            _hold(key, value(candidate, key), limit, "", refusals, notes)
    if prod is not None:
        for key in _WORSE:
            if key not in without:
                _hold_against(key, prod, config.tolerance, refusals, notes)
        if candidate.get("kind") == "generates":
            key = "frechet.stylized"  # never below zero, so that a share of it means something
            theirs = value(prod.metrics, key)
            words = f" ({prod.against} has {theirs:.3g})"
            _hold(key, value(candidate, key), {"max": theirs * (1 + config.tolerance)}, words, refusals, notes)
        for canary in prod.canaries:
            refusals += _worse(canary, config.canary_tolerance)
        if prod.canaries:
            notes.append(f"no canary picture of {len(prod.canaries)} is worse than by {prod.against}")
    return Decision(not refusals, tuple(refusals or notes))


def _hold(key: str, number: float, limit: dict[str, float], words: str, refusals: list[str], notes: list[str]) -> None:
    for bound, kind in (("max", "at most"), ("min", "at least")):
        if bound in limit:
            holds = number <= limit[bound] if bound == "max" else number >= limit[bound]
            shown = "missing" if math.isnan(number) else f"{number:.3g}"
            if holds:
                notes.append(f"{key} is {shown}, {kind} {limit[bound]:.3g}{words}")
            else:
                refusals.append(f"{key} is {shown}, it must be {kind} {limit[bound]:.3g}{words}")


def _hold_against(key: str, prod: PairedComparison, tolerance: float, refusals: list[str], notes: list[str]) -> None:
    """Let a measure be worse than `prod`'s by the tolerance, at the unlucky end of the interval of the difference."""
    found = prod.differences.get(key)
    if found is None:
        refusals.append(f"{key} is missing from the contest with {prod.against}")
        return
    sign = _WORSE[key]
    worst = found.high if sign > 0 else -found.low
    words = (
        f"{key} is {found.candidate:.3g} where {prod.against} has {found.prod:.3g}: it differs by "
        f"{found.candidate - found.prod:+.2g} (95 % interval {found.low:+.2g} … {found.high:+.2g})"
    )
    if worst <= tolerance:
        notes.append(words)
    elif sign * (found.candidate - found.prod) > tolerance:
        refusals.append(f"{words}, and may be worse by {tolerance:.3g}")
    else:
        refusals.append(f"{words}: too few held-out pictures to tell that it is no worse than {tolerance:.3g}")


def _worse(canary: CanaryResult, tolerance: float) -> list[str]:
    """What is worse of a canary picture than by `prod`."""
    found = []
    if canary.inverted[0] and not canary.inverted[1]:
        found.append("comes out as a negative")
    if not canary.ssim[0] >= canary.ssim[1] - tolerance:
        found.append(f"keeps less (SSIM {canary.ssim[0]:.2f}, prod {canary.ssim[1]:.2f})")
    if not canary.style[0] <= canary.style[1] * (1 + tolerance):
        found.append(f"is further from the style ({canary.style[0]:.2g}, prod {canary.style[1]:.2g})")
    return [f"canary picture {canary.name} {' and '.join(found)}"] if found else []
