"""The report: one HTML file that shows what a workspace made, to be opened anywhere without a network.

Pictures are data URIs, curves are SVG. What is missing is left out, and the last lines of the page say so.
"""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from atelier.models.card import MODEL_CARD, ModelCard
from atelier.tasks.dataset.shards import CARD, read_card
from atelier.tasks.evaluation.metric_catalogue import lookup
from atelier.tasks.evaluation.plots import NEAREST
from atelier.tasks.images.codec import BadImage, decode
from atelier.tasks.registry.tags import Version
from atelier.tasks.reports import nightly_section
from atelier.tasks.reports.charts import curve
from atelier.tasks.reports.html_page import MACROS, data_uri, page, render
from atelier.tasks.reports.metrics_table import metrics_table
from atelier.tasks.runtime.files import write
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.run_record import CANARY_SHEET, DATA_SHEET, RunRecord

MOST_PAIRS = 24
MOST_QUARANTINED = 200  # rows shown; the file has them all
SHEET_PX = 1600  # width that wide sheets are shrunk to
TEMPLATE = "workspace_report.html.j2"


@dataclass(frozen=True)
class RegistryInfo:
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
    root: Path,
    out: Path,
    registry: RegistryInfo = RegistryInfo(),
    night: RunRecord | None = None,
    pictures: Path | None = None,
) -> Path:
    """Write the report of a workspace.

    Args:
        root: the workspace, or its night; whatever it holds by now is shown.
        pictures: folder of what it left: the canaries, and pictures that came and went.

    Returns:
        `out`.
    """
    model = _card(root / "artifacts/style-model")
    metrics = read_object(root / "reports/evaluation.json")
    nearest = _nearest(root / "reports/evaluation" / NEAREST)
    name = Workspace(root.resolve()).name
    data_sheet, canary_sheet = _sheet(pictures, DATA_SHEET), _sheet(pictures, CANARY_SHEET)
    sections = {
        "Last night": nightly_section.night(night) if night else Markup(),
        **_evaluated(root / "reports/evaluation", metrics),
        **({"Nearest training pictures": nearest} if nearest else {}),  # of a model that generates
        "What changed in the data": nightly_section.data_changes(night, data_sheet) if night else Markup(),
        "How good it is": metrics_table(metrics, registry.previous_metrics, registry.thresholds, registry.previous),
        "Candidate and prod": nightly_section.candidate(night, canary_sheet) if night else Markup(),
        # a night that judged has told of it above
        **({} if night and night.version and night.reasons else {"The gate": _gate(registry)}),
        "Version by version": nightly_section.history_charts(registry.history),
        "Training": _training_curves(root / "reports/training/plots/metrics"),
        "What the model saw": _contact_sheet(root / "data/augmented/contact_sheet.png"),
        "The pictures": _dataset(root / "data/dataset"),
        "The model": _model(model, metrics, registry.version),
        "Made with": render(MACROS, "facts", known=registry.versions),
    }
    version = " ".join(part for part in (registry.version, registry.stage and f"@{registry.stage}") if part)
    write(out, page(name, version, _lead(model, metrics, registry.decision), sections))
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


def _lead(model: dict[str, Any], metrics: dict[str, Any], decision: str | None) -> Markup:
    """The summary at the top: what the model does, how well, and what was decided."""
    ratio, counts = lookup(metrics, "style.ratio"), metrics.get("counts")
    return render(
        TEMPLATE,
        "lead",
        model=model,
        kind=metrics.get("kind", ""),
        gone=100 * (1 - ratio) if isinstance(ratio, float) and 0 < ratio < 1 else None,
        held_out=counts.get("content") if isinstance(counts, dict) else None,
        decided=decision,
        css_class=decision and nightly_section.decision_class(decision),
    )


def _picture(path: Path, most_px: int) -> str | None:
    """A data URI of a picture, shrunk to a width; None when it cannot be read."""
    try:
        picture = decode(path.read_bytes())
    except (OSError, BadImage):
        return None
    return data_uri(picture, most_px)


