"""Sections about a nightly run: what it did, what changed in the data, the candidate beside `prod`, past versions."""

from collections.abc import Sequence

from markupsafe import Markup

from atelier.tasks.dataset.checks import HEADER, Finding, failed_checks, finding_rows
from atelier.tasks.evaluation.metric_catalogue import HEADLINE, value
from atelier.tasks.registry.tags import Version
from atelier.tasks.reports.charts import history, number
from atelier.tasks.reports.html_page import MACROS, render
from atelier.tasks.workspace.run_record import FAILED, PROMOTED, REFUSED, STOPPED, UNCHANGED, RunRecord

LABELS = {one.key: one.label for one in HEADLINE}
SHOWN = 40  # versions in the history
TEMPLATE = "nightly_section.html.j2"


def decision_class(decision: str) -> str:
    """CSS class of a decision: its colour."""
    return {PROMOTED: "good", REFUSED: "bad", STOPPED: "bad", FAILED: "bad"}.get(decision, "calm")


def night(run: RunRecord) -> Markup:
    """What the nightly run did, step by step, and what it cost."""
    steps = [(name, run.stages.get(name, ""), f"{seconds:,.1f} s") for name, seconds in run.seconds.items()]
    cost = {"began": run.started, "took": _duration(3600 * run.hours)}
    if run.cpus:
        held = f"{run.cpus * run.hours:.2f} CPU hours, {run.gpus * run.hours:.2f} GPU hours"
        cost["cost at most"] = f"{held} (the time times the cluster's {run.cpus} CPUs and {run.gpus} GPUs)"
    return render(
        TEMPLATE,
        "night",
        night=run,
        css_class=decision_class(run.decision),
        failed=run.decision == FAILED,
        steps=None if run.decision == UNCHANGED else steps,
        cost=cost,
    )


def data_changes(run: RunRecord, sheet: str | None) -> Markup:
    """Pictures added and removed since `prod` was trained, and the data checks."""
    if not run.data:
        return Markup()
    counts = [
        (domain, *(f"{counts.get(name, 0):,}" for name in ("added", "removed", "pictures")))
        for domain, counts in run.data.items()
    ]
    findings = sorted((Finding(**finding) for finding in run.findings), key=lambda finding: finding.passed)
    return render(
        TEMPLATE,
        "data_changes",
        counts=counts,
        sheet=sheet,
        header=HEADER,
        checks=finding_rows(findings),
        stopped=bool(failed_checks(findings)),
    )


def candidate(run: RunRecord, sheet: str | None) -> Markup:
    """Metrics of candidate and `prod` on the same pictures."""
    if not run.differences:
        return Markup()
    head = ("", run.version or "candidate", run.previous or "prod", "difference", "95 % interval")
    compared = [
        (
            LABELS.get(key, key),
            number(one["candidate"]),
            number(one["prod"]),
            _signed(one["candidate"] - one["prod"]),
            f"{_signed(one['low'])} … {_signed(one['high'])}",
        )
        for key, one in run.differences.items()
    ]
    return render(TEMPLATE, "candidate", head=head, rows=compared, sheet=sheet)


def history_charts(versions: Sequence[Version]) -> Markup:
    """The headline metrics over the versions, the oldest first."""
    shown = list(reversed(versions[:SHOWN]))
    charts = []
    for key, name in LABELS.items():
        points = [(v.version, value(v.metrics, key), v.passed) for v in shown]
        if chart := history(name, points):
            charts.append((name, None, chart))
    return render(MACROS, "charts", shown=charts)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)
