"""The subcommands of the pipeline, from a new workspace to a released model and its report."""

import os
from pathlib import Path
from typing import Annotated

import typer

from atelier.flows.cli.options import ParameterOptions, grouped
from atelier.flows.cli.output import JsonOption, WorkspaceOption, result
from atelier.flows.cli.time_zone import check_time_zone
from atelier.tasks.workspace.layout import Workspace

commands = typer.Typer()
REFUSED_CODE = 4  # exit code: the gate refused the model


@commands.command(epilog="Example: atelier ingest --scan")
@grouped
def ingest(
    scan: Annotated[
        bool,
        typer.Option(
            "--scan",
            help="Only write what DVC's stages depend on: sources.lock, the list of source files, and start.lock, the "
            "version that training starts from, if it is missing.",
        ),
    ] = False,
    *,
    common: ParameterOptions,
) -> None:
    """Read the pictures of the sources into the dataset."""
    if scan:
        from atelier.flows.config.params import Params
        from atelier.tasks.dataset.ingest import scan as scan_sources
        from atelier.tasks.registry.warm_start import pin_start

        found = common.find()
        params = Params(found.params)
        summary = scan_sources(params.ingest, found.root, found.sources_lock)
        if not found.start_lock.exists():
            pin_start(found, params.train)
        result(summary, common.as_json)
    else:
        _stage("ingest", common)


@commands.command(epilog="Example: atelier augment --workspace demo")
@grouped
def augment(common: ParameterOptions) -> None:
    """Write the augmented training set. A contact sheet shows it."""
    _stage("augment", common)


@commands.command(
    epilog="Example: atelier train --workspace demo, or atelier train --folds 5, or atelier train --each-style"
)
@grouped
def train(
    folds: Annotated[
        int | None, typer.Option(help="Cross-validate: train and measure once for each of this many folds.")
    ] = None,
    each_style: Annotated[
        bool, typer.Option("--each-style", help="Train a model for every domain but train.content, in parallel.")
    ] = False,
    *,
    common: ParameterOptions,
) -> None:
    """Train the model. A killed training continues from its last checkpoint."""
    if folds is not None and each_style:
        raise ValueError("--folds and --each-style are two jobs: give one of them")
    if folds is None and not each_style:
        _stage("train", common)
        return

    from atelier.flows.config.params import Params
    from atelier.flows.runs.services import services

    found = common.find()
    params = Params(found.params).check_training(each_style=each_style)
    if folds is not None:
        from atelier.tasks.evaluation.cross_validation import check

        check(params.train, folds)
    with services(found, "train"):
        if folds is not None:
            from atelier.flows.cross_validate import cross_validate

            made = cross_validate.with_options(flow_run_name=f"folds {found.name}")(str(found.root), folds)
            result(made, common.as_json, text=made.summary)
        else:
            from atelier.flows.train_per_style import run

            styles = run(found)
            result(styles, common.as_json, text="\n".join(style.summary for style in styles))
            if any(style.next_steps for style in styles):
                raise typer.Exit(REFUSED_CODE)


@commands.command(
    epilog="Example: atelier evaluate --json, or atelier evaluate --models style-model@prod style-model@v1.2.0 --sheet"
)
@grouped
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="Compare models: style-model@v1.2.0, style-model-STYLE@prod, starter/NAME or model folders. Several "
            "after the option, joined by commas, or with the option repeated.",
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Further models of --models.")] = None,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet",
            help="Write pairs of what --models paint, in random order, for a person to judge, in reports/preference; "
            "the names stand in another file. A folder of pictures that another program painted may stand for a model.",
        ),
    ] = False,
    pictures: Annotated[
        str | None, typer.Option(help="Source of the photographs of --sheet; by default held-out ones.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of --sheet, at most.")] = 30,
    answers: Annotated[
        Path | None, typer.Option(help="Count the answers to the last sheet: a file of lines like '7 left'.")
    ] = None,
    *,
    common: ParameterOptions,
) -> None:
    """Measure the model on held-out pictures. With --models: several models side by side, in reports/comparison."""
    named = [name for text in (*(models or ()), *(more or ())) for name in text.split(",") if name]
    if answers is not None or sheet:
        from atelier.flows.cli.preference import count_answers, write_sheet

        found = common.find()
        done = write_sheet(found, named, pictures, pairs) if answers is None else count_answers(found, answers)
        result(done[0], common.as_json, text=done[1])
    elif models:
        _compare(named, common)
    elif more:
        raise ValueError(f"what is {more[0]}? To compare models write --models {' '.join(more)}")
    else:
        _stage("evaluate", common)


