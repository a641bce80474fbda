"""Stylize: an archive of pictures, each restyled once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from atelier.flows.config.params import Params
from atelier.models.card import ModelIdentity
from atelier.tasks.bulk import failure_limit
from atelier.tasks.bulk.dry_run import DryRun, dry_run
from atelier.tasks.bulk.inputs import Selection
from atelier.tasks.bulk.stylize import StylizeSummary
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.controls import controls_from_config, with_absolute_paths
from atelier.tasks.inference.model_lookup import find_model
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.inference.single_image import SingleImageResult, stylize_image
from atelier.tasks.registry.tags import parse_name
from atelier.tasks.storage.bounds import DEFAULTS, SourceLimits
from atelier.tasks.storage.location import is_url
from atelier.tasks.storage.source import NO_PICTURES, archive_kind, list_entries, locate
from atelier.tasks.workspace.layout import Workspace

CONTINUE = "run the same command again to continue"
C = TypeVar("C")


@dataclass(frozen=True)
class Again:
    """What a run does with how an earlier one ended."""

    retry_quarantined: bool = False
    max_quarantine: str = ""
    replace: bool = False


@dataclass(frozen=True)
class Job:
    """One archive, one destination, one model."""

    sources: tuple[str, ...]
    base: Path  # what a relative source is relative to
    destination: str  # a folder (absolute) or a URL
    model: Path  # the model's folder
    identity: ModelIdentity
    config: StylizeConfig
    selection: Selection
    again: Again


def plan(
    sources: Sequence[str],
    destination: str,
    model: str,
    wishes: Mapping[str, Any],
    workspace: Path | None,
    selected: Mapping[str, Any],
    again: Again,
) -> Job:
    """Find the model and the sources before anything is started, so that a wrong name is told at once.

    Args:
        sources: folders, archives or lists, here or at URLs, or one picture.
        destination: folder or URL of the outputs; for one picture also a file.
        model: as `model_names.find` reads it.
        wishes: parameters of `StylizeConfig` by name; None takes those of the workspace that has the model, or the
            defaults where none has.
        workspace: where to look for a workspace; None means from the current folder upwards.
        selected: parameters of `Selection` and `Bounds` by name; None takes the default.
        again: what is done with how an earlier run ended.

    Raises:
        FileNotFoundError, ValueError: one line for a person.
    """
    config = StylizeConfig()
    if parse_name(model):
        home = Workspace.find(workspace)
        config = with_absolute_paths(Params(home.params).stylize, home.root)
    found = find_model(model, workspace)
    config = _validated(StylizeConfig, _overridden(asdict(config), wishes))
    chosen = _given(selected)
    bounds = {name: chosen.pop(name) for name in asdict(DEFAULTS) if name in chosen}
    selection = replace(_validated(Selection, chosen), bounds=_validated(SourceLimits, bounds))
    failure_limit.allowed_failures(again.max_quarantine, 0)
    found.check(controls_from_config(config, Path.cwd()))
    for source in sources:
        next(iter(list_entries(source, Path.cwd(), selection.bounds)))
    place = destination if is_url(destination) else str(Path(destination).absolute())
    return Job(tuple(sources), Path.cwd(), place, found.folder, found.identity, config, selection, again)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those values that were given on the command line."""
    return {name: value for name, value in values.items() if value not in (None, [], ())}


def _validated(config: type[C], values: Mapping[str, Any]) -> C:
    try:
        return TypeAdapter(config).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"--{str(first['loc'][-1]).replace('_', '-')}: {first['msg']}") from error


def _overridden(values: Mapping[str, Any], wishes: Mapping[str, Any]) -> dict[str, Any]:
    """The values, and in place of them those wishes that somebody has."""
    given = _given(wishes)
    inner = {name: _overridden(values[name], wish) for name, wish in given.items() if isinstance(wish, dict)}
    return {**values, **given, **inner}


def one_picture(job: Job) -> SingleImageResult | None:
    """Restyle a source that is a single picture here and now; None where it is more than one, or continues a job."""
    destination = Path(job.destination)
    if len(job.sources) > 1 or is_url(job.sources[0]) or is_url(job.destination) or (destination / RESERVED).is_dir():
        return None
    path = locate(job.sources[0], job.base)
    if not path.is_file() or archive_kind(path.name) or path.suffix.lower() in NO_PICTURES:
        return None
    return stylize_image(path, destination, job.model, job.config, job.identity, job.base)


def expect(job: Job, *, say: Callable[[str], None]) -> DryRun:
    """What `run` would do, and how long it would take, from a sample; writes nothing."""
    from atelier.flows.control_plane.plane import use

    with use(say=say):
        from atelier.tasks.runtime import cluster

        return dry_run(
            job.sources,
            job.destination,
            job.model,
            job.config,
            job.identity,
            connect=cluster.connect,
            base=job.base,
            selection=job.selection,
        )


def run(job: Job, *, say: Callable[[str], None], quiet: bool = False) -> StylizeSummary:
    """Run a job as a Prefect flow, on what is up or on a control plane of its own.

    Args:
        job: from `plan`.
        say: told in a sentence what is used.
        quiet: show no progress.
    """
    from atelier.flows.control_plane.plane import use

    with use(say=say):
        from prefect import flow, states
        from prefect.artifacts import create_table_artifact
        from prefect.client.schemas.objects import State
        from prefect.exceptions import CancelledRun

        from atelier.flows.runs.cancellation import Cancelled, cancellable
        from atelier.flows.runs.orphans import claim, reap
        from atelier.flows.runs.progress import shown
        from atelier.tasks.bulk.stylize import stylize
        from atelier.tasks.runtime import cluster

        name = f"stylize {PurePosixPath(job.destination).name}"

        @flow(name="stylize", flow_run_name=name, validate_parameters=False)
        def stylize_flow() -> StylizeSummary | State[StylizeSummary]:
            claim()
            try:
                with cancellable(), shown("stylize", quiet=quiet) as report:
                    summary = stylize(
                        job.sources,
                        job.destination,
                        job.model,
                        job.config,
                        job.identity,
                        report,
                        connect=cluster.connect,
                        base=job.base,
                        selection=job.selection,
                        **asdict(job.again),
                    )
            except Cancelled:
                return states.Cancelled(message=CONTINUE)
            counts = {k: getattr(summary, k) for k in ("total", "done", "skipped", "quarantined", "pending")}
            create_table_artifact([counts], key="stylized", description=f"{job.identity.name} {job.identity.version}")
            return summary

        reap()
        try:
            summary = stylize_flow()
        except CancelledRun as error:
            raise RuntimeError(f"cancelled: {CONTINUE}") from error
        assert isinstance(summary, StylizeSummary)
        return summary


def story(summary: StylizeSummary, destination: str) -> str:
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
        lines.append(f"reasons: {destination}/_atelier/quarantine.csv")
    if summary.pending:
        lines.append(CONTINUE)
    lines.append(f"pictures: {destination}, report: {destination}/_atelier/report.html")
    return "\n".join(lines)
