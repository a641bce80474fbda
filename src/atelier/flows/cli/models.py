"""The subcommands about models and their versions."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from atelier.flows.cli import model_exchange
from atelier.flows.cli.completion import complete_version
from atelier.flows.cli.datasets import OutOption
from atelier.flows.cli.output import JsonOption, WorkspaceOption, result
from atelier.flows.cli.table import table
from atelier.tasks.workspace.layout import Workspace

commands = typer.Typer(help="Versions of models; import and export.", no_args_is_help=True)
commands.add_typer(model_exchange.commands)

_VERSION = "prod or v1.2.0 of style-model; style-model-STYLE@prod of a style's own model."
VersionArgument = Annotated[str, typer.Argument(help=_VERSION, autocompletion=complete_version)]


@commands.command("list", epilog="Example: atelier models list --json")
def models_list(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the versions of all models, with state and metrics.

    States: prod; awaiting approval; refused by the gate; rejected by a person; replaced by a newer prod;
    rolled back.
    """
    from atelier.tasks.registry.dvc_objects import open_objects
    from atelier.tasks.registry.model_details import list_all_versions

    found = Workspace.find(workspace)
    with open_objects(found) as kept:
        versions = list_all_versions(found, kept)
    rows = []
    for one in versions:
        place = "" if one.here else "its bytes are not on this machine"
        v = one.version
        rows.append((v.name, one.state, v.style, v.dataset[:12], v.headline, place))
    head = ("version", "state", "style", "dataset", "metrics", "")
    text = table(head, rows) if rows else "no version is registered yet: run `atelier retrain`"
    result([one.as_dict for one in versions], as_json, text=text)


