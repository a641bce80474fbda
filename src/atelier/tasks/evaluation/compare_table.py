"""The table of a comparison: a row for each metric, a column for each model."""

from collections.abc import Mapping, Sequence
from typing import Any

from atelier.tasks.evaluation import metric_catalogue as metrics
from atelier.tasks.evaluation.metric_catalogue import AT_SIZES, Metric, lookup

ROWS = (
    *(metrics.KID, metrics.KID.ratio, metrics.FRECHET, metrics.ARTFID, metrics.STYLE, metrics.STYLE.ratio),
    *(metrics.CONTENT.ratio, metrics.LPIPS, metrics.SSIM, metrics.DIVERSITY, metrics.CHECKERBOARD, metrics.REPETITION),
    metrics.INVERSION,
    *(metrics.ATTRIBUTES, metrics.EDIT_LPIPS, metrics.SPEED, metrics.PARAMETERS, metrics.MEGABYTES),
)


def cells(models: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The table's cells, the names first; metrics that no model has are left out."""
    same = len({model["style_domain"] for model in models}) == 1  # then the photographs' own values are a column
    table = [["", *(["photographs"] if same else []), *(str(model["name"]) for model in models)]]
    table.append(["Method", *([""] if same else []), *(str(model["method"]) for model in models)])
    if not same:
        table.append(["Style", *(str(model["style_domain"]) for model in models)])
    sizes = dict.fromkeys(px for model in models for px in model.get("sizes", {}))
    at_sizes = [one.at_size(px) for px in sizes for one in AT_SIZES]
    for row in (*ROWS, *at_sizes):
        values = [_value(model, row) for model in models]
        if any(values):
            table.append([row.title, *([_number(models[0], row.photos, row.scale)] if same else []), *values])
    wishes: list[Mapping[str, Any]] = [model.get("attributes", {}).get("wishes", {}) for model in models]
    for wish in dict.fromkeys(wish for of in wishes for wish in of):
        found = [of.get(wish, {}) for of in wishes]
        before = next(one["photos"] for one in found if one)
        shares = [_shown(one.get("share")) for one in found]
        table.append([f"{wish}, share", *([_shown(before)] if same else []), *shares])
    return table


def markdown(content: Mapping[str, Any], table: Sequence[Sequence[str]]) -> str:
    """The comparison as a page."""
    safe = [[cell.replace("|", "\\|") for cell in row] for row in table]
    widths = [max(3, *map(len, column)) for column in zip(*safe, strict=True)]
    lines = [_line(row, widths) for row in safe]
    lines.insert(1, _line(["-" * width for width in widths], widths))
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(content))]) + "\n"


def _notes(content: Mapping[str, Any]) -> list[str]:
    models = content["models"]
    counts, kid, fid = models[0]["counts"], models[0]["kid"]["metric"], models[0]["frechet"]["metric"]
    paintings = {model["style_domain"]: model["counts"]["style"] for model in models}
    notes = [
        f"{counts['content']} held-out pictures of {content['content_domain']} at {content['size_px']} px, against "
        f"{' and '.join(f'{count} of {style}' for style, count in paintings.items())}.",
        f"Brackets are 95 % bootstraps over parents. KID and Fréchet distance: {kid}, {fid}; style distance and change "
        f"of content in {models[0]['style']['encoder']}.",
    ]
    if content["indicative"]:
        notes.append("Indicative only: the pictures come from few parents.")
    flattered = [model["name"] for model in models if not model["style"]["independent"]]
    if flattered:
        notes.append(f"Not independent: the measuring encoder also trained {', '.join(flattered)}.")
    notes += dict.fromkeys(_classifier_note(model["attributes"]) for model in models if "attributes" in model)
    notes += [f"{name} could not be measured: {reason}" for name, reason in content["failed"].items()]
    return notes


def _classifier_note(attributes: Mapping[str, Any]) -> str:
    """How reliable the metrics of attributes are."""
    right = ", ".join(f"{name} {100 * of['accuracy']:.0f} %" for name, of in attributes["classifier"].items())
    lpips = attributes.get("lpips")
    apart = f" Two different photographs have an LPIPS of {_shown(lpips['different'])}." if lpips else ""
    how = "Attributes are recognised by a classifier that is right about so many real held-out pictures"
    return f"{how}: {right}.{apart}"


def _value(model: Mapping[str, Any], row: Metric) -> str:
    value = _number(model, row.key, row.scale)
    low, high = (_number(model, key, row.scale) for key in row.interval)
    return f"{value} [{low}, {high}]" if low and high else value


def _number(model: Mapping[str, Any], key: str, scale: float) -> str:
    return _shown(lookup(model, key) if key else None, scale)


def _shown(found: object, scale: float = 1.0) -> str:
    if not isinstance(found, int | float):
        return ""
    value = found * scale
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
    cells[0] = row[0].ljust(widths[0])
    return f"| {' | '.join(cells)} |"
