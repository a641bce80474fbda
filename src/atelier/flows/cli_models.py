"""The subcommands about models, datasets and encoders."""

from pathlib import Path
from typing import Annotated

import typer

from atelier.flows.cli_output import JsonOption, WorkspaceOption, result
from atelier.tasks.workspace import Workspace

models_app = typer.Typer(help="Models: list versions, promote, roll back, import, export.", no_args_is_help=True)
datasets_app = typer.Typer(help="The dataset: what is in it.", no_args_is_help=True)
encoders_app = typer.Typer(help="Weights of the perceptual encoders: list, fetch.", no_args_is_help=True)


@models_app.command("list", epilog="Example: atelier models list --json")
def models_list(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Versions, stages and metrics of the registered models."""
    from atelier.tasks.versions import list_models, list_versions

    found = Workspace.find(workspace)
    versions = [version for model in list_models(found) for version in list_versions(found, model)]
    names = [f"{v.model}@{v.version}" for v in versions]
    width = max(map(len, names), default=0)
    lines = [
        f"{name:<{width}} {v.stage or '':<6} {v.style:<12} {v.dataset[:12]}  {v.headline}"
        for name, v in zip(names, versions, strict=True)
    ]
    result(versions, as_json, text="\n".join(lines) or "no version is registered yet: run `atelier retrain`")


@models_app.command("starters", epilog="Example: atelier models starters")
def models_starters(as_json: JsonOption = False) -> None:
    """Models that come with Atelier: `atelier stylize photo.jpg painted.jpg --model starter/NAME`."""
    from atelier.tasks.starters import starters

    found = starters()
    result(found, as_json, text="\n".join(f"{one.name:<20} {one.says}" for one in found))


@models_app.command("promote", epilog='Example: atelier models promote v1.2.0 --reason "looks better on portraits"')
def models_promote(
    version: Annotated[str, typer.Argument(help="A registered version; v1.2.0 is one of style-model.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the registry.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Make a registered version `prod`; an older version is a rollback."""
    from atelier.tasks.versions import MODEL, named, promote

    model, version = named(version) or (MODEL, version)
    promote(Workspace.find(workspace), version, reason=reason, model=model)
    print(f"{model}@prod is now {version}")


@models_app.command("import", epilog="Example: atelier models import latest_net_G_A.pth monet --style monet")
def models_import(
    file: Annotated[Path, typer.Argument(help="A generator that CycleGAN's or CUT's reference code saved.")],
    model: Annotated[Path, typer.Argument(help="The model folder to make.")],
    style: Annotated[str, typer.Option(help="What to call its style.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Bring a model that was trained elsewhere: `atelier stylize … --model FOLDER` then paints with it."""
    from atelier.tasks.exchange import import_model

    made = import_model(file, model, style)
    result(made, as_json, text=f"{made.folder}: {made.architecture}, {made.parameters:,} parameters")


@models_app.command("export", epilog="Example: atelier models export style-model@prod monet.onnx")
def models_export(
    model: Annotated[str, typer.Argument(help="style-model@prod, style-model@v1.2.0, starter/NAME or a model folder.")],
    file: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    direction: Annotated[str, typer.Option(help="a2b or b2a, of a model that translates both ways.")] = "a2b",
    to: Annotated[
        str | None, typer.Option(help="Attributes that it gives (stargan), like Blond_Hair,Young; -NAME takes away.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a model as ONNX, checked against ONNX Runtime: pictures (B, 3, H, W) in [-1, 1], sides multiples of 4."""
    from atelier.flows.model_names import find
    from atelier.models.controls import Controls
    from atelier.tasks.exchange import export_model

    if direction not in ("a2b", "b2a"):
        raise ValueError(f"--direction is a2b or b2a, not {direction!r}")
    found = find(model, workspace)
    controls = Controls(direction=direction, to=tuple(to.split(",")) if to else ())  # type: ignore[arg-type]
    found.check(controls)
    made = export_model(found.folder, file, controls)
    said = (
        f"{made.file}: {made.megabytes} MB; differs from the model by {made.largest_difference:.1e} of a colour at most"
    )
    result(made, as_json, text=said)


@datasets_app.command("show", epilog="Example: atelier datasets show")
def datasets_show(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """The dataset's id, its domains and how many pictures each split has."""
    from atelier.tasks.dataset import SPLITS, read_card

    card = read_card(Workspace.find(workspace).dataset)
    counts = {d: {s: card.rows(d, s) for s in SPLITS} for d in card.domains}
    lines = [f"dataset {card.id[:12]}, {card.rows()} pictures"]
    lines += [f"  {d:<12} {c['train']:>8} to train on, {c['holdout']:>6} held out" for d, c in counts.items()]
    result({"id": card.id, "rows": card.rows(), "domains": counts}, as_json, text="\n".join(lines))


@encoders_app.command("list", epilog="Example: atelier encoders list")
def encoders_list(as_json: JsonOption = False) -> None:
    """The encoders there are: whether their weights are on this machine, how much is fetched, what they are for."""
    from atelier.tasks.encoders import status

    rows = status()
    lines = [
        f"{row.name:<18} {'ready' if row.ready else 'missing':<8} {f'{row.megabytes} MB':>6}  {row.used_for}"
        for row in rows
    ]
    result(rows, as_json, text="\n".join(lines))


@encoders_app.command("pull", epilog="Example: atelier encoders pull inception")
def encoders_pull(
    name: Annotated[str, typer.Argument(help="An encoder of `atelier encoders list`.")],
    optional: Annotated[
        bool, typer.Option("--optional", help="Where it can not be fetched say so, and succeed all the same.")
    ] = False,
) -> None:
    """Fetch an encoder's weights, check their sha256 and convert them once."""
    from atelier.flows.progress import shown
    from atelier.tasks.encoders import pull

    try:
        with shown("pull") as report:
            path = pull(name, report)
        print(f"{name} is ready: {path}")
    except (OSError, RuntimeError) as error:
        if not optional:
            raise
        print(f"{name} could not be fetched, evaluation does without it: {error}")
