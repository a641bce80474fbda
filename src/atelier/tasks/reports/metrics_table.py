"""The section of metrics: each beside its baseline, its limit, and the last version."""

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from atelier.tasks.evaluation.gate import NOT_APPLICABLE
from atelier.tasks.evaluation.metric_catalogue import (
    AT_SIZES,
    COVERAGE,
    DENSITY,
    INVERSION,
    LPIPS,
    MEANS,
    MEMORISED,
    METRICS,
    PATH_LENGTH,
    PRECISION,
    RECALL,
    REPETITION,
    SPEED,
    SSIM,
    Metric,
    lookup,
)
from atelier.tasks.reports.charts import ratio_bar
from atelier.tasks.reports.html_page import render

BASELINED = tuple(one for one in METRICS if one.baseline)
SINGLE = (
    REPETITION,
    SSIM,
    LPIPS,
    INVERSION,
    MEANS,
    PRECISION,
    RECALL,
    DENSITY,
    COVERAGE,
    PATH_LENGTH,
    MEMORISED,
    SPEED,
)

Metrics = Mapping[str, Any]  # as reports/evaluation.json
Thresholds = Mapping[str, Mapping[str, float]]  # limits by key: {"kid.ratio": {"max": 0.6}}
Shown = dict[str, object]  # what the template reads; None stands for what is not known


def metrics_table(metrics: Metrics, previous: Metrics, thresholds: Thresholds, previous_name: str | None) -> Markup:
    """HTML of all metrics that are there; empty when none is."""
    kind = metrics.get("kind", "")
    skipped = NOT_APPLICABLE.get(kind, ()) if isinstance(kind, str) else ()
    without = {one.section for one in METRICS if one.compared_with in skipped}
    thresholds = {key: limits for key, limits in thresholds.items() if key.partition(".")[0] not in without}
    there = [metric for metric in BASELINED if isinstance(metrics.get(metric.section), dict)]
    rows = [_ratio_row(metric, metrics, previous, thresholds) for metric in there]
    singles = _single_numbers(metrics, previous, thresholds)
    if not rows and not singles:
        return Markup()
    counts = metrics.get("counts")
    indicative = metrics.get("indicative") and isinstance(counts, dict)
    return render(
        "metrics_table.html.j2",
        "metrics",
        rows=rows,
        made="generated" if kind == "generates" else "stylized",
        previous_name=(previous_name or "last version") if previous else None,
        singles=singles,
        sizes=_at_sizes(metrics),
        edits=_attribute_edits(metrics),
        intervals=isinstance(metrics.get("kid"), dict) and "ratio_low" in metrics["kid"],
        parents=[lookup(metrics, f"counts.{side}_groups") for side in ("content", "style")] if indicative else None,
        dependent=lookup(metrics, "style.independent") is False,
    )


def _ratio_row(metric: Metric, metrics: Metrics, previous: Metrics, thresholds: Thresholds) -> Shown:
    """A row of the table: a metric with its baseline."""
    values = metrics[metric.section]
    ratio, interval = _finite(values.get("ratio")), _interval(values, "ratio_low", "ratio_high")
    limit = thresholds.get(metric.ratio.key, {})
    low, high = interval or (None, None)
    source = values.get("metric") or values.get("encoder")
    photographs, stylized = (_finite(values.get(name)) for name in ("photos", "stylized"))
    return {
        "name": metric.title,
        "meaning": metric.meaning,
        "source": str(source) if source else None,
        "photographs": None if photographs is None else photographs * metric.scale,
        "stylized": None if stylized is None else stylized * metric.scale,
        "ratio": ratio,
        "interval": interval,
        "bar": Markup() if ratio is None else ratio_bar(ratio, low, high, limit.get("max", limit.get("min"))),
        "previous": None if ratio is None else lookup(previous, metric.ratio.key),
        "limits": _limits(metric.section, metrics, thresholds),
    }