@commands.command(epilog='Example: atelier retrain --cron "0 2 * * *" --timezone Europe/Berlin')
@grouped
def retrain(
    cron: Annotated[str | None, typer.Option(help="Serve a schedule instead of running once.")] = None,
    timezone: Annotated[str, typer.Option(help="The time zone of --cron.")] = "UTC",
    trust: Annotated[
        bool, typer.Option("--trust", help="Also run stages and use settings that are not Atelier's own.")
    ] = False,
    dry: Annotated[
        bool, typer.Option("--dry", help="Only show the decision: nothing is registered, promoted or restyled.")
    ] = False,
    *,
    common: ParameterOptions,
) -> None:
    """Run the pipeline, once or on a schedule.

    The new model is compared with prod. If it passes the gate, it is promoted and restyles the subscribed archives.
    """
    from atelier.flows.config.params import Params
    from atelier.flows.runs.services import services
    from atelier.tasks.workspace.trust import VARIABLE as TRUST

    if cron:
        check_time_zone(timezone)
    found = common.find()
    Params(found.params).check_training()
    if trust:
        os.environ[TRUST] = "1"  # for this command and its children
    os.environ["ATELIER_WORKSPACE"] = str(found.root)
    with services(found, "serve" if cron else "retrain"):
        if cron:
            from atelier.flows.schedule import serve_schedule

            serve_schedule(found.root, cron, timezone)
        else:
            from atelier.flows.retrain import retrain as flow
            from atelier.tasks.workspace.run_record import RunRecord

            night = flow(dry=dry)
            assert isinstance(night, RunRecord)  # the call unwraps a state that the flow returns
            result(night, common.as_json, text=night.summary)
            if night.refused:
                raise typer.Exit(REFUSED_CODE)


@commands.command(epilog="Example: atelier report --workspace demo")
def report(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Write the HTML report and print a summary."""
    from atelier.flows.report import summarize, write

    found = Workspace.find(workspace)
    content = {"report": str(write(found)), "summary": summarize(found)}
    result(content, as_json, text=content["summary"])


def _stage(name: str, common: ParameterOptions) -> None:
    """A stage: called by DVC its work alone, called by a person the pipeline up to it, through DVC."""
    from atelier.flows.config.params import Params
    from atelier.flows.runs.services import services

    workspace = common.find()
    params = Params(workspace.params)
    if os.environ.get("DVC_STAGE") == name:
        with services(workspace, name):
            from atelier.flows.stage import run

            run(name, workspace)
        return
    params.check() if name in ("ingest", "augment") else params.check_training()
    with services(workspace, name):
        from atelier.flows.update import update

        named = update.with_options(flow_run_name=f"update {workspace.name} through {name}")
        result(named(str(workspace.root), until=name), common.as_json)


def _compare(names: list[str], common: ParameterOptions) -> None:
    """Several models on the present dataset; a wrong name is reported before anything starts."""
    from atelier.flows.config.params import Params
    from atelier.flows.runs.services import services
    from atelier.tasks.dataset.shards import read_card
    from atelier.tasks.evaluation.compare import find
    from atelier.tasks.inference.model_lookup import find_model
    from atelier.tasks.training.config import STARTER

    workspace = common.find()

    def called(text: str) -> tuple[str, Path]:
        found = find_model(text, workspace.root)
        if found.version:
            return f"{found.name}@{found.version}", found.folder
        return (text if text.startswith(STARTER) else found.name), found.folder

    models = find(names, called, Params(workspace.params).train.style, read_card(workspace.dataset).domains)
    with services(workspace, "evaluate"):
        from atelier.flows.compare import run

        found = run(workspace, models)
        result(found.content if common.as_json else found, common.as_json, text=found.summary)
        if found.failed:
            raise typer.Exit(1)
