"""The report: one HTML file that shows what a workspace made, to be opened anywhere without a network.

Pictures are data URIs, curves are SVG, and every word that comes from a file is escaped. What is missing is left out,
and the last lines of the page say so.
"""

import csv
import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from atelier.models.card import MODEL_CARD, ModelCard
from atelier.tasks.dataset.shards import CARD, read_card
from atelier.tasks.evaluation.metrics import lookup
from atelier.tasks.images.codec import BadImage, decode
from atelier.tasks.registry.tags import Version
from atelier.tasks.reports import nightly_section
from atelier.tasks.reports.charts import curve, number
from atelier.tasks.reports.html_page import before_and_after, data_uri, details, facts, figure, page, rows
from atelier.tasks.reports.metrics_table import table
from atelier.tasks.runtime.files import write
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.run_record import CANARY_SHEET, DATA_SHEET, RunRecord

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
    history: tuple[Version, ...] = ()  # all registered versions, the newest first
    versions: dict[str, str] = field(default_factory=dict)  # of software


def write_report(
    workspace_root: Path,
    out: Path,
    release: Release = Release(),
    night: RunRecord | None = None,
    pictures: Path | None = None,
) -> Path:
    """Write the report of a workspace.

    Args:
        workspace_root: the workspace, or its night; whatever it holds by now is shown.
        out: the HTML file to write.
        release: what the registry and the gate know.
        night: the last one.
        pictures: folder of what it left: the canaries, and pictures that came and went.

    Returns:
        `out`.
    """
    root = workspace_root
    model = _card(root / "artifacts/style-model")
    metrics = read_object(root / "reports/evaluation.json")
    name = Workspace(root.resolve()).name
    sections = {
        "Last night": nightly_section.night(night) if night else "",
        "Before and after": _pairs(root / "reports/evaluation"),
        "What changed in the data": nightly_section.data(night, _optional(pictures, DATA_SHEET)) if night else "",
        "How good it is": table(metrics, release.previous_metrics, release.thresholds, release.previous),
        "Candidate and prod": nightly_section.beside_prod(night, _optional(pictures, CANARY_SHEET)) if night else "",
        # a night that judged has told of it above
        **({} if night and night.version and night.reasons else {"The gate": _gate(release)}),
        "Version by version": nightly_section.past(release.history),
        "Training": _curves(root / "reports/training/plots/metrics"),
        "What the model saw": _sheet(root / "data/augmented/contact_sheet.png", "originals and their variants"),
        "The pictures": _dataset(root / "data/dataset"),
        "The model": _model(model, metrics, release),
        "Made with": facts(release.versions),
    }
    version = " ".join(part for part in (release.version, release.stage and f"@{release.stage}") if part)
    write(out, page(name, version, _lead(model, metrics, release), sections))
    return out


def _card(folder: Path) -> dict[str, Any]:
    """The content of a model card, empty when it is missing or damaged."""
    try:
        return ModelCard.parse((folder / MODEL_CARD).read_bytes(), str(folder)).content
    except (OSError, ValueError):
        return {}


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
        lines.append(
            f'<span class="decision {nightly_section.tone(release.decision)}">{escape(release.decision)}</span>'
        )
    return "".join(f"<p>{line}</p>" for line in lines)


def _picture(path: Path, most_px: int) -> str | None:
    """A data URI of a picture, shrunk to a width; None when it cannot be read."""
    try:
        picture = decode(path.read_bytes())
    except (OSError, BadImage):
        return None
    return data_uri(picture, most_px)


def _optional(folder: Path | None, name: str) -> str | None:
    return _picture(folder / name, SHEET_PX) if folder else None


def _pairs(folder: Path) -> str:
    """The slider, and a strip of pairs to choose from."""
    pairs = []
    for before in sorted((folder / "pairs").glob("*-before.*"))[:MOST_PAIRS]:
        after = before.with_name(before.name.replace("-before.", "-after."))
        sides = _picture(before, 640), _picture(after, 640)
        if sides[0] and sides[1]:
            pairs.append((sides[0], sides[1]))
    shown = before_and_after(pairs, "Held-out pictures: the model never saw them. Drag the line.")
    sheet = _sheet(folder / "grid.png", "photographs, what became of them, and pictures of the style")
    return shown and shown + details("All of them beside the style", sheet)


def _sheet(path: Path, caption: str) -> str:
    uri = _picture(path, SHEET_PX)
    if uri is None:
        return ""
    return figure(uri, f"{caption.capitalize()}.")


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
    tone = nightly_section.tone(release.decision)
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
    lines = "".join(
        f'<tr><th scope="row">{escape(domain)}</th><td class="n">{number(card.rows(domain, "train"))}</td>'
        f'<td class="n">{number(card.rows(domain, "holdout"))}</td></tr>'
        for domain in card.domains
    )
    counts = f'<table class="plain">{head}<tbody>{lines}</tbody></table>'
    known = {key: value for key, value in card.facts.items() if key not in ("parameters", "index")}
    told = facts({"dataset": card.id, "shards": len(card.shards), **known})
    parameters = details("How they were taken in", facts(card.facts.get("parameters")))
    return counts + told + parameters + _quarantine(folder / "quarantine.csv")


def _quarantine(path: Path) -> str:
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = list(csv.reader(file))
    except (OSError, csv.Error):
        return ""
    if len(lines) < 2:
        return '<p class="quiet">No picture is in quarantine.</p>'
    head, *found = lines
    hidden = len(found) - MOST_QUARANTINED
    more = f'<p class="quiet">… and {hidden:,} more in {escape(path.name)}.</p>' if hidden > 0 else ""
    return details(
        f"{len(found):,} in quarantine: they could not be used, and why", rows(head, found[:MOST_QUARANTINED]) + more
    )


def _model(model: dict[str, Any], metrics: dict[str, Any], release: Release) -> str:
    if not model:
        return ""
    names = ("method", "encoder", "steps", "precision", "content_domain", "style_domain", "dataset", "training_set")
    card = {"version": release.version or "not registered", **{name: model[name] for name in names if name in model}}
    card["measured on dataset"] = metrics.get("dataset")
    parameters = {name: model[name] for name in ("train", "config", "augment") if isinstance(model.get(name), dict)}
    known = {key: value for key, value in card.items() if value is not None}
    return facts(known) + details("Every parameter", facts(parameters))
