"""The subcommand `params`, and those about this machine: the services that commands use, its state, and its disk."""

import shlex
from typing import Annotated

import typer

from atelier.flows.cli.completion import complete_log
from atelier.flows.cli.output import JsonOption, WorkspaceOption, YesOption, asks, confirm, result
from atelier.tasks.workspace.layout import Workspace

commands = typer.Typer()


@commands.command(epilog="Example: atelier params train.cyclegan")
def params(
    key: Annotated[
        str | None, typer.Argument(metavar="[SECTION]", help="A section, like train, or a part of it, like train.loop.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print all parameters, with their defaults. Comments give their meaning."""
    from ruamel.yaml import YAML

    from atelier.flows.config.defaults import defaults
    from atelier.flows.config.params import SECTIONS, nearest
    from atelier.flows.config.render import render
    from atelier.tasks.training.config import train_config_class

    configs = defaults()
    if key is None:
        text = render(configs)
    else:
        section, part = (*key.split("."), "")[:2]
        if section not in configs:
            raise ValueError(f"unknown section {section!r}{nearest(section, SECTIONS)}")
        if section == "train":
            configs["train"] = train_config_class({part: {}})()  # it may be a plugin's
        text = render({section: configs[section]}, None if key == section else [key])
        if not text:
            raise ValueError(f"unknown parameter {key!r}: `atelier params {section}` prints all of {section}")
    result(YAML(typ="safe", pure=True).load(text) if as_json else None, as_json, text=text.rstrip())


@commands.command(epilog="Example: atelier up, or ATELIER_DATABASE=postgresql://… atelier up")
def up(
    database: Annotated[
        str | None,
        typer.Option(
            help="postgresql://USER:PASSWORD@HOST:5432/NAME for Prefect's runs and schedules, instead of a file. Other "
            "users of the machine see the command line: ATELIER_DATABASE is safer."
        ),
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Also start Ray's dashboard, for `ray status` and `ray job submit` too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start Prefect server and Ray cluster.

    Every later command uses them. What runs already stays as it is; what has ended is started again. Other commands do
    the same when nothing is up. Where RAY_ADDRESS names a cluster, that one is used, and never stopped.
    """
    from atelier.flows.control_plane.plane import up as start
    from atelier.flows.runs.terminal import waiting

    with waiting("starting the Prefect server and the Ray cluster"):
        plane = start(database=database, dashboard=dashboard)
    facts = {"prefect": plane.ui_url, "ray": plane.ray_address, "dashboard": plane.dashboard, "started": plane.started}
    result(facts, as_json, text=plane.sentence)


@commands.command(epilog="Example: atelier down")
def down(as_json: JsonOption = False) -> None:
    """Stop what `atelier up` started. A command that found nothing up may have started it instead."""
    from atelier.flows.control_plane.plane import down as stop
    from atelier.flows.runs.terminal import waiting

    with waiting("stopping the Prefect server and the Ray cluster"):
        stopped = stop()
    text = f"stopped the {' and the '.join(stopped)}" if stopped else "nothing of atelier's is up"
    result({"stopped": stopped}, as_json, text=text)


@commands.command(epilog="Example: atelier ui, or atelier ui --job ~/restyled, or atelier ui --prefect")
def ui(
    job: Annotated[
        list[str] | None,
        typer.Option(metavar="DESTINATION", help="Destination of a bulk job that lies elsewhere. Repeatable."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the gallery; by default the first free one.")] = None,
    prefect: Annotated[bool, typer.Option("--prefect", help="Open Prefect's pages instead, and end.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve the gallery of a workspace until Ctrl-C, and open it in a browser, signed in.

    It shows versions beside prod, bulk jobs and datasets. Where there is no browser, print the address and the password
    to paste there.
    """
    from atelier.flows.cli import gallery

    if prefect:
        from atelier.flows.cli.environment import prefect_api

        gallery.open_prefect(prefect_api()["PREFECT_API_URL"])
    else:
        gallery.serve(Workspace.find(workspace), job or [], port)


@commands.command(epilog='Example: eval "$(atelier env)" && prefect flow-run ls && ray status')
def env(as_json: JsonOption = False) -> None:
    """Print the variables by which `prefect`, `ray`, `dvc` and `gto` work by hand.

    They name the servers that are up, with password and token, and the programs beside `atelier`.
    """
    from atelier.flows.cli.environment import by_hand

    variables = by_hand()
    text = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
    result(variables, as_json, text=text)


@commands.command(epilog="Example: atelier status")
def status(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show servers, schedules, models and disk.

    Also the result of the last `atelier retrain`. Starts nothing.
    """
    from atelier.flows.cli.status import collect
    from atelier.flows.runs.terminal import waiting

    with waiting("asking the servers"):
        found = collect(workspace)
    result(found, as_json, text=found.summary)


@commands.command(epilog="Example: atelier logs, or atelier logs retrain -f")
def logs(
    run: Annotated[
        str,
        typer.Argument(
            metavar="[RUN]",
            help="Name of a log, its beginning, or a command; the newest by default.",
            autocompletion=complete_log,
        ),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print what comes, until the run has ended.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the logs: a name is its start and its command.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Print what Prefect, DVC, Ray and other libraries wrote during a command; outside workspaces: during `stylize`."""
    from atelier.flows.runs.logs import find_log, list_logs, logs_folder, read_log

    folder = logs_folder(Workspace.find_or_none(workspace))
    if listed:
        print("\n".join(log.stem for log in list_logs(folder)) or f"no log in {folder}")
        return
    for text in read_log(find_log(folder, run), follow):
        print(text, end="", flush=True)


@commands.command(epilog="Example: atelier doctor")
def doctor(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Check this machine and suggest remedies.

    Checks packages, Ray, GPU, Prefect, DVC, disk, memory and encoder weights.
    """
    from atelier.flows.cli.doctor import examine

    checks = examine(Workspace.find(workspace) if workspace else None)
    lines = [f"{c.status:<5} {c.name:<12} {c.what}" + (f"\n{'':<18} → {c.remedy}" if c.remedy else "") for c in checks]
    result(checks, as_json, text="\n".join(lines))
    if any(c.status == "fail" for c in checks):
        raise typer.Exit(1)


@commands.command(epilog="Example: atelier gc --dry-run")
def gc(
    keep: Annotated[int, typer.Option(help="Promotions, and newest versions, of each model to keep.")] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    yes: YesOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete data and models that nothing needs.

    Deletes old data, models, version folders and checkpoints that no version and no work in progress needs. Kept are,
    of each model: prod, the versions that were prod in the last promotions, and the newest versions. Kept is also what
    the workspace, its worktrees, branches and your own tags name. Does not run while other commands work in the
    workspace.
    """
    from atelier.tasks.registry.garbage_collection import collect_garbage

    found = Workspace.find(workspace)
    if not dry_run and asks(yes):
        confirm(collect_garbage(found, keep, dry_run=True).summary)
    collected = collect_garbage(found, keep, dry_run)
    result(collected, as_json, text=collected.summary)
