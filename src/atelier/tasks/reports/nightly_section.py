"""The report's sections about a night: what it did, what came into the data, and candidate beside `prod`."""

from collections.abc import Sequence
from html import escape

from atelier.tasks.dataset.checks import HEADER, Finding, problems
from atelier.tasks.dataset.checks import rows as finding_rows
from atelier.tasks.evaluation.metrics import value
from atelier.tasks.registry.tags import Version
from atelier.tasks.reports.charts import history, number
from atelier.tasks.reports.html_page import details, facts, figure, rows
from atelier.tasks.workspace.run_record import FAILED, PROMOTED, STOPPED, UNCHANGED, RunRecord

NAMES = {"kid.ratio": "Kernel distance", "style.ratio": "Style distance", "ssim.mean": "SSIM of luminance"}
SHOWN = 40  # versions in the history


def tone(decision: str) -> str:
    """The class of a decision's colour."""
    return {PROMOTED: "good", "refused": "bad", STOPPED: "bad", FAILED: "bad"}.get(decision, "calm")


def night(found: RunRecord) -> str:
    """What the night did, step by step, and what it cost."""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in found.reasons)
    named = f" {escape(found.version)}" if found.version else ""
    said = f'<p><span class="decision {tone(found.decision)}">{escape(found.decision)}</span>{named}</p>'
    if found.decision == FAILED:
        said += "<p>The workspace and prod are as they were; the next run continues where this one stopped.</p>"
    steps = [(name, found.stages.get(name, ""), f"{seconds:,.1f} s") for name, seconds in found.seconds.items()]
    cost: dict[str, object] = {"began": found.started, "took": _duration(3600 * found.hours)}
    if found.cpus:
        held = f"{found.cpus * found.hours:.2f} CPU hours, {found.gpus * found.hours:.2f} GPU hours"
        cost["cost at most"] = f"{held} (the time times the cluster's {found.cpus} CPUs and {found.gpus} GPUs)"
    restyled = facts({"restyled": dict(found.restyled)}) if found.restyled else ""
    problems = "".join(f"<li>{escape(problem)}</li>" for problem in found.problems)
    return (
        said
        + (f"<ul>{reasons}</ul>" if reasons else "")
        + (f"<p>What did not work, and is tried again by the next night:</p><ul>{problems}</ul>" if problems else "")
        + (rows(("step", "", "took"), steps) if found.decision != UNCHANGED else "")
        + facts(cost)
        + restyled
    )


def data(found: RunRecord, sheet: str | None) -> str:
    """What has come and gone since `prod` was trained, and what the checks say of it.

    Args:
        found: the night.
        sheet: pictures that came and went as a data URI, where there are any.
    """
    if not found.data:
        return ""
    table = [
        (domain, *(f"{counts.get(name, 0):,}" for name in ("added", "removed", "pictures")))
        for domain, counts in found.data.items()
    ]
    findings = [Finding(**finding) for finding in found.findings]
    ordered = sorted(findings, key=lambda finding: finding.passed)
    checks = rows(HEADER, finding_rows(ordered))
    stopped = len(problems(findings))
    summary = f"{len(findings)} checks, {f'{stopped} not passed' if stopped else 'all passed'}"
    pictures = figure(sheet, "Pictures that came and went since prod was trained.") if sheet else ""
    counts = rows(("", "added", "removed", "pictures"), table)
    return counts + pictures + (checks if stopped else details(summary, checks))


def beside_prod(found: RunRecord, sheet: str | None) -> str:
    """Candidate and `prod` on the same pictures.

    Args:
        found: the night.
        sheet: the canary pictures as a data URI, where there are any.
    """
    if not found.differences:
        return ""
    against = found.previous or "prod"
    head = ("", f"{found.version or 'candidate'}", against, "difference", "95 % interval")
    table = [
        (
            NAMES.get(key, key),
            number(one["candidate"]),
            number(one["prod"]),
            _signed(one["candidate"] - one["prod"]),
            f"{_signed(one['low'])} … {_signed(one['high'])}",
        )
        for key, one in found.differences.items()
    ]
    note = '<p class="quiet">The two distances are shares of the photographs’ own: less is better. Of SSIM more is.</p>'
    return (
        rows(head, table)
        + note
        + (figure(sheet, "The canary pictures: before, by prod, by the candidate.") if sheet else "")
    )


def past(versions: Sequence[Version]) -> str:
    """The headline measures over the versions, the oldest first."""
    shown = list(reversed(versions[:SHOWN]))
    charts = []
    for key, name in NAMES.items():
        points = [(v.version, value(v.metrics, key), v.passed) for v in shown]
        if chart := history(name, points):
            charts.append(f'<figure class="chart"><figcaption>{escape(name)}</figcaption>{chart}</figure>')
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)