def _single_numbers(metrics: Metrics, previous: Metrics, thresholds: Thresholds) -> list[Shown]:
    """Metrics without a baseline, to be shown as large numbers."""
    wanted = [(one.key, one.title, one.meaning) for one in SINGLE]
    held_out = "pictures" if metrics.get("kind") == "generates" else "photographs"
    wanted.append(("counts.content", f"Held-out {held_out}", "measured"))
    found = []
    for key, name, meaning in wanted:
        group, value = key.split(".")[0], lookup(metrics, key)
        if _finite(value) is None:
            continue
        before = None if group == "counts" else lookup(previous, key)
        single: Shown = {"name": name, "meaning": meaning, "value": value}
        single["interval"] = _interval(metrics[group], "low", "high")
        single["previous"] = None if _finite(before) is None else before
        single["limits"] = _limits(group, metrics, thresholds)
        found.append(single)
    return found


def _at_sizes(metrics: Metrics) -> Shown | None:
    """The metrics that are measured at viewing sizes, a row for each metric and a column for each size."""
    sizes = metrics.get("sizes")
    if not isinstance(sizes, Mapping) or not sizes:
        return None
    shown = [of for one in AT_SIZES for of in ((one, one.ratio) if one.baseline else (one,))]
    rows = [
        (metric.title, [_scaled(lookup(at, metric.key), metric) for at in (metrics, *sizes.values())])
        for metric in shown
    ]
    head = [f"{px} px" for px in (metrics.get("size_px"), *sizes)]
    return {"head": head, "rows": rows, "pictures": [lookup(at, "counts.content") for at in (metrics, *sizes.values())]}


def _scaled(value: object, metric: Metric) -> float | None:
    number = _finite(value)
    return None if number is None else number * metric.scale


def _limits(key: str, metrics: Metrics, thresholds: Thresholds) -> list[Shown]:
    """The limits on any value of a metric, and whether they are kept."""
    found = []
    for name, bounds in thresholds.items():
        if name.split(".")[0] != key:
            continue
        value, part = _finite(lookup(metrics, name)), name.partition(".")[2]
        prefix = "" if part in ("ratio", "mean", "share", "distance") else f"{part} "
        for bound, sign in (("max", "≤"), ("min", "≥")):
            if bound not in bounds:
                continue
            limit = bounds[bound]
            kept = value is not None and (value <= limit if bound == "max" else value >= limit)
            found.append({"text": f"{prefix}{sign} {limit:g}", "kept": kept})
    return found


def _attribute_edits(metrics: Metrics) -> Shown | None:
    """What became of attributes that were asked for, in all pictures and by what the pictures had before."""
    wishes, classifier = (lookup(metrics, f"attributes.{part}") for part in ("wishes", "classifier"))
    if not isinstance(wishes, Mapping) or not isinstance(classifier, Mapping):
        return None
    rows: list[tuple[str, list[object]]] = []
    by_edit: dict[str, Mapping[str, Any]] = {}
    for edit, found in wishes.items():
        right = lookup(classifier.get(edit.removeprefix("-"), {}), "accuracy")
        rows.append((edit, [*(lookup(found, key) for key in ("photos", "share", "pictures", "lpips")), right]))
        groups = lookup(found, "groups")
        by_edit[edit] = groups if isinstance(groups, Mapping) else {}
    names = list(dict.fromkeys(name for groups in by_edit.values() for name in groups))
    group_rows = [(edit, [lookup(groups.get(name, {}), "share") for name in names]) for edit, groups in by_edit.items()]
    different = _finite(lookup(metrics, "attributes.lpips.different"))
    return {"rows": rows, "groups": names, "group_rows": group_rows, "different": different}


def _interval(values: Mapping[str, Any], low: str, high: str) -> tuple[float, float] | None:
    """Both ends of an interval, None unless both are numbers."""
    ends = _finite(values.get(low)), _finite(values.get(high))
    return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])


def _finite(value: object) -> float | None:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if ok else None  # type: ignore[arg-type]
