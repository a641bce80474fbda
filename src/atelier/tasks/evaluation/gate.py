"""The gate: decides whether a model may become `prod`, a pure function of its metrics and the comparison with `prod`.

A candidate must be no worse than `prod` at the worse bound of the 95 % interval of their difference, so that chance in
the held-out pictures promotes nothing. The first model has nothing to be compared with: it is judged more gently.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from atelier.models.settings import Settings, setting
from atelier.tasks.evaluation import metric_catalogue as metrics
from atelier.tasks.evaluation.metric_catalogue import Metric, Metrics, lookup, value

_BOUNDS = {"max": "at most", "min": "at least"}
_BASELINE = ("photos", "photos_low", "photos_high")  # the photographs' own distance in a section, and its interval
_FAR = 10.0  # half-widths that a hundred times as many pictures would be needed for

# metrics that do not apply to a kind of model (see `models.card`), by what they are compared with: an editor works
# within one domain, which is no baseline for itself; a generator makes pictures from noise, so there is no photograph
NOT_APPLICABLE = {"edits": ("style",), "restores": ("style",), "generates": ("style", "photo")}


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
    min_psnr_gain_db: float = setting(
        0.5, "of a model that restores, least mean gain of PSNR over the degraded pictures, in dB"
    )
    max_memorised_share: float = setting(
        0.01, "of a model that generates, largest share of pictures that are copies of training pictures", ge=0, le=1
    )
    max_mean_distance: float = setting(
        2.5, "of a first model that generates, largest distance to the real pictures, in units of their variance", ge=0
    )
    first_leniency: float = setting(
        0.5,
        "how far these three limits give way while no version is prod; 0.5: half of the way to 1, or for SSIM to 0",
        ge=0,
        le=1,
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
            metrics.MEMORISED.key: {"max": self.max_memorised_share},
            metrics.MEANS.key: {"max": self.max_mean_distance},
        }

    def first_limit(self, metric: Metric) -> float:
        """The limit of a metric for the first model: at a ratio of 1 or an SSIM of 0 anything could pass."""
        ((bound, usual),) = self.thresholds[metric.key].items()
        if metric not in metrics.HEADLINE:
            return usual
        anything = 0.0 if bound == "min" else 1.0
        gentler = usual + self.first_leniency * (anything - usual)
        return min(usual, gentler) if bound == "min" else max(usual, gentler)


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


@dataclass(frozen=True)
class _Limit:
    """A threshold as it holds for one candidate, and words about why it is not the usual one."""

    bound: Literal["max", "min"]
    number: float
    words: str = ""

    def keeps(self, number: float) -> bool:
        """Whether a number is within; NaN is not."""
        return number <= self.number if self.bound == "max" else number >= self.number

    def sentence(self, number: float) -> str:
        """The limit, as the end of a sentence about a number."""
        must = "" if self.keeps(number) else "it must be "
        return f"{must}{_BOUNDS[self.bound]} {self.number:.3g}{self.words}"


def gate(candidate: Metrics, prod: PairedComparison | None, config: GateConfig, *, first: bool = False) -> Decision:
    """Check a candidate against the thresholds, and against `prod` where there is one that does the same work.

    Args:
        first: whether no version is `prod`: then the limits of `GateConfig.first_limit` hold. They also hold, as far as
            `prod` itself needs them, while `prod` is beyond the usual ones: else nothing better could replace it.
    """
    kind = candidate.get("kind", "")
    skipped = NOT_APPLICABLE.get(kind, ())
    limits = {one.key: _limit(one, prod, config, first) for one in metrics.GATED if one.compared_with not in skipped}
    verdicts = [_within(one, candidate, limits[one.key]) for one in metrics.GATED if one.key in limits]
    verdicts += _at_sizes(candidate, limits)
    if kind == "restores":
        verdicts.append(_within(metrics.PSNR_GAIN, candidate, _Limit("min", config.min_psnr_gain_db)))
    if kind == "generates":
        verdicts.append(_within(metrics.MEMORISED, candidate, _Limit("max", config.max_memorised_share)))
        if prod is None:  # nothing says how good a model can be
            verdicts.append(_within(metrics.MEANS, candidate, _Limit("max", config.max_mean_distance)))
    if prod is not None:
        held_out = _held_out(candidate)
        headline = [one for one in metrics.HEADLINE if one.compared_with not in skipped]
        verdicts += [_no_worse(one, prod, config.tolerance, held_out) for one in headline]
        if kind == "generates":
            theirs = value(prod.metrics, metrics.FRECHET.key)  # never below zero, so that a share of it means something
            most = _Limit("max", theirs * (1 + config.tolerance), f" ({prod.against} has {theirs:.3g})")
            verdicts.append(_within(metrics.FRECHET, candidate, most))
        for canary in prod.canaries:
            verdicts += _canary(canary, config.canary_tolerance)
        if prod.canaries:
            words = f"no canary picture of {len(prod.canaries)} is worse than by {prod.against}"
            verdicts.append(_Verdict(True, words))
    refusals = tuple(one.sentence for one in verdicts if not one.passed)
    return Decision(not refusals, refusals or tuple(one.sentence for one in verdicts))


def _limit(metric: Metric, prod: PairedComparison | None, config: GateConfig, first: bool) -> _Limit:
    """The limit that holds for a candidate."""
    ((bound, usual),) = config.thresholds[metric.key].items()
    side: Literal["max", "min"] = "max" if bound == "max" else "min"
    gentle = config.first_limit(metric)
    if first and gentle != usual:
        return _Limit(side, gentle, f" (a first model; {usual:.3g} once a version is prod)")
    theirs = value(prod.metrics, metric.key) if prod else math.nan
    if prod and metric in metrics.HEADLINE and not math.isnan(theirs) and not _Limit(side, usual).keeps(theirs):
        held = min(gentle, theirs) if side == "max" else max(gentle, theirs)
        return _Limit(side, held, f" ({usual:.3g} once prod keeps it: {prod.against} has {theirs:.3g})")
    return _Limit(side, usual)


def _within(metric: Metric, candidate: Metrics, limit: _Limit, at: str = "") -> _Verdict:
    """Whether a number keeps its limit; one that is missing keeps none."""
    number = value(candidate, metric.key)
    if math.isnan(number) and (verdict := _without_ratio(metric, candidate)):
        return verdict
    shown = "missing" if math.isnan(number) else f"{number:.3g}"
    return _Verdict(
        limit.keeps(number), f"{metric.key}{at} is {shown}, {limit.sentence(number)}{_few(metric, candidate)}"
    )


def _without_ratio(metric: Metric, candidate: Metrics) -> _Verdict | None:
    """The verdict where photographs are as near to the style as its own pictures are: the difference decides."""
    photos, low, high = (value(candidate, f"{metric.section}.{name}") for name in _BASELINE)
    further = value(candidate, f"{metric.section}.difference_low")
    if math.isnan(further):
        return None
    words = (
        f"{metric.key} cannot be told: the distance of the photographs themselves is {photos:.2g} (95 % interval "
        f"{low:.2g} … {high:.2g}), and what is painted differs from it by {further:.2g} or more"
    )
    do = "hold out more pictures, or choose photographs that look less like the style"
    return _Verdict(further <= 0, words if further <= 0 else f"{words}: {do}")


def _few(metric: Metric, candidate: Metrics) -> str:
    """Words about a ratio to a distance that is not surely above zero, with the number of pictures that would do."""
    photos, low, high = (value(candidate, f"{metric.section}.{name}") for name in _BASELINE)
    if not metric.key.endswith(".ratio") or not low <= 0 < photos:
        return ""
    needed = groups_needed(_held_out(candidate), (high - low) / 2, photos)
    return f"; too few held-out pictures for an interval, {needed} of each would do"


def _at_sizes(candidate: Metrics, limits: Mapping[str, _Limit]) -> list[_Verdict]:
    """Whether the thresholds hold at the viewing sizes.

    Fewer pictures are measured there than at the training's size, so a distance is refused only where the whole 95 %
    interval of its ratio is over the limit.
    """
    found = []
    for px, at in candidate.get("sizes", {}).items():
        for metric in (metrics.KID.ratio, metrics.STYLE.ratio, metrics.REPETITION):
            number, low = value(at, metric.key), value(at, metric.interval[0])
            if math.isnan(low) or limits[metric.key].keeps(number):
                found.append(_within(metric, at, limits[metric.key], f" at {px} px"))
                continue
            limit = limits[metric.key].sentence(low)
            sure = f"95 % interval from {low:.3g}" if low > 0 else "too few held-out pictures for an interval"
            words = f"{metric.key} at {px} px is {number:.3g} ({sure}), {limit}"
            found.append(_Verdict(limits[metric.key].keeps(low), words))
    return found


def _no_worse(metric: Metric, prod: PairedComparison, tolerance: float, held_out: int) -> _Verdict:
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
    needed = groups_needed(held_out, worst - worse, tolerance - worse)
    few = f"too few held-out pictures ({held_out} of a domain) to tell that it is no worse than {tolerance:.3g}"
    return _Verdict(False, f"{words}: {few}, {needed} would do")


def _held_out(candidate: Metrics) -> int:
    """Independent held-out pictures of the domain that has fewer of them."""
    return min(int(lookup(candidate, f"counts.{side}_groups") or 0) for side in ("content", "style"))


def groups_needed(held_out: int, half_width: float, distance: float) -> str:
    """About how many pictures make an interval that narrow: its width falls with the root of their number."""
    if not held_out or half_width <= 0 or distance <= 0 or half_width / distance > _FAR:
        return "many more"
    return f"about {math.ceil(held_out * (half_width / distance) ** 2 / 10) * 10:,}"


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
