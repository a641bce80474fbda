"""The report: one HTML file that shows what a workspace made, to be opened anywhere without a network.

Pictures are data URIs, curves are SVG, and every word that comes from a file is escaped. What is missing is left out,
and the last lines of the page say so.
"""

import base64
import csv
import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from atelier import __version__
from atelier.tasks.charts import curve, number
from atelier.tasks.dataset import CARD, read_card
from atelier.tasks.images import BadImage, decode, encode, resize
from atelier.tasks.report_measures import lookup, table
from atelier.tasks.whole_files import write

TEMPLATE = Path(__file__).parent / "template" / "report.html"
MOST_PAIRS = 24
MOST_QUARANTINED = 200  # rows shown; the file has them all
SHEET_PX = 1600  # width that wide sheets are shrunk to


@dataclass(frozen=True)
class Release:
    """What only the registry and the gate know of a model; every field may be left out."""

    version: str | None = None  # as registered, such as "v1.2.0"
    previous: str | None = None  # the version that it was compared with
    stage: str | None = None  # such as "prod"
    decision: str | None = None  # "promoted", "registered", "refused"
    reasons: tuple[str, ...] = ()  # why it was decided so, a sentence each
    thresholds: dict[str, dict[str, float]] = field(default_factory=dict)  # {"kid.ratio": {"max": 0.6}}
    previous_metrics: dict[str, Any] = field(default_factory=dict)  # the evaluation of the previous version
    versions: dict[str, str] = field(default_factory=dict)  # of software


def write_report(workspace_root: Path, out: Path, release: Release = Release()) -> Path:
    """Write the report of a workspace.

    Args:
        workspace_root: the workspace; whatever it holds by now is shown.
        out: the HTML file to write.
        release: what the registry and the gate know.

    Returns:
        `out`.
    """
    root = workspace_root
    model = read_object(root / "artifacts/style-model/model.json")
    metrics = read_object(root / "reports/evaluation.json")
    sections = {
        "Before and after": _pairs(root / "reports/evaluation"),
        "How good it is": table(metrics, release.previous_metrics, release.thresholds, release.previous),
        "The gate": _gate(release),
        "Training": _curves(root / "reports/training/plots/metrics"),
        "What the model saw": _sheet(root / "data/augmented/contact_sheet.png", "originals and their variants"),
        "The pictures": _dataset(root / "data/dataset"),
        "The model": _model(model, metrics, release),
        "Made with": _facts(release.versions),
    }
    body = "\n".join(
        f'<section id="{title.lower().replace(" ", "-")}"><h2>{title}</h2>{content}</section>'
        for title, content in sections.items()
        if content
    )
    missing = [title.lower() for title, content in sections.items() if not content]
    note = f"Not there yet, and left out: {', '.join(missing)}." if missing else ""
    name = root.resolve().name
    version = " ".join(part for part in (release.version, release.stage and f"@{release.stage}") if part)
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"{name} {version}".strip()),
        name=escape(name),
        version=f'<p class="version">{escape(version)}</p>' if version else "",
        lead=_lead(model, metrics, release),
        body=body,
        note=escape(note),
        atelier=escape(__version__),
    )
    write(out, page.encode())
    return out


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, empty when the file is missing or damaged: a report shows what can be read."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _lead(model: dict[str, Any], metrics: dict[str, Any], release: Release) -> str:
    """The label beside the picture: a sentence or two for someone who reads nothing else."""
    lines = []
    if model:
        names = ("method", "content_domain", "style_domain")
        method, content, style = (escape(str(model.get(name, "?"))) for name in names)
        lines.append(f"A <em>{method}</em> generator that turns {content} into {style}.")
    ratio = lookup(metrics, "style.ratio")
    if isinstance(ratio, float) and 0 < ratio < 1:
        counts = metrics.get("counts")
        held = counts.get("content") if isinstance(counts, dict) else None
        gone = number(100 * (1 - ratio), 2)
        lines.append(f"On {number(held)} photographs it never saw, {gone} % of the distance from the style is gone.")
    if release.decision:
        lines.append(f'<span class="decision {_tone(release.decision)}">{escape(release.decision)}</span>')
    return "".join(f"<p>{line}</p>" for line in lines)


def _tone(decision: str) -> str:
    return {"promoted": "good", "refused": "bad"}.get(decision, "calm")


def _picture(path: Path, most_px: int) -> str | None:
    """A data URI of a picture, shrunk to a width; None when it cannot be read."""
    try:
        picture = decode(path.read_bytes())
    except (OSError, BadImage):
        return None
    height, width = picture.shape[:2]
    if width > most_px:
        picture = resize(picture, most_px, max(1, round(height * most_px / width)))
    return "data:image/jpeg;base64," + base64.b64encode(encode(picture, "jpeg", quality=88)).decode()


