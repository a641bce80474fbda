"""The gate: what a model must reach to become `prod`, as a pure function of metrics."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

Metrics = dict[str, Any]

# measured in another way, on other pictures or at another size, numbers of two models say nothing about each other
_COMPARABLE_BY = ("kid.metric", "style.encoder", "dataset", "size_px", "kind")
# what does not apply to a model that is no painter of one domain in the style of another: there is no baseline where
# both domains are one, and nothing to compare with before where pictures come from noise
KINDS = {
    "edits": ("kid.ratio", "style.ratio"),
    "generates": ("kid.ratio", "style.ratio", "ssim.mean", "inversion.share"),
}


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
        default=0.05, metadata={"description": "how much worse than prod each of the first three may be", "ge": 0}
    )
    canary: tuple[str, ...] = field(
        default=(),
        metadata={"description": "sources of the pictures that every version is shown on; none: some held-out ones"},
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


def gate(candidate: Metrics, prod: Metrics | None, config: GateConfig) -> Decision:
    """Hold a candidate against the thresholds and against `prod`.

    Args:
        candidate: `reports/evaluation.json` of the candidate.
        prod: that of the model that is `prod`; None when there is none.
        config: the thresholds.
    """
    refusals: list[str] = []
    notes: list[str] = []
    without = KINDS.get(candidate.get("kind", ""), ())
    for key, limit in config.thresholds.items():
        if key in without:
            continue
        _hold(key, value(candidate, key), limit, "", refusals, notes)
    if prod is not None:
        differing = [key for key in _COMPARABLE_BY if _find(candidate, key) != _find(prod, key)]
        if differing:
            notes.append(f"not compared with prod, which was measured with another {' and '.join(differing)}")
        else:
            limits = {key: {"max": value(prod, key) + config.tolerance} for key in ("kid.ratio", "style.ratio")}
            limits["ssim.mean"] = {"min": value(prod, "ssim.mean") - config.tolerance}
            if candidate.get("kind") == "generates":
                key = "frechet.stylized"  # never below zero, so that a share of it means something
                limits[key] = {"max": value(prod, key) * (1 + config.tolerance)}
            for key, limit in limits.items():
                if key not in without:
                    words = f" (prod has {value(prod, key):.3g})"
                    _hold(key, value(candidate, key), limit, words, refusals, notes)
    return Decision(not refusals, tuple(refusals or notes))


def value(metrics: Metrics, key: str) -> float:
    """A number by its dotted key; NaN, which passes no threshold, when it is not there."""
    found = _find(metrics, key)
    return float(found) if isinstance(found, int | float) else math.nan


def _find(metrics: Metrics, key: str) -> Any:
    found: Any = metrics
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _hold(key: str, number: float, limit: dict[str, float], words: str, refusals: list[str], notes: list[str]) -> None:
    for bound, kind in (("max", "at most"), ("min", "at least")):
        if bound in limit:
            holds = number <= limit[bound] if bound == "max" else number >= limit[bound]
            shown = "missing" if math.isnan(number) else f"{number:.3g}"
            if holds:
                notes.append(f"{key} is {shown}, {kind} {limit[bound]:.3g}{words}")
            else:
                refusals.append(f"{key} is {shown}, it must be {kind} {limit[bound]:.3g}{words}")
