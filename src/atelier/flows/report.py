"""The HTML report of a workspace, and its summary for the terminal."""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from atelier.flows.config.params import Params
from atelier.tasks.dataset.shards import CARD, read_card
from atelier.tasks.evaluation.metric_catalogue import ATTRIBUTES, KID, SSIM, STYLE
from atelier.tasks.registry.tags import MODEL, PROD, Version, find_prod, list_versions
from atelier.tasks.reports.workspace_report import RegistryInfo, write_report
from atelier.tasks.workspace import run_record
from atelier.tasks.workspace.layout import Workspace

PACKAGES = ("atelier", "torch", "ray", "prefect", "dvc")


def write(workspace: Workspace) -> Path:
    """Write reports/index.html from the workspace's files, its registry and the record of the last run.

    If the last run evaluated a candidate that did not become `prod`, the report shows that candidate.
    """
    known = list_versions(workspace)
    night = _last_run(workspace, known)
    shown = _shown(workspace, night)
    newest = known[0] if known else None
    if night is not None and night.version:
        newest = next((one for one in known if one.version == night.version), newest)
    others = [one for one in known if newest and one.version != newest.version]
    named = night.previous if night is not None and night.version else None
    previous = next((one for one in others if one.version == named), others[0] if others else None)
    metrics = night.prod_metrics if night is not None and night.prod_metrics else previous.metrics if previous else {}
    registry = RegistryInfo(
        version=newest.version if newest else None,
        previous=previous.version if previous else None,
        stage=newest.stage if newest else None,
        decision=_decision(newest) if newest else None,
        reasons=tuple(newest.reasons) if newest else (),
        thresholds=Params(workspace.params).gate.thresholds,
        previous_metrics=metrics,
        history=tuple(known),
        versions={name: version(name) for name in PACKAGES},
    )
    return write_report(shown.root, workspace.report, registry, night, run_record.folder(workspace))


def summarize(workspace: Workspace) -> str:
    """Dataset, model and metrics of a workspace in a few lines, and what to do next.

    A candidate that did not become `prod` is shown as the report shows it.

    Raises:
        ValueError: the dataset is damaged.
    """
    known = list_versions(workspace)
    night = _last_run(workspace, known)
    shown = _shown(workspace, night)
    if not (shown.dataset / CARD).is_file():
        last = f"the last run: {night.decision}, {'; '.join(night.reasons)}" if night else "run `atelier retrain`"
        return f"{workspace.name}: no dataset and no model yet; {last}\nreport:  {workspace.report}"
    card = read_card(shown.dataset)
    lines = [f"{workspace.name}: dataset {card.id[:12]} with {card.rows()} pictures"]
    if not shown.evaluation.is_file() or not known:
        return "\n".join([*lines, "no model yet: run `atelier retrain`"])
    newest = known[0]
    lines.append(f"{MODEL} {newest.version}: {_decision(newest)}")
    lines += [f"  {line}" for line in _measures(json.loads(shown.evaluation.read_text()))]
    if not newest.passed and newest.stage != PROD:
        lines += [f"  {reason}" for reason in newest.reasons]
    lines.append(f"report:  {workspace.report}")
    steps = night.next_steps if night else ()
    if steps or find_prod(known) is None:
        return "\n".join([*lines, *(["next, the most useful first:"] if steps else []), *(f"  {s}" for s in steps)])
    here = f"--workspace {workspace.root}"
    lines += [
        "next:",
        f"  atelier stylize YOUR_PICTURES RESTYLED --model {MODEL}@prod {here}",
        f"  atelier stylize YOUR_PICTURES SOFTER --model {MODEL}@prod --strength 0.6 {here}",
    ]
    sources = [str(one) for some in Params(workspace.params).ingest.domains.values() for one in some]
    if any(one.startswith("sample://") for one in sources):  # the demo
        lines.append("  atelier init my-style --content YOUR_PHOTOS --style YOUR_PAINTINGS")
    return "\n".join(lines)


def _last_run(workspace: Workspace, known: Sequence[Version]) -> run_record.RunRecord | None:
    """The record of the last run; nothing is to be done about a refused version that a person made `prod`."""
    night = run_record.read_record(workspace)
    if night is None or not any(one.version == night.version and one.stage == PROD for one in known):
        return night
    return replace(night, next_steps=())


def _shown(workspace: Workspace, night: run_record.RunRecord | None) -> Workspace:
    """Where the results lie that are reported: the worktree, if the last run left a candidate there."""
    left = night is not None and night.has_candidate and workspace.worktree.evaluation.is_file()
    return workspace.worktree if left else workspace


def _decision(entry: Version) -> str:
    return "promoted" if entry.stage == "prod" else "registered" if entry.passed else "refused"


def _measures(metrics: dict[str, Any]) -> list[str]:
    """The main metrics on the held-out pictures, in words."""
    kid, style, ssim = metrics["kid"], metrics["style"], metrics.get("ssim")
    attributes = metrics.get("attributes")
    indicative = " (indicative: few parents are held out)" if metrics["indicative"] else ""
    distance = f"{KID.scale * kid['stylized']:.1f}"
    if "photos" in kid:  # a model that makes pictures from noise has none
        ratio = f"ratio {kid['ratio']:.2f}" if "ratio" in kid else "too near for a ratio"
        distance += f", photographs {KID.scale * kid['photos']:.1f} ({ratio})"
    lines = [
        f"on {metrics['counts']['content']} held-out pictures{indicative}:",
        f"{KID.title} to the {'paintings' if 'photos' in kid else 'real pictures'} ({kid['metric']}): {distance}",
    ]
    if "ratio" in style:
        lines.append(f"{STYLE.ratio.label} ({style['encoder']}): {style['ratio']:.2f}")
    if ssim:
        lines.append(f"{SSIM.label}, structure kept: {ssim['mean']:.2f}")
    if attributes:
        before = f"without a change {attributes['photos']:.2f}"
        lines.append(f"{ATTRIBUTES.label}, {ATTRIBUTES.meaning}: {attributes['share']:.2f}, {before}")
    return lines