@commands.command("show", epilog="Example: atelier models show prod")
def models_show(version: VersionArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show a version: data, code, parameters, metrics, the gate's decision, when it was prod and why."""
    from atelier.tasks.registry.dvc_objects import open_objects
    from atelier.tasks.registry.model_details import version_details
    from atelier.tasks.registry.resolve import find_version

    found = Workspace.find(workspace)
    with open_objects(found) as kept:
        details = version_details(found, kept, find_version(found, version))
    result(details.as_dict, as_json, text=details.summary)


@commands.command("diff", epilog="Example: atelier models diff v1.0.0 prod")
def models_diff(
    before: VersionArgument,
    after: VersionArgument,
    out: OutOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: parameters, metrics, data, and the canary pictures as each paints them."""
    from atelier.flows.config.params import Params
    from atelier.tasks.evaluation.canaries import canaries
    from atelier.tasks.registry.dvc_objects import open_objects
    from atelier.tasks.registry.model_diff import diff_models, write_comparison_sheet
    from atelier.tasks.registry.resolve import find_version, resolve
    from atelier.tasks.registry.tags import MODEL

    found = Workspace.find(workspace)
    old, new = find_version(found, before), find_version(found, after)
    with open_objects(found) as kept:
        made = diff_models(found, kept, old, new)
    names = (one.name.removeprefix(f"{MODEL}@") for one in (old, new))
    file = out or found.reports / "models" / f"{'-'.join(names)}.png"
    try:
        params = Params(found.params)
        pictures = canaries(params.gate.canary, found.root, found.dataset, params.train.content)
        resolved = [(version.name, resolve(found, version.name).path) for version in (old, new)]
        write_comparison_sheet(pictures, resolved, file)
        made = replace(made, picture=str(file))
    except (OSError, RuntimeError, ValueError) as error:  # the numbers are useful without it
        made = replace(made, notes=(*made.notes, f"no picture: {error}"))
    result(made, as_json, text=made.summary)


@commands.command("verify", epilog="Example: atelier models verify --all")
def models_verify(
    version: Annotated[str | None, typer.Argument(help=_VERSION)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every registered version.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every file of a version and report what is missing or damaged; exit code 1 if anything is."""
    from atelier.flows.runs.progress import show_progress
    from atelier.tasks.registry.dvc_objects import open_objects
    from atelier.tasks.registry.resolve import find_version
    from atelier.tasks.registry.tags import list_models, list_versions
    from atelier.tasks.registry.verify import verify_versions

    if every == (version is not None):
        raise ValueError("name a version, like prod or v1.2.0, or give --all")
    found = Workspace.find(workspace)
    if version is not None:
        versions = [find_version(found, version)]
    else:
        versions = [one for model in list_models(found) for one in list_versions(found, model)]
    with open_objects(found) as kept, show_progress("verify", quiet=as_json) as report:
        verified = verify_versions(found, kept, versions, report)
    text = "\n".join(one.summary for one in verified) or "no version is registered yet: run `atelier retrain`"
    result(verified, as_json, text=text)
    if not all(one.whole for one in verified):
        raise typer.Exit(1)


@commands.command("push", epilog="Example: atelier models push")
def models_push(
    version: Annotated[str | None, typer.Argument(help=f"{_VERSION} Without it every version.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy versions, and the data they were made from, to DVC's remote; `git push --tags` copies the registry."""
    from atelier.tasks.registry.dvc_objects import open_objects
    from atelier.tasks.registry.push import push_versions
    from atelier.tasks.registry.resolve import find_version
    from atelier.tasks.registry.tags import list_models, list_versions

    found = Workspace.find(workspace)
    named = [find_version(found, version)] if version else None
    versions = named or [one for model in list_models(found) for one in list_versions(found, model)]
    with open_objects(found) as kept:
        pushed = push_versions(found, kept, versions)
    text = "\n".join(one.summary for one in pushed) or "no version is registered yet: run `atelier retrain`"
    result(pushed, as_json, text=text)


@commands.command("rollback", epilog='Example: atelier models rollback --reason "skies are green"')
def models_rollback(
    reason: Annotated[str, typer.Option(help="The reason, which the registry keeps.")],
    model: Annotated[str, typer.Argument(help="The model: style-model, or style-model-STYLE.")] = "style-model",
    to: Annotated[
        str | None, typer.Option(help="A version that was prod, like v1.1.0; by default the one before.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an earlier `prod` version `prod` again; nothing promotes the replaced version by itself."""
    from atelier.tasks.registry.promotion import rollback

    version = rollback(Workspace.find(workspace), reason, model, to)
    content = {"model": model, "version": version, "reason": reason}
    result(content, as_json, text=f"{model}@prod is {version} again")


@commands.command("starters", epilog="Example: atelier models starters")
def models_starters(as_json: JsonOption = False) -> None:
    """List the models that come with Atelier: `atelier stylize photo.jpg painted.jpg --model starter/NAME`."""
    from atelier.tasks.registry.starter_models import list_starters

    found = list_starters()
    result(found, as_json, text="\n".join(f"{one.name:<20} {one.says}" for one in found))


@commands.command("styles", epilog="Example: atelier models styles starter/paintings --sheet photo.jpg")
def models_styles(
    model: Annotated[str, typer.Argument(help="style-model@prod, style-model@v1.2.0, starter/NAME or a model folder.")],
    sheet: Annotated[Path | None, typer.Option(help="A picture to paint in every style.")] = None,
    out: Annotated[Path, typer.Option(help="The PNG that --sheet writes.")] = Path("styles.png"),
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the styles that a model knows by name, for `atelier stylize … --style NAME`."""
    from atelier.tasks.inference.model_lookup import find_model
    from atelier.tasks.inference.style_sheet import style_names, write_style_sheet

    found = find_model(model, workspace)
    names = style_names(found.folder)
    text = "\n".join(names) or f"{model} knows no style by name"
    if sheet is not None:
        write_style_sheet(found.folder, sheet, out)
        text += f"\n{out}: {sheet.name} in each of them"
    result({"styles": names, "sheet": None if sheet is None else str(out)}, as_json, text=text)


@commands.command("promote", epilog='Example: atelier models promote v1.2.0 --reason "looks better on portraits"')
def models_promote(
    version: Annotated[str, typer.Argument(help="A registered version; v1.2.0 means style-model's.")],
    reason: Annotated[str, typer.Option(help="The reason, which the registry keeps.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a registered version `prod`."""
    from atelier.tasks.registry.promotion import promote
    from atelier.tasks.registry.tags import MODEL, parse_name

    model, version = parse_name(version) or (MODEL, version)
    promote(Workspace.find(workspace), version, reason=reason, model=model)
    content = {"model": model, "version": version, "reason": reason}
    result(content, as_json, text=f"{model}@prod is now {version}")


@commands.command("approve", epilog='Example: atelier models approve v1.2.0 --reason "looks better on portraits"')
def models_approve(
    reason: Annotated[str, typer.Option(help="The reason, which the registry keeps.")],
    version: Annotated[str, typer.Argument(help="A version that awaits approval; by default the newest.")] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version that awaits approval `prod` by the flow `approve`, which restyles subscribed archives with it."""
    from atelier.flows.runs.services import services
    from atelier.tasks.workspace.run_record import RunRecord

    found = Workspace.find(workspace)
    os.environ["ATELIER_WORKSPACE"] = str(found.root)
    with services(found, "approve"):
        from atelier.flows.retrain import approve

        record = approve(version, reason)
        assert isinstance(record, RunRecord)  # the call unwraps a state that the flow returns
        result(record, as_json, text=record.summary)


@commands.command("reject", epilog='Example: atelier models reject v1.2.0 --reason "skies are green"')
def models_reject(
    version: Annotated[str, typer.Argument(help="A version that awaits approval; v1.2.0 means style-model's.")],
    reason: Annotated[str, typer.Option(help="The reason, which the registry keeps.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Do not approve a version; nothing promotes it by itself later."""
    from atelier.tasks.registry.promotion import reject
    from atelier.tasks.registry.tags import MODEL, parse_name

    model, version = parse_name(version) or (MODEL, version)
    reject(Workspace.find(workspace), version, reason, model)
    print(f"{model}@{version} is rejected")