def _sheet(folder: Path | None, name: str) -> str | None:
    return _picture(folder / name, SHEET_PX) if folder else None


def _evaluated(folder: Path, metrics: dict[str, Any]) -> dict[str, Markup]:
    """The section of held-out pictures, by its title: before and after; or beside generated ones."""
    if metrics.get("kind") != "generates":
        return {"Before and after": _before_and_after(folder)}
    uri = _picture(folder / "grid.png", SHEET_PX)
    caption = "Held-out pictures, and below them generated ones; those below each other have nothing to do with it."
    return {"Generated pictures": render(MACROS, "figure", uri=uri, caption=caption) if uri else Markup()}


def _before_and_after(folder: Path) -> Markup:
    """Held-out pictures before and after: a slider, a strip to choose from, all of them on one sheet."""
    pairs = []
    for before in sorted((folder / "pairs").glob("*-before.*"))[:MOST_PAIRS]:
        after = before.with_name(before.name.replace("-before.", "-after."))
        sides = _picture(before, 640), _picture(after, 640)
        if sides[0] and sides[1]:
            pairs.append((sides[0], sides[1], ""))
    sheet = _picture(folder / "grid.png", SHEET_PX)
    return render(TEMPLATE, "evaluated_pairs", pairs=pairs, sheet=sheet) if pairs else Markup()


def _nearest(path: Path) -> Markup:
    uri = _picture(path, SHEET_PX)
    caption = "The generated pictures that are nearest to a training picture, and below each that one, also by faces."
    return render(MACROS, "figure", uri=uri, caption=caption) if uri else Markup()


def _contact_sheet(path: Path) -> Markup:
    uri = _picture(path, SHEET_PX)
    return render(MACROS, "figure", uri=uri, caption="Originals and their variants.") if uri else Markup()


def _training_curves(folder: Path) -> Markup:
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
            charts.append((name, points[-1][1], chart))
    return render(MACROS, "charts", shown=charts)


def _gate(registry: RegistryInfo) -> Markup:
    if not registry.decision:
        return Markup()
    return render(
        TEMPLATE,
        "gate",
        decided=registry.decision,
        css_class=nightly_section.decision_class(registry.decision),
        previous=registry.previous,
        reasons=registry.reasons,
    )


def _dataset(folder: Path) -> Markup:
    if not (folder / CARD).is_file():
        return Markup()
    try:
        card = read_card(folder)
    except ValueError as error:
        return render(TEMPLATE, "damaged", reason=error)
    known = {key: value for key, value in card.facts.items() if key not in ("parameters", "index")}
    return render(
        TEMPLATE,
        "dataset",
        counts=[(domain, [card.rows(domain, split) for split in ("train", "holdout")]) for domain in card.domains],
        known={"dataset": card.id, "shards": len(card.shards), **known},
        parameters=card.facts.get("parameters"),
        quarantine=_quarantine(folder / "quarantine.csv"),
    )


def _quarantine(path: Path) -> Markup:
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = list(csv.reader(file))
    except (OSError, csv.Error):
        return Markup()
    head, rows = lines[:1], lines[1:]
    return render(
        TEMPLATE,
        "quarantine",
        head=head[0] if head else [],
        rows=rows[:MOST_QUARANTINED],
        hidden=max(0, len(rows) - MOST_QUARANTINED),
        file=path.name,
    )


def _model(model: dict[str, Any], metrics: dict[str, Any], version: str | None) -> Markup:
    if not model:
        return Markup()
    names = ("method", "encoder", "steps", "precision", "content_domain", "style_domain", "dataset", "training_set")
    card = {"version": version or "not registered", **{name: model[name] for name in names if name in model}}
    card["measured on dataset"] = metrics.get("dataset")
    parameters = {name: model[name] for name in ("train", "config", "augment") if isinstance(model.get(name), dict)}
    known = {key: value for key, value in card.items() if value is not None}
    return render(TEMPLATE, "model", known=known, parameters=parameters)
