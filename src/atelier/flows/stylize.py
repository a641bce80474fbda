"""Stylize: an archive of pictures, each restyled once."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from atelier.flows.model_names import find
from atelier.flows.params import Params
from atelier.tasks.lineage import ModelIdentity
from atelier.tasks.naming import RESERVED
from atelier.tasks.one_picture import Painted, paint_one
from atelier.tasks.sources import NO_PICTURES, archive_kind, list_entries, locate
from atelier.tasks.stylization import StylizeConfig, StylizeSummary
from atelier.tasks.versions import named
from atelier.tasks.wishes import anchored, wished
from atelier.tasks.workspace import Workspace


@dataclass(frozen=True)
class Job:
    """One archive, one destination, one model."""

    source: str
    base: Path  # what a relative source is relative to
    destination: Path
    model: Path  # the model's folder
    identity: ModelIdentity
    config: StylizeConfig


def plan(source: str, destination: Path, model: str, wishes: Mapping[str, Any], workspace: Path | None) -> Job:
    """Find the model and the source before anything is started, so that a wrong name is told at once.

    Args:
        source: folder, zip, tar or list file, or one picture.
        destination: folder of the outputs; for one picture also a file.
        model: as `model_names.find` reads it.
        wishes: parameters of `StylizeConfig` by name; None takes those of the workspace that has the model, or the
            defaults where none has.
        workspace: where to look for a workspace; None means from the current folder upwards.

    Raises:
        FileNotFoundError, ValueError: one line for a person.
    """
    config = StylizeConfig()
    if named(model):
        home = Workspace.find(workspace)
        config = anchored(Params(home.params).stylize, home.root)
    found = find(model, workspace)
    given = {name: value for name, value in wishes.items() if value not in (None, [], ())}
    try:
        config = TypeAdapter(StylizeConfig).validate_python(asdict(config) | given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from error
    found.check(wished(config, Path.cwd()))
    next(iter(list_entries(source, Path.cwd())))
    return Job(source, Path.cwd(), destination.absolute(), found.folder, found.identity, config)


def one_picture(job: Job) -> Painted | None:
    """Restyle a source that is a single picture here and now; None where it is more than one, or continues a job."""
    if "://" in job.source or (job.destination / RESERVED).is_dir():
        return None
    path = locate(job.source, job.base)
    if not path.is_file() or archive_kind(path.name) or path.suffix.lower() in NO_PICTURES:
        return None
    return paint_one(path, job.destination, job.model, job.config, job.identity, job.base)


def run(job: Job, *, say: Callable[[str], None], quiet: bool = False) -> StylizeSummary:
    """Run a job as a Prefect flow, on what is up or on a control plane of its own.

    Args:
        job: from `plan`.
        say: told in a sentence what is used.
        quiet: show no progress.
    """
    from atelier.flows.control_plane import use

    with use(say=say):
        from prefect import flow
        from prefect.artifacts import create_table_artifact

        from atelier.flows.progress import shown
        from atelier.tasks import cluster
        from atelier.tasks.stylization import stylize

        @flow(name="stylize", flow_run_name=f"stylize {job.destination.name}", validate_parameters=False)
        def stylize_flow() -> StylizeSummary:
            with shown("stylize", quiet=quiet) as report:
                summary = stylize(
                    job.source,
                    job.destination,
                    job.model,
                    job.config,
                    job.identity,
                    report,
                    connect=cluster.connect,
                    base=job.base,
                )
            counts = {k: getattr(summary, k) for k in ("total", "done", "skipped", "quarantined", "pending")}
            create_table_artifact([counts], key="stylized", description=f"{job.identity.name} {job.identity.version}")
            return summary

        return stylize_flow()


def story(summary: StylizeSummary, destination: Path) -> str:
    """What a person wants to know at the end."""
    lines = [
        f"{summary.total} pictures: {summary.done} done, {summary.skipped} skipped, "
        f"{summary.quarantined} in quarantine, {summary.pending} pending"
    ]
    if summary.processed:
        lines.append(f"{summary.processed} in {summary.seconds:.1f} s, {summary.images_per_second:.1f} images/s")
    else:
        lines.append("nothing was left to do")
    if summary.quarantined:
        lines.append(f"reasons: {destination / '_atelier' / 'quarantine.csv'}")
    if summary.pending:
        lines.append("run the same command again to continue")
    lines.append(f"pictures: {destination}")
    return "\n".join(lines)
