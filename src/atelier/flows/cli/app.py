"""The command `atelier`: one subcommand a flow, and a few to look after what the flows use.

Exit codes: 0 done; 1 the job failed; 2 wrong usage or bad input; 3 finished, but some inputs are in quarantine.
"""

import gc as garbage
import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from atelier import __version__
from atelier.flows.cli.models import datasets_app, encoders_app, gc, models_app
from atelier.flows.cli.output import JsonOption, WorkspaceOption, result, say
from atelier.tasks.runtime.errors import user_message
from atelier.tasks.workspace.layout import Workspace

app = typer.Typer(
    name="atelier",
    help="Train image-translation GANs and run them over large image archives.\n\n"
    "Prefect decides when, DVC decides whether, Ray decides where, PyTorch decides how.",
    epilog="Start with: atelier init my-style --content PHOTOS --style PAINTINGS && cd my-style && atelier retrain",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(models_app, name="models")
app.add_typer(datasets_app, name="datasets")
app.add_typer(encoders_app, name="encoders")
app.command("gc", epilog="Example: atelier gc --dry-run")(gc)


INTERRUPTED = 130  # what typer makes of Ctrl-C
# objects between collections: what commands import are many and none is garbage, and by default a tenth of their
# processor time goes into looking for some
GARBAGE = (50_000, 20, 20)


class Start(StrEnum):
    """What a new workspace begins with."""

    demo = "demo"
    folders = "folders"


def main() -> None:
    """Run the command; an error is one line, and its traceback is shown with --debug only."""
    debug = "--debug" in sys.argv[1:]
    garbage.set_threshold(*GARBAGE)
    # Prefect keeps every line in its database; the terminal gets progress and one line an error
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO" if debug else "CRITICAL")
    try:
        app(prog_name="atelier")
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("atelier: interrupted; the same command again continues", file=sys.stderr)
        raise
    except Exception as error:  # noqa: BLE001 - the one place where every error becomes a line and an exit code
        if debug:
            traceback.print_exc()
        print(f"atelier: {user_message(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ValueError | FileNotFoundError | NotADirectoryError | FileExistsError) else 1)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options that stand before the subcommand."""
    if version:
        print(f"atelier {__version__}")
        raise typer.Exit


# ------------------------------------------------------------------------------------------------- the way of a picture


@app.command(epilog="Example: atelier init my-style --content ~/photos --style ~/paintings")
def init(
    directory: Annotated[Path, typer.Argument(help="The folder to make.")],
    start: Annotated[
        Start, typer.Option("--from", help="demo: the embedded pictures; folders: your own, see --content and --style.")
    ] = Start.folders,
    content: Annotated[
        list[str] | None, typer.Option(help="Source of pictures to restyle: folder, zip, tar, list file. Repeatable.")
    ] = None,
    style: Annotated[list[str] | None, typer.Option(help="Source of pictures in the style. Repeatable.")] = None,
) -> None:
    """Make a workspace: git, DVC, params.yaml and the pipeline."""
    from atelier.flows.config.defaults import demo_params, folder_params
    from atelier.tasks.workspace.create import init as make

    if start is Start.demo:
        if content or style:
            raise ValueError("--from demo brings its own pictures: leave out --content and --style")
        text = demo_params()
    else:
        if not content or not style:
            raise ValueError("name both --content and --style, or use --from demo for the embedded pictures")
        text = folder_params(tuple(content), tuple(style), base=Path.cwd())
    workspace, made = make(directory, text)
    print(f"{'made' if made else 'kept'} the workspace {workspace.root}; its parameters: {workspace.params}")


@app.command(epilog="Example: atelier ingest --scan")
def ingest(
    scan: Annotated[bool, typer.Option("--scan", help="Only write sources.lock, the list of files there are.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the sources' pictures into the dataset."""
    if scan:
        from atelier.flows.config.params import Params
        from atelier.tasks.dataset.ingest import scan as scan_sources

        found = Workspace.find(workspace)
        result(scan_sources(Params(found.params).ingest, found.root, found.sources_lock), as_json)
    else:
        _stage("ingest", workspace, as_json)


@app.command(epilog="Example: atelier augment --workspace demo")
def augment(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Write the varied training set, and a contact sheet of what the model will see."""
    _stage("augment", workspace, as_json)


@app.command(
    epilog="Example: atelier train --workspace demo, or atelier train --folds 5, or atelier train --each-style"
)
def train(
    folds: Annotated[
        int | None, typer.Option(help="Cross-validate: measure on each of so many folds of the training split in turn.")
    ] = None,
    each_style: Annotated[
        bool, typer.Option("--each-style", help="Train a model for every domain but train.content, side by side.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the model; a killed training continues where its last checkpoint is."""
    if folds is not None and each_style:
        raise ValueError("--folds and --each-style are two jobs: give one of them")
    if folds is not None:
        _folds(folds, workspace, as_json)
    elif each_style:
        _each_style(workspace, as_json)
    else:
        _stage("train", workspace, as_json)


@app.command(
    epilog="Example: atelier evaluate --json, or atelier evaluate --models style-model@prod style-model@v1.2.0 ~/other"
)
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare models: style-model@v1.2.0, style-model-STYLE@prod, starter/NAME or model folders. One after "
            "the other, joined by commas, or the option again."
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Further models of --models.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the model on the held-out pictures; or with --models several, side by side in reports/comparison."""
    if models:
        _compare([name for text in (*models, *(more or ())) for name in text.split(",") if name], workspace, as_json)
    elif more:
        raise ValueError(f"what is {more[0]}? To compare models write --models {' '.join(more)}")
    else:
        _stage("evaluate", workspace, as_json)


@app.command(epilog='Example: atelier retrain --cron "0 2 * * *" --timezone Europe/Berlin')
def retrain(
    cron: Annotated[str | None, typer.Option(help="Serve a schedule instead of running once.")] = None,
    timezone: Annotated[str, typer.Option(help="The time zone of --cron.")] = "UTC",
    trust: Annotated[bool, typer.Option("--trust", help="Run stages of dvc.yaml that are not atelier's own.")] = False,
    dry: Annotated[
        bool, typer.Option("--dry", help="Only say what would be decided: nothing is registered, promoted or restyled.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole pipeline, judge the model against prod, and promote it and restyle with it if it passes."""
    from atelier.flows.config.params import Params
    from atelier.flows.control_plane.plane import use

    found = Workspace.find(workspace)
    Params(found.params).check()
    with use(say=say):
        if cron:
            from atelier.flows.schedule import serve_nights

            serve_nights(found.root, cron, timezone, trust, say)
        else:
            from atelier.flows.retrain import retrain as flow
            from atelier.tasks.workspace.run_record import RunRecord

            night = flow(str(found.root), trust=trust, dry=dry)
            assert isinstance(night, RunRecord)  # a state that a flow returns is taken off by the call
            result(night, as_json, text=night.summary)


@app.command(
    epilog="Example: atelier stylize ~/archive more.zip s3://bucket/out --exclude 'drafts/*' --max-quarantine 1%, "
    "or atelier stylize photo.jpg painted.jpg --model starter/monet"
)
def stylize(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Folders, zips, tars (.gz, .zst) or lists (.txt, .lst, .parquet with a column path), here or at "
            "s3:// URLs; or one picture."
        ),
    ],
    destination: Annotated[
        str,
        typer.Argument(
            help="Folder or s3:// URL for the restyled pictures, paths as the source's, of several sources each below "
            "its own name; for one picture also a file."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(help="style-model@prod, style-model@v1.2.0, style-model-STYLE@prod, starter/NAME or a folder."),
    ] = "style-model@prod",
    strength: Annotated[float | None, typer.Option(help="0 leaves pictures as they are, 1 is the full style.")] = None,
    direction: Annotated[str | None, typer.Option(help="a2b or b2a, of a model that translates both ways.")] = None,
    to: Annotated[str | None, typer.Option(help="Attributes to give, like Blond_Hair,Young; -NAME takes away.")] = None,
    style: Annotated[
        list[str] | None, typer.Option(help="NAME or IMAGE to take the style from, with =WEIGHT. Repeatable: a mix.")
    ] = None,
    mask: Annotated[
        list[str] | None, typer.Option(help="For each --style a picture that is white where it goes.")
    ] = None,
    preserve_color: Annotated[
        bool | None, typer.Option("--preserve-color", help="Keep the colours of the pictures.")
    ] = None,
    style_weight: Annotated[float | None, typer.Option(help="Times the usual weight of the style (gatys).")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the optimisation of each picture (gatys).")] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="keep (the default: what goes in comes out, with its depth, transparency, pages and frames), png, "
            "jpeg, webp or avif. In a jpeg transparency is white and the first frame counts; only TIFF has pages."
        ),
    ] = None,
    quality: Annotated[int | None, typer.Option(help="1 to 100, of JPEG, WebP and AVIF; 95 unless told.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Longest side of the outputs, in px; smaller pictures stay as they are.")
    ] = None,
    metadata: Annotated[
        str | None,
        typer.Option(help="keep (the default) EXIF, GPS too, resolution and comments of the pictures, or strip them."),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="torch, openvino, or auto: what is measured as quickest, where there is much to do."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="float32, bfloat16, or auto as for --backend.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, gpu, or auto: GPUs where the cluster has any.")] = None,
    stages: Annotated[
        str | None,
        typer.Option(help="Of a picture: together in a worker, apart on machines that suit each, or auto."),
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="Only paths that match this glob; * crosses folders. Repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="No paths that match this glob. Repeatable. What is left out is no part of the totals."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only so many pictures, the first; a run without it continues the same job.")
    ] = None,
    list_root: Annotated[
        str | None, typer.Option(help="Folder or URL that a list's entries lie in; without it, the list's own folder.")
    ] = None,
    allow_scheme: Annotated[
        list[str] | None, typer.Option(help="A scheme of URLs that lists may name, like s3. Repeatable.")
    ] = None,
    max_members: Annotated[int | None, typer.Option(help="Refuse archives and lists of more files.")] = None,
    max_ratio: Annotated[
        float | None, typer.Option(help="Refuse archives above 1 GiB that unpack to more times their size.")
    ] = None,
    max_quarantine: Annotated[
        str, typer.Option(help="Fail when more inputs do: a count like 100, a share like 0.05 or 5%.")
    ] = "",
    retry_quarantined: Annotated[
        bool, typer.Option("--retry-quarantined", help="Try again what is in quarantine.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only tell what would be done, how long and how large, from a timed sample."),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Remove the outputs that another model or other parameters made, and make them again."
        ),
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restyle an archive, each picture once, the bad ones in quarantine, a second run does nothing; or one picture."""
    from atelier.flows import stylize as flow

    wishes = {
        "strength": strength, "direction": direction, "to": to.split(",") if to else None, "styles": style,
        "masks": mask, "preserve_color": preserve_color, "style_weight": style_weight, "steps": steps,
        "format": format, "quality": quality, "size": size, "metadata": metadata,
        "execution": {"backend": backend, "precision": precision, "device": device}, "stages": stages,
    }  # fmt: skip
    selected = {
        "include": include, "exclude": exclude, "limit": limit, "list_root": list_root, "schemes": allow_scheme,
        "max_members": max_members, "max_ratio": max_ratio,
    }  # fmt: skip
    again = flow.Again(retry_quarantined, max_quarantine, replace)
    job = flow.plan(sources, destination, model, wishes, workspace, selected, again)
    if dry_run:
        expected = flow.expect(job, say=say)
        result(expected, as_json, text=expected.story)
        return
    if painted := flow.one_picture(job):
        done = f"{painted.file}: {painted.width} × {painted.height}, {painted.seconds} s"
        result(painted, as_json, text=done if painted.painted else f"{painted.file} is there already")
        return
    summary = flow.run(job, say=say, quiet=as_json)
    result(summary, as_json, text=flow.story(summary, destination))
    if summary.pending:
        raise typer.Exit(1)
    if summary.quarantined:
        raise typer.Exit(3)


@app.command(
    epilog="Example: atelier generate faces --model style-model@prod --count 64 --seed 0 --truncation 0.8 "
    "--interpolate 8"
)
def generate(
    destination: Annotated[Path, typer.Argument(help="Folder for the pictures; those that are there are kept.")],
    model: Annotated[
        str, typer.Option(help="style-model@prod, style-model@v1.2.0 or the folder of a model of gan or dcgan.")
    ] = "style-model@prod",
    count: Annotated[int, typer.Option(help="Pictures.")] = 64,
    seed: Annotated[int, typer.Option(help="Which pictures: each is a function of the seed and its number.")] = 0,
    truncation: Annotated[
        float | None, typer.Option(help="Draw the noise within ± this: smaller is safer and less varied.")
    ] = None,
    interpolate: Annotated[
        int, typer.Option(help="Also show the way from one picture to the next in so many pictures.")
    ] = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make pictures from noise, with a model that learned to (gan, dcgan)."""
    from atelier.flows import generate as flow
    from atelier.tasks.inference.generate import GenerateConfig

    job = flow.plan(destination, model, GenerateConfig(count, seed, truncation, interpolate), workspace)
    summary = flow.run(job, say=say, quiet=as_json)
    result(summary, as_json, text=flow.story(summary))


@app.command(epilog="Example: atelier inspect restyled/holiday/0001.jpg restyled/holiday/0002.jpg")
def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures that atelier made.")],
    as_json: JsonOption = False,
) -> None:
    """Say which model, dataset, parameters, code and input made a picture; exit code 2 where one does not say."""
    from atelier.flows.cli.inspect import inspect as read

    found = read(files)
    if as_json or any(one.lineage for one in found):
        result(found, as_json, text="\n\n".join(one.story for one in found if one.lineage))
    silent = [one.problem for one in found if one.problem]
    for problem in silent:
        say(f"atelier: {problem}")
    if silent:
        raise typer.Exit(2)


@app.command(epilog="Example: atelier report --workspace demo")
def report(workspace: WorkspaceOption = None) -> None:
    """Write reports/index.html anew and say what the workspace holds."""
    from atelier.flows.report import summarize, write

    found = Workspace.find(workspace)
    write(found)
    print(summarize(found))


def _stage(name: str, where: Path | None, as_json: bool) -> None:
    """A stage: DVC asks for the work itself, a person asks DVC to bring everything up to it up to date."""
    from atelier.flows.config.params import Params
    from atelier.flows.control_plane.plane import use

    workspace = Workspace.find(where)
    params = Params(workspace.params)
    asked_by_dvc = os.environ.get("DVC_STAGE") == name
    if not asked_by_dvc:
        params.check()
    with use(say=None if asked_by_dvc else say):
        if asked_by_dvc:
            from atelier.flows.stage import run

            run(name, workspace)
        else:
            from atelier.flows.update import update

            named = update.with_options(flow_run_name=f"update {workspace.name} through {name}")
            result(named(str(workspace.root), until=name), as_json)


def _folds(folds: int, where: Path | None, as_json: bool) -> None:
    """Cross-validation, with the training set brought up to date before it."""
    from atelier.flows.config.params import Params
    from atelier.flows.control_plane.plane import use
    from atelier.tasks.evaluation.cross_validation import check

    workspace = Workspace.find(where)
    check(Params(workspace.params).check().train, folds)
    with use(say=say):
        from atelier.flows.cross_validate import cross_validate

        found = cross_validate.with_options(flow_run_name=f"folds {workspace.name}")(str(workspace.root), folds)
        result(found, as_json, text=found.story)


def _compare(names: list[str], where: Path | None, as_json: bool) -> None:
    """Models side by side, on the dataset as it is."""
    from atelier.flows.cli.candidates import candidates
    from atelier.flows.control_plane.plane import use

    workspace = Workspace.find(where)
    models = candidates(workspace, names)
    with use(say=say):
        from atelier.flows.compare import run

        found = run(workspace, models)
        result(found.content if as_json else found, as_json, text=found.story)
        if found.failed:
            raise typer.Exit(1)


def _each_style(where: Path | None, as_json: bool) -> None:
    """Every style a model of its own, with the training set brought up to date before it."""
    from atelier.flows.config.params import Params
    from atelier.flows.control_plane.plane import use

    workspace = Workspace.find(where)
    Params(workspace.params).check()
    with use(say=say):
        from atelier.flows.train_per_style import run

        styles = run(workspace)
        result(styles, as_json, text="\n".join(style.story for style in styles))


# --------------------------------------------------------------------------------------------------- the control plane


@app.command(epilog="Example: atelier up, or ATELIER_DATABASE=postgresql://… atelier up")
def up(
    database: Annotated[
        str | None,
        typer.Option(
            help="postgresql://USER:PASSWORD@HOST:5432/NAME for Prefect's runs and schedules, instead of a file. Other "
            "users of the machine see the command line: better set ATELIER_DATABASE."
        ),
    ] = None,
) -> None:
    """Start a Prefect server and a Ray head that every later command uses, or bring back what is gone of them.

    Where RAY_ADDRESS names a cluster, that is used, and never stopped.
    """
    from atelier.flows.control_plane.plane import up as start

    print(start(database=database).sentence)


@app.command(epilog="Example: atelier down")
def down() -> None:
    """Stop exactly what `atelier up` started."""
    from atelier.flows.control_plane.plane import down as stop

    stopped = stop()
    print(f"stopped the {' and the '.join(stopped)}" if stopped else "nothing of atelier's is up")


@app.command(epilog="Example: atelier status")
def status(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """What is up, what is served, how the last night went, what is prod, and how much room there is."""
    from atelier.flows.cli.status import look

    found = look(workspace)
    result(found, as_json, text=found.story)


@app.command(epilog="Example: atelier doctor")
def doctor(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Check this machine: packages, Ray, GPU, Prefect, DVC, disk, memory, encoder weights; each with the remedy."""
    from atelier.flows.cli.doctor import examine

    checks = examine(Workspace.find(workspace) if workspace else None)
    lines = [f"{c.status:<5} {c.name:<12} {c.what}" + (f"\n{'':<18} → {c.remedy}" if c.remedy else "") for c in checks]
    result(checks, as_json, text="\n".join(lines))
    if any(c.status == "fail" for c in checks):
        raise typer.Exit(1)
