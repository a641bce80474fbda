"""The gate: decides whether a model may become `prod`, a pure function of its metrics and the comparison with `prod`.

A candidate must be no worse than `prod` at the worse bound of the 95 % interval of their difference, so that chance in
the held-out pictures promotes nothing.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from atelier.models.settings import Settings, setting
from atelier.tasks.evaluation import metric_catalogue as metrics
from atelier.tasks.evaluation.metric_catalogue import Metric, Metrics, value

_BOUNDS = {"max": "at most", "min": "at least"}

# metrics that do not apply to a kind of model (see `models.card`), by what they are compared with: an editor works
# within one domain, which is no baseline for itself; a generator makes pictures from noise, so there is no photograph
NOT_APPLICABLE = {"edits": ("style",), "generates": ("style", "photo")}


@dataclass(frozen=True)
class Difference:
    """A metric of candidate and `prod`, and the 95 % interval of candidate - prod over resamples of groups."""

    candidate: float
    prod: float
    low: float
    high: float


@dataclass(frozen=True)
class CanaryResult:
    """A canary picture painted by both; each pair is the candidate's value, then `prod`'s."""

    name: str
    ssim: tuple[float, float]  # with the picture before
    style: tuple[float, float]  # squared distance of its Gram matrices to the style's mean, whose own norm is 1
    inverted: tuple[bool, bool]  # light and dark are exchanged


@dataclass(frozen=True)
class PairedComparison:
    """Candidate and `prod`, measured on the same pictures."""

    against: str  # the version that is prod
    differences: dict[str, Difference]  # by key of the metric, such as "kid.ratio"
    canaries: tuple[CanaryResult, ...]
    metrics: dict[str, Any] = field(repr=False)  # all metrics of prod on these pictures
    sheet: bytes | None = field(default=None, repr=False)  # PNG of the canaries: before, by prod, by the candidate


@dataclass(frozen=True)
class GateConfig(Settings):
    """Thresholds on `reports/evaluation.json`."""

    max_kid_ratio: float = setting(0.6, "largest distance to the style (KID), as a share of the photos' own", ge=0)
    max_style_ratio: float = setting(0.5, "largest Gram style distance, as a share of the photos' own", ge=0)
    min_ssim: float = setting(0.5, "smallest mean SSIM of luminance with the photo", ge=-1, le=1)
    max_inversion_share: float = setting(0.0, "largest share of pictures that come out as negatives", ge=0, le=1)
    max_checkerboard_ratio: float = setting(2.0, "largest energy on the pixel grid, as a multiple of the photos'", ge=0)
    tolerance: float = setting(
        0.05, "how much worse than prod each of the first three may be, at the end of its 95 % interval", ge=0
    )
    max_repetition_share: float = setting(
        0.25, "largest share of pictures with rows of dots or a weave in plain areas", ge=0, le=1
    )
    mode: Literal["auto", "manual", "dry"] = setting(
        "auto", "auto promotes what passes, manual waits for approval, dry only says what it would do"
    )
    canary: tuple[str, ...] = setting(
        (), "sources of the pictures that every version is shown on; none: some held-out ones"
    )
    canary_tolerance: float = setting(
        0.15,
        "SSIM that a canary picture may lose against prod, and share by which its distance to the style may grow",
        ge=0,
    )

    @property
    def thresholds(self) -> dict[str, dict[str, float]]:
        """The limits by the metric they hold for: {"kid.ratio": {"max": 0.6}, …}."""
        return {
            metrics.KID.ratio.key: {"max": self.max_kid_ratio},
            metrics.STYLE.ratio.key: {"max": self.max_style_ratio},
            metrics.SSIM.key: {"min": self.min_ssim},
            metrics.INVERSION.key: {"max": self.max_inversion_share},
            metrics.CHECKERBOARD.ratio.key: {"max": self.max_checkerboard_ratio},
            metrics.REPETITION.key: {"max": self.max_repetition_share},
        }


@dataclass(frozen=True)
class Decision:
    """Whether a model may become `prod`, and why."""

    passed: bool
    reasons: tuple[str, ...]  # sentences; of a refusal, what it was refused for


@dataclass(frozen=True)
class _Verdict:
    """One check: whether it passed, and the numbers as a sentence."""

    passed: bool
    sentence: str


def gate(candidate: Metrics, prod: PairedComparison | None, config: GateConfig) -> Decision:
    """Check a candidate against the thresholds, and against `prod` where there is one that does the same work."""
    kind = candidate.get("kind", "")
    skipped = NOT_APPLICABLE.get(kind, ())
    gated = [one for one in metrics.GATED if one.compared_with not in skipped]
    verdicts = [_within(one, candidate, config.thresholds[one.key]) for one in gated]
    verdicts += _at_sizes(candidate, config)
    if prod is not None:
        headline = [one for one in metrics.HEADLINE if one.compared_with not in skipped]
        verdicts += [_no_worse(one, prod, config.tolerance) for one in headline]
        if kind == "generates":
            theirs = value(prod.metrics, metrics.FRECHET.key)  # never below zero, so that a share of it means something
            words = f" ({prod.against} has {theirs:.3g})"
            verdicts.append(_within(metrics.FRECHET, candidate, {"max": theirs * (1 + config.tolerance)}, words))
        for canary in prod.canaries:
            verdicts += _canary(canary, config.canary_tolerance)
        if prod.canaries:
            words = f"no canary picture of {len(prod.canaries)} is worse than by {prod.against}"
            verdicts.append(_Verdict(True, words))
    refusals = tuple(one.sentence for one in verdicts if not one.passed)
    return Decision(not refusals, refusals or tuple(one.sentence for one in verdicts))


def _within(metric: Metric, candidate: Metrics, limit: dict[str, float], words: str = "") -> _Verdict:
    """Whether a number keeps its limit, {"max": …} or {"min": …}; NaN keeps none."""
    ((bound, most),) = limit.items()
    number = value(candidate, metric.key)
    passed = number <= most if bound == "max" else number >= most
    shown = "missing" if math.isnan(number) else f"{number:.3g}"
    must = "" if passed else "it must be "
    return _Verdict(passed, f"{metric.key} is {shown}, {must}{_BOUNDS[bound]} {most:.3g}{words}")


def _at_sizes(candidate: Metrics, config: GateConfig) -> list[_Verdict]:
    """Whether the thresholds hold at the viewing sizes.

    Fewer pictures are measured there than at the training's size, so a distance is refused only where the whole 95 %
    interval of its ratio is over the limit.
    """
    found = []
    for px, at in candidate.get("sizes", {}).items():
        for metric in (metrics.KID.ratio, metrics.STYLE.ratio, metrics.REPETITION):
            number, low = value(at, metric.key), value(at, metric.interval[0])
            (most,) = config.thresholds[metric.key].values()
            passed = (number if math.isnan(low) else low) <= most
            interval = "" if math.isnan(low) else f" (95 % interval from {low:.3g})"
            must = "" if passed else "it must be "
            words = f"{metric.key} at {px} px is {number:.3g}{interval}, {must}at most {most:.3g}"
            found.append(_Verdict(passed, words))
    return found


def _no_worse(metric: Metric, prod: PairedComparison, tolerance: float) -> _Verdict:
    """Whether a metric is, at the worse bound of the 95 % interval, at most the tolerance worse than `prod`'s."""
    found = prod.differences.get(metric.key)
    if found is None:
        return _Verdict(False, f"{metric.key} is missing from the comparison with {prod.against}")
    words = (
        f"{metric.key} is {found.candidate:.3g} where {prod.against} has {found.prod:.3g}: it differs by "
        f"{found.candidate - found.prod:+.2g} (95 % interval {found.low:+.2g} … {found.high:+.2g})"
    )
    change = found.candidate - found.prod
    worse, worst = (change, found.high) if metric.better == "lower" else (-change, -found.low)
    if worst <= tolerance:
        return _Verdict(True, words)
    if worse > tolerance:
        return _Verdict(False, f"{words}, and may be worse by {tolerance:.3g}")
    return _Verdict(False, f"{words}: too few held-out pictures to tell that it is no worse than {tolerance:.3g}")


def _canary(canary: CanaryResult, tolerance: float) -> list[_Verdict]:
    """A refusal where a canary picture is worse than by `prod`."""
    found = []
    if canary.inverted[0] and not canary.inverted[1]:
        found.append("comes out as a negative")
    if not canary.ssim[0] >= canary.ssim[1] - tolerance:
        found.append(f"keeps less (SSIM {canary.ssim[0]:.2f}, prod {canary.ssim[1]:.2f})")
    if not canary.style[0] <= canary.style[1] * (1 + tolerance):
        found.append(f"is further from the style ({canary.style[0]:.2g}, prod {canary.style[1]:.2g})")
    return [_Verdict(False, f"canary picture {canary.name} {' and '.join(found)}")] if found else []