def _pairs(folder: Path) -> str:
    """The slider, and a strip of pairs to choose from."""
    pairs = []
    for before in sorted((folder / "pairs").glob("*-before.*"))[:MOST_PAIRS]:
        after = before.with_name(before.name.replace("-before.", "-after."))
        sides = _picture(before, 640), _picture(after, 640)
        if all(sides):
            pairs.append(sides)
    if not pairs:
        return ""
    before_uri, after_uri = pairs[0]
    sheet = _sheet(folder / "grid.png", "photographs, what became of them, and pictures of the style")
    details = _details("All of them beside the style", sheet)
    strip = "".join(
        f'<button type="button" aria-label="pair {i}"{" aria-current=true" if i == 1 else ""}>'
        f'<img src="{before}" alt="before"><img src="{after}" alt="after"></button>'
        for i, (before, after) in enumerate(pairs, 1)
    )
    return (
        '<figure class="stage"><div class="compare">'
        f'<img class="after" src="{after_uri}" alt="after"><img class="before" src="{before_uri}" alt="before">'
        '<span class="tag left">photograph</span><span class="tag right">stylized</span><span class="handle"></span>'
        '<input type="range" min="0" max="100" value="50" aria-label="how much of the photograph is shown"></div>'
        f"<figcaption>Held-out pictures: the model never saw them. Drag the line.</figcaption></figure>"
        f'<div class="strip">{strip}</div>{details}'
    )


def _sheet(path: Path, caption: str) -> str:
    uri = _picture(path, SHEET_PX)
    if uri is None:
        return ""
    picture = f'<div class="wide"><img src="{uri}" alt="{caption}"></div>'
    return f"<figure>{picture}<figcaption>{caption.capitalize()}.</figcaption></figure>"


def _curves(folder: Path) -> str:
    charts = []
    for path in sorted(folder.rglob("*.tsv")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        points = []
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                try:
                    points.append((float(row["step"]), float(row[path.stem])))
                except (KeyError, TypeError, ValueError):
                    continue
        if chart := curve(name, points):
            last = number(points[-1][1])
            charts.append(
                f'<figure class="chart"><figcaption>{escape(name)} <b>{last}</b></figcaption>{chart}</figure>'
            )
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def _gate(release: Release) -> str:
    if not release.decision:
        return ""
    against = f" Compared with {escape(release.previous)}." if release.previous else ""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in release.reasons)
    tone = _tone(release.decision)
    text = f'<p><span class="decision {tone}">{escape(release.decision)}</span>{against}</p>'
    return f"{text}<ul>{reasons}</ul>" if reasons else text


def _dataset(folder: Path) -> str:
    if not (folder / CARD).is_file():
        return ""
    try:
        card = read_card(folder)
    except ValueError as error:
        return f"<p>{escape(str(error))}</p>"
    head = '<thead><tr><th></th><th class="n">to learn from</th><th class="n">held out</th></tr></thead>'
    rows = "".join(
        f'<tr><th scope="row">{escape(domain)}</th><td class="n">{number(card.rows(domain, "train"))}</td>'
        f'<td class="n">{number(card.rows(domain, "holdout"))}</td></tr>'
        for domain in card.domains
    )
    counts = f'<table class="plain">{head}<tbody>{rows}</tbody></table>'
    known = {key: value for key, value in card.facts.items() if key not in ("parameters", "index")}
    facts = _facts({"dataset": card.id, "shards": len(card.shards), **known})
    parameters = _details("How they were taken in", _facts(card.facts.get("parameters")))
    return counts + facts + parameters + _quarantine(folder / "quarantine.csv")


def _quarantine(path: Path) -> str:
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.reader(file))
    except (OSError, csv.Error):
        return ""
    if len(rows) < 2:
        return '<p class="quiet">No picture is in quarantine.</p>'
    head, *found = rows
    columns = "".join(f"<th>{escape(name)}</th>" for name in head)
    cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in found[:MOST_QUARANTINED])
    shown = "".join(f"<tr>{row}</tr>" for row in cells)
    hidden = len(found) - MOST_QUARANTINED
    more = f'<p class="quiet">… and {hidden:,} more in {escape(path.name)}.</p>' if hidden > 0 else ""
    return (
        f"<details><summary>{len(found):,} in quarantine: they could not be used, and why</summary>"
        f'<div class="wide"><table class="plain"><thead><tr>{columns}</tr></thead><tbody>{shown}</tbody></table></div>'
        f"{more}</details>"
    )


def _model(model: dict[str, Any], metrics: dict[str, Any], release: Release) -> str:
    if not model:
        return ""
    names = ("method", "encoder", "steps", "precision", "content_domain", "style_domain", "dataset", "training_set")
    card = {"version": release.version or "not registered", **{name: model[name] for name in names if name in model}}
    card["measured on dataset"] = metrics.get("dataset")
    parameters = {name: model[name] for name in ("train", "config", "augment") if isinstance(model.get(name), dict)}
    known = {key: value for key, value in card.items() if value is not None}
    return _facts(known) + _details("Every parameter", _facts(parameters))


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>{content}</details>" if content else ""


def _facts(facts: object) -> str:
    """Names and values, nested names joined by dots; empty when there is nothing to tell."""
    pairs = _flat(facts, "") if isinstance(facts, dict) else []
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f"<dl>{rows}</dl>" if rows else ""


def _flat(facts: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, dict):
            flat += _flat(value, f"{name} · ")
        elif isinstance(value, str) and len(value) == 64 and value.isalnum():
            flat.append((name, value[:12]))  # a sha256: its beginning tells it apart
        elif isinstance(value, list):
            flat.append((name, ", ".join(map(str, value))))
        else:
            # a parameter is shown as it was written, a count with its thousands apart
            flat.append((name, f"{value:,}" if type(value) is int else str(value)))
    return flat
