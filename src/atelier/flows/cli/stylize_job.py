"""The job that `atelier stylize` asks for: model, sources and options, checked before anything starts."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from atelier.flows.cli.output import asks, confirm, result, write_sheet
from atelier.flows.cli.painting_options import DEFAULT_MODEL
from atelier.flows.config.params import Params, reason_of
from atelier.tasks.bulk import failure_limit
from atelier.tasks.bulk.admission import check_job
from atelier.tasks.bulk.inputs import Selection, input_files
from atelier.tasks.bulk.request import Rerun, StylizeRequest
from atelier.tasks.images.codec import encode, load
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.images.formats import is_video
from atelier.tasks.inference.chain import find_chain, parse_step
from atelier.tasks.inference.config import ChainStep, StylizeConfig
from atelier.tasks.inference.controls import with_absolute_paths
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.inference.single_image import SingleImageResult, stylize_image
from atelier.tasks.registry.tags import parse_name
from atelier.tasks.storage.companion_files import KIND_OF_SUFFIX
from atelier.tasks.storage.location import absolute, is_url
from atelier.tasks.storage.open_source import NoPictures, archive_class, locate, select_pictures
from atelier.tasks.storage.source_limits import DEFAULT_LIMITS, SourceLimits
from atelier.tasks.workspace.layout import Workspace

C = TypeVar("C")

CHANGE_PX = 512  # side of a picture on the sheet of a change


def sources_and_destination(paths: Sequence[str], *, needed: bool) -> tuple[Sequence[str], str]:
    """The paths of a command line: the last of several is the destination, a single one is a source.

    Raises:
        ValueError: there is no destination, and it is needed.
    """
    if len(paths) > 1:
        return paths[:-1], paths[-1]
    if needed:
        raise ValueError(f"where do the restyled pictures go? Name a destination: atelier stylize {paths[0]} RESTYLED")
    return paths, ""


def plan(
    sources: Sequence[str],
    destination: str,
    models: Sequence[str],
    changes: Mapping[str, Any],
    workspace: Path | None,
    selected: Mapping[str, Any],
    rerun: Rerun,
) -> StylizeRequest:
    """Find the models before anything starts, so that a wrong name is reported at once.

    Args:
        sources: folders, archives or lists, local or at URLs, or one picture.
        destination: folder or URL of the outputs; for one picture also a file.
        models: that paint one after another, each as `parse_step` takes it; none takes the chain of the workspace.
        changes: parameters of `StylizeConfig` by name; None takes the value of the workspace that has a model, or
            the default where no workspace has one.
        selected: parameters of `Selection` and `SourceLimits` by name; None takes the default.

    Raises:
        FileNotFoundError, ValueError: a name or a value is wrong; the message is one line.
    """
    config, chain = StylizeConfig(), tuple(with_absolute_paths(parse_step(text), Path.cwd()) for text in models)
    if not chain or any(parse_name(step.model) for step in chain):
        with suppress(FileNotFoundError):  # without a workspace the search for the model says what to do
            home = Workspace.find(workspace)
            config = with_absolute_paths(Params(home.params).stylize, home.root)
    chain = chain or config.chain or (ChainStep(model=DEFAULT_MODEL),)
    config = with_absolute_paths(_validated(StylizeConfig, _merged(asdict(config), changes)), Path.cwd())
    config, found, then = find_chain(chain, config, workspace)
    chosen = _given(selected)
    bounds = {name: chosen.pop(name) for name in asdict(DEFAULT_LIMITS) if name in chosen}
    selection = replace(_validated(Selection, chosen), bounds=_validated(SourceLimits, bounds))
    failure_limit.allowed_failures(rerun.max_quarantine, 0)
    first, where = found[0], absolute(destination)
    job = StylizeRequest(
        tuple(sources), where, first.folder, config, first.identity, Path.cwd(), selection, rerun, then
    )
    job.controls()  # raises where a control is wrong
    return job


def check_sources(job: StylizeRequest, *, may_be_empty: bool) -> None:
    """Check that the sources exist, and hold pictures unless they may be empty.

    Raises:
        FileNotFoundError, ValueError: one does not, or is of no supported kind.
    """
    for source in job.sources:
        try:
            next(select_pictures(source, input_files(source, job.base, job.selection.bounds)))
        except NoPictures:
            if not may_be_empty:
                raise


def start(job: StylizeRequest, as_json: bool, *, dry_run: bool, yes: bool) -> SingleImageResult | None:
    """Run a job, or only estimate it, and print the result; a single picture's is returned.

    Args:
        yes: whether nothing is asked where outputs are replaced.
    """
    if painted := _single_image(job, dry_run=dry_run):
        result(painted, as_json, text=painted.summary)
        return painted
    _check_folder(job)
    check_job(job)  # before any server is started
    if dry_run:
        from atelier.flows import stylize as flow

        expected = flow.estimate(job)
        result(expected, as_json, text=f"{expected.summary}\nto see some: the same command with --preview 12")
        return None
    if job.rerun.replace and asks(yes):
        confirm(f"--replace deletes what another model or other parameters made in {job.destination}")
    run(job, as_json)
    return None


def run(job: StylizeRequest, as_json: bool) -> None:
    """Run a bulk job, print its counts, and exit as they say."""
    from atelier.flows import stylize as flow

    summary = flow.run(job, quiet=as_json)
    result(summary, as_json, text=flow.describe(summary, str(job.destination)))
    if summary.pending:
        raise typer.Exit(1)
    if summary.quarantined:
        raise typer.Exit(3)


def _single_image(job: StylizeRequest, *, dry_run: bool) -> SingleImageResult | None:
    """Restyle a source that is a single picture in this process; None where it is more, or continues a bulk job."""
    destination = Path(job.destination)
    if is_url(str(job.destination)) or (destination / RESERVED).is_dir() or not (path := picture_of(job)):
        return None
    return stylize_image(
        path, destination, job.model, job.config, job.identity, job.base, then=job.then, dry_run=dry_run
    )


def _check_folder(job: StylizeRequest) -> None:
    """Check that the destination of a job is not named like a video. Raises ValueError where it is."""
    if is_video(str(job.destination)) and not Path(job.destination).is_dir():
        raise ValueError(f"videos are restyled into a folder, where they keep their names: {job.destination} is none")


def show_preview(jobs: Sequence[StylizeRequest], count: int, folder: Path, as_json: bool) -> None:
    """Write and print a preview."""
    from atelier.tasks.bulk.preview import preview

    shown = preview(jobs, count, folder)
    result(shown, as_json, text=shown.summary)


def watch(job: StylizeRequest, every: str, as_json: bool) -> None:
    """Restyle what is new in the sources, again and again, and print the result of each run."""
    from atelier.flows import watch as flow

    flow.watch(job, flow.seconds(every), done=lambda text, found: result(found, as_json, text=text))


def show_regions(job: StylizeRequest, file: Path) -> None:
    """Write a PNG that shows the regions of a single picture and of its style pictures."""
    controls = next((one for one in job.controls() if one.regions != "off"), None)
    if not (controls and (path := picture_of(job))):
        raise ValueError("--show-regions is for one picture, with --regions auto")
    from atelier.tasks.inference.regions import region_sheet

    sheet = region_sheet(load(path), controls)
    write_sheet(file, encode(sheet, "png"))


def show_change(picture: Path, made: Path, file: Path) -> None:
    """Write a PNG of a picture before and after."""
    sheet = contact_sheet([[load(picture), load(made)]], columns=("before", "after"), cell_px=CHANGE_PX)
    write_sheet(file, encode(sheet, "png"))


def picture_of(job: StylizeRequest) -> Path | None:
    """The only source of a job if it is a single picture."""
    if len(job.sources) > 1 or is_url(job.sources[0]):
        return None
    path = locate(job.sources[0], job.base)
    if not path.is_file() or archive_class(path.name) or path.suffix.lower() in KIND_OF_SUFFIX:
        return None
    return path


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [], ())}


def _validated(config: type[C], values: Mapping[str, Any]) -> C:
    try:
        return TypeAdapter(config).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"--{str(first['loc'][-1]).replace('_', '-')}{reason_of(first)}") from error


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with the changes that are given in their place; nested ones likewise."""
    given = _given(changes)
    inner = {name: _merged(values[name], change) for name, change in given.items() if isinstance(change, dict)}
    return {**values, **given, **inner}
