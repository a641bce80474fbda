"""The report's table of measures: each beside its baseline, its limit, and the last version."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from atelier.tasks.evaluation.metrics import lookup
from atelier.tasks.reports.charts import number, ratio_bar


@dataclass(frozen=True)
class Measure:
    """A row of the table."""

    key: str  # of evaluation.json
    name: str
    meaning: str
    scale: float = 1.0  # what the values are multiplied with to be read


MEASURES = (
    Measure("kid", "Kernel distance", "how far the pictures as a whole are from the paintings, × 1000", 1000),
    Measure("frechet", "Fréchet distance", "the same, as a distance of Gaussians; biased by few pictures"),
    Measure("artfid", "ArtFID", "(1 + LPIPS) · (1 + FID): content and style in one number"),
    Measure("style", "Style distance", "how far the textures are from the paintings'"),
    Measure("content", "Change of content", "0 is untouched, 1 is another photograph"),
    Measure("diversity", "Diversity", "how much the pictures differ from each other"),
    Measure("checkerboard", "Grid", "how far an upsampling grid stands out of the spectrum; 1 is none"),
)


def table(
    metrics: Mapping[str, Any],
    previous: Mapping[str, Any],
    thresholds: Mapping[str, Mapping[str, float]],
    previous_name: str | None,
) -> str:
    """HTML of all measures that are there; empty when none is.

    Args:
        metrics: of this model, as `reports/evaluation.json`.
        previous: of the version that it is compared with, may be empty.
        thresholds: limits by key: `{"kid.ratio": {"max": 0.6}}`.
        previous_name: how the other version is called.
    """
    rows = [
        _row(measure, metrics, previous, thresholds)
        for measure in MEASURES
        if isinstance(metrics.get(measure.key), dict)
    ]
    singles = _singles(metrics, previous, thresholds)
    if not rows and not singles:
        return ""
    last = f'<th class="n">{escape(previous_name or "last version")}</th>' if previous else ""
    head = (
        '<thead><tr><th>measure</th><th class="n">photographs</th><th class="n">stylized</th>'
        f'<th>ratio</th><th class="n"></th>{last}<th class="n">limit</th></tr></thead>'
    )
    ratios = f'<table class="measures">{head}<tbody>{"".join(rows)}</tbody></table>' if rows else ""
    return ratios + singles + _attributes(metrics) + _notes(metrics)


def _row(
    measure: Measure,
    metrics: Mapping[str, Any],
    previous: Mapping[str, Any],
    thresholds: Mapping[str, Mapping[str, float]],
) -> str:
    values = metrics[measure.key]
    ratio, low, high = (_finite(values.get(name)) for name in ("ratio", "ratio_low", "ratio_high"))
    limit = thresholds.get(f"{measure.key}.ratio", {})
    bar = "" if ratio is None else ratio_bar(ratio, low, high, limit.get("max", limit.get("min")))
    interval = "" if low is None or high is None else f"<small>{number(low, 2)} – {number(high, 2)}</small>"
    source = values.get("metric") or values.get("encoder")
    detail = f" <small>{escape(str(source))}</small>" if source else ""
    photos, stylized = (_scaled(values.get(name), measure.scale) for name in ("photos", "stylized"))
    before = _cell("last version", number(lookup(previous, f"{measure.key}.ratio"))) if previous else ""
    return (
        f'<tr><th scope="row">{measure.name}{detail}<span class="meaning">{measure.meaning}</span></th>'
        f"{_cell('photographs', photos)}{_cell('stylized', stylized)}"
        f'<td class="bar">{bar}</td><td class="n ratio-value" data-label="ratio">{number(ratio)}{interval}</td>'
        f"{before}{_cell('limit', _limits(measure.key, metrics, thresholds))}</tr>"
    )


def _singles(
    metrics: Mapping[str, Any], previous: Mapping[str, Any], thresholds: Mapping[str, Mapping[str, float]]
) -> str:
    """Measures without a baseline, as large numbers."""
    wanted = (
        ("ssim.mean", "SSIM of luminance", "1 is the photograph itself"),
        ("lpips.mean", "LPIPS", "how different from the photograph it looks; 0 is itself"),
        ("inversion.share", "inverted", "share of pictures with light and dark exchanged"),
        ("speed.images_per_second", "pictures a second", "on one core, at the training size"),
        ("counts.content", "held-out photographs", "measured"),
    )
    cells = []
    for key, name, meaning in wanted:
        value = lookup(metrics, key)
        if _finite(value) is None:
            continue
        notes = [meaning]
        low, high = (lookup(metrics, f"{key.split('.')[0]}.{end}") for end in ("low", "high"))
        if _finite(low) is not None and _finite(high) is not None:
            notes.append(f"{number(low, 2)} – {number(high, 2)}")
        if _finite(lookup(previous, key)) is not None and not key.startswith("counts"):
            notes.append(f"last version {number(lookup(previous, key))}")
        if limit := _limits(key.split(".")[0], metrics, thresholds):
            notes.append(limit)
        cells.append(f"<div><dt>{name}</dt><dd>{number(value)}</dd><small>{'<br>'.join(notes)}</small></div>")
    return f'<dl class="big">{"".join(cells)}</dl>' if cells else ""


def _limits(key: str, metrics: Mapping[str, Any], thresholds: Mapping[str, Mapping[str, float]]) -> str:
    """The limits on any value of a measure, each with whether it is kept."""
    texts = []
    for name, bounds in thresholds.items():
        if name.split(".")[0] != key:
            continue
        value, part = _finite(lookup(metrics, name)), name.partition(".")[2]
        for bound, sign in (("max", "≤"), ("min", "≥")):
            if bound not in bounds:
                continue
            limit = bounds[bound]
            kept = value is not None and (value <= limit if bound == "max" else value >= limit)
            mark = '<span class="good">✓</span>' if kept else '<span class="bad">✗</span>'
            prefix = "" if part in ("ratio", "mean", "share") else f"{escape(part)} "
            texts.append(f"<span>{prefix}{sign} {limit:g} {mark}</span>")
    return "<br>".join(texts)


def _attributes(metrics: Mapping[str, Any]) -> str:
    """What became of attributes that were asked for, in all pictures and in those that had another one."""
    wishes, classifier = (lookup(metrics, f"attributes.{part}") for part in ("wishes", "classifier"))
    if not isinstance(wishes, Mapping) or not isinstance(classifier, Mapping):
        return ""
    heads = ("shown before", "shown after", "pictures", "LPIPS", "classifier right")
    rows, groups = [], []
    for wish, found in wishes.items():
        right = lookup(classifier.get(wish.removeprefix("-"), {}), "accuracy")
        values = (*(lookup(found, key) for key in ("photos", "share", "pictures", "lpips")), right)
        rows.append((wish, [number(value) for value in values]))
        of = lookup(found, "groups")
        groups.append((wish, of if isinstance(of, Mapping) else {}))
    names = list(dict.fromkeys(name for _, of in groups for name in of))
    parts = [(wish, [number(lookup(of.get(name, {}), "share")) for name in names]) for wish, of in groups]
    different = _finite(lookup(metrics, "attributes.lpips.different"))
    apart = "" if different is None else f" Two different pictures have an LPIPS of {number(different)}."
    return (
        f"{_plain('asked for', heads, rows)}"
        '<p class="quiet">Shares of the pictures that were not so before, as a classifier tells that learned from real '
        f"pictures; beside it the share of real held-out pictures that it is right about.{apart}</p>"
        "<details><summary>By what the pictures had before</summary>"
        f'<div class="wide">{_plain("asked for", names, parts)}</div></details>'
    )


def _plain(first: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    head = "".join(f'<th class="n">{escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>"
        for name, cells in rows
    )
    return f'<table class="plain"><thead><tr><th>{first}</th>{head}</tr></thead><tbody>{body}</tbody></table>'


def _notes(metrics: Mapping[str, Any]) -> str:
    notes = ["A ratio is the stylized pictures' value over the photographs': what is left when the model did its work."]
    if isinstance(metrics.get("kid"), dict) and "ratio_low" in metrics["kid"]:
        notes.append("Intervals are 95 % bootstraps over parents.")
    counts = metrics.get("counts")
    if metrics.get("indicative") and isinstance(counts, dict):
        photos, paintings = (number(counts.get(f"{side}_groups")) for side in ("content", "style"))
        notes.append(
            f"<strong>Indicative only:</strong> the held-out pictures come from {photos} photographed and {paintings} "
            "painted parents."
        )
    if lookup(metrics, "style.independent") is False:
        notes.append(
            "<strong>Not independent:</strong> the measuring encoder also trained the model, so these numbers flatter "
            "it; <code>atelier encoders pull inception</code> fetches another."
        )
    return "".join(f'<p class="quiet">{note}</p>' for note in notes)


def _cell(label: str, text: str) -> str:
    return f'<td class="n" data-label="{label}">{text}</td>'


def _finite(value: object) -> float | None:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if ok else None  # type: ignore[arg-type]


def _scaled(value: object, scale: float) -> str:
    finite = _finite(value)
    return number(None if finite is None else finite * scale)
