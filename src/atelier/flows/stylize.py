"""The flow `stylize`: restyle an archive of pictures, each picture once."""

import shlex
from pathlib import PurePosixPath

from atelier.tasks.bulk.dry_run import DryRun, dry_run
from atelier.tasks.bulk.inputs import kinds_text
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import StylizeSummary

CONTINUE = "run the same command again to continue"


class JobCancelled(RuntimeError):  # noqa: N818 (a request, not an error)
    """A person cancelled the run of a job in Prefect."""


def estimate(job: StylizeRequest) -> DryRun:
    """Work, time and size of a job, estimated from a sample; writes nothing."""
    from atelier.flows.runs.services import services

    with services(None, "stylize"):
        from atelier.tasks.runtime import cluster

        return dry_run(job, connect=cluster.connect)


def run(job: StylizeRequest, *, quiet: bool = False) -> StylizeSummary:
    """Run a job as a Prefect flow; `quiet` shows no progress.

    Raises:
        JobCancelled: a person cancelled it.
        Other errors: as `tasks.bulk.stylize.stylize`.
    """
    from atelier.flows.runs.services import services

    with services(None, "stylize"):
        from prefect import flow, states
        from prefect.client.schemas.objects import State
        from prefect.exceptions import CancelledRun

        from atelier.flows.runs.cancellation import Cancelled, cancellable
        from atelier.flows.runs.orphans import end_orphans, tag_with_process
        from atelier.flows.runs.prefect_artifacts import table_artifact
        from atelier.flows.runs.progress import show_progress
        from atelier.tasks.bulk.stylize import stylize
        from atelier.tasks.runtime import cluster

        name = f"stylize {PurePosixPath(str(job.destination)).name}"

        @flow(name="stylize", flow_run_name=name, validate_parameters=False)
        def stylize_flow() -> StylizeSummary | State[StylizeSummary]:
            tag_with_process()
            try:
                with cancellable(), show_progress("stylize", quiet=quiet) as report:
                    summary = stylize(job, report, connect=cluster.connect)
            except Cancelled:
                return states.Cancelled(message=CONTINUE)
            counts = {k: getattr(summary, k) for k in ("total", "done", "skipped", "quarantined", "pending")}
            table_artifact(job.destination, "stylized", [counts], f"{job.model_name} {job.version}")
            return summary

        end_orphans()
        try:
            summary = stylize_flow()
        except CancelledRun as error:
            raise JobCancelled(f"cancelled: {CONTINUE}") from error
        assert isinstance(summary, StylizeSummary)
        return summary


def describe(summary: StylizeSummary, destination: str) -> str:
    """The result of a job, in a few lines."""
    lines = [
        f"{summary.total} pictures: {summary.done} done, {summary.skipped} skipped, "
        f"{summary.quarantined} in quarantine, {summary.pending} pending"
    ]
    if summary.skipped_kinds:
        lines.append(f"skipped: {kinds_text(summary.skipped_kinds)}")
    if summary.processed:
        rate = f", {summary.images_per_second:.1f} images/s" if summary.images_per_second >= 0.1 else ""
        lines.append(f"{summary.processed} in {summary.seconds:.1f} s with the start{rate}")
    else:
        lines.append("nothing was left to do")
    if summary.quarantined:
        again = f"atelier retry {shlex.quote(destination)}"
        lines.append(f"reasons: {destination}/_atelier/quarantine.csv; to try them again: {again}")
    if summary.pending:
        lines.append(CONTINUE)
    lines.append(f"pictures: {destination}, report: {destination}/_atelier/report.html")
    return "\n".join(lines)
