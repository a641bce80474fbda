"""The subcommand `params`, and those about this machine: the services that commands use, its state, and its disk."""

import os
import shlex
from typing import Annotated

import typer

from atelier.flows.cli.output import JsonOption, WorkspaceOption, result
from atelier.tasks.workspace.layout import Workspace

commands = typer.Typer()


@commands.command(epilog="Example: atelier params train.cyclegan")
def params(
    key: Annotated[
        str | None, typer.Argument(metavar="[SECTION]", help="A section, like train, or a part of it, like train.loop.")
    ] = None,
) -> None:
    """Print all parameters, with their defaults. Comments give their meaning."""
    from atelier.flows.config.defaults import defaults
    from atelier.flows.config.params import SECTIONS, nearest
    from atelier.flows.config.render import render
    from atelier.tasks.training.config import train_config_class

    configs = defaults()
    if key is None:
        print(render(configs), end="")
        return
    section, part = (*key.split("."), "")[:2]
    if section not in configs:
        raise ValueError(f"unknown section {section!r}{nearest(section, SECTIONS)}")
    if section == "train":
        configs["train"] = train_config_class({part: {}})()  # it may be a plugin's
    text = render({section: configs[section]}, None if key == section else [key])
    if not text:
        raise ValueError(f"unknown parameter {key!r}: `atelier params {section}` prints all of {section}")
    print(text, end="")


@commands.command(epilog="Example: atelier up, or ATELIER_DATABASE=postgresql://… atelier up")
def up(
    database: Annotated[
        str | None,
        typer.Option(
            help="postgresql://USER:PASSWORD@HOST:5432/NAME for Prefect's runs and schedules, instead of a file. Other "
            "users of the machine see the command line: ATELIER_DATABASE is safer."
        ),
    ] = None,
) -> None:
    """Start Prefect server and Ray cluster.

    Every later command uses them. What runs already stays as it is; what has ended is started again. Other commands do
    the same when nothing is up. Where RAY_ADDRESS names a cluster, that one is used, and never stopped.
    """
    from atelier.flows.control_plane.plane import up as start

    print(start(database=database).sentence)


@commands.command(epilog="Example: atelier down")
def down() -> None:
    """Stop what `atelier up` started. A command that found nothing up may have started it instead."""
    from atelier.flows.control_plane.plane import down as stop

    stopped = stop()
    print(f"stopped the {' and the '.join(stopped)}" if stopped else "nothing of atelier's is up")


@commands.command(epilog="Example: atelier ui, or atelier ui --job ~/restyled, or atelier ui --prefect")
def ui(
    job: Annotated[
        list[str] | None, typer.Option(help="Destination of a bulk job that lies elsewhere. Repeatable.")
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
        gallery.open_prefect(_prefect_variables()["PREFECT_API_URL"])
    else:
        gallery.serve(Workspace.find(workspace), job or [], port)


@commands.command(epilog='Example: eval "$(atelier env)" && prefect flow-run ls')
def env() -> None:
    """Print the variables for the command `prefect`: the server's address and password."""
    for name, value in _prefect_variables().items():
        print(f"export {name}={shlex.quote(value)}")


def _prefect_variables() -> dict[str, str]:
    """The variables of the server that commands use, which must be up."""
    from atelier.flows.control_plane.plane import status as running

    if named := os.environ.get("PREFECT_API_URL"):
        return {"PREFECT_API_URL": named}
    if plane := running():
        return plane.prefect_variables
    raise ConnectionError("nothing of atelier's is up: `atelier up` starts it")


@commands.command(epilog="Example: atelier status")
def status(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show servers, schedules, models and disk.

    Also the result of the last `atelier retrain`. Starts nothing.
    """
    from atelier.flows.cli.status import collect

    found = collect(workspace)
    result(found, as_json, text=found.summary)


@commands.command(epilog="Example: atelier logs, or atelier logs retrain -f")
def logs(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="Name of a log, its beginning, or a command; the newest by default.")
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

    collected = collect_garbage(Workspace.find(workspace), keep, dry_run)
    result(collected, as_json, text=collected.summary)
