"""The subcommands about the weights of perceptual encoders."""

from typing import Annotated

import typer

from atelier.flows.cli.output import JsonOption, result
from atelier.flows.cli.table import table

commands = typer.Typer(help="Weights of the perceptual encoders.", no_args_is_help=True)


@commands.command("list", epilog="Example: atelier encoders list")
def encoders_list(as_json: JsonOption = False) -> None:
    """List the encoders: whether their weights are on this machine, the download size, and their use."""
    from atelier.tasks.runtime.encoder_weights import status

    rows = status()
    lines = [(row.name, "ready" if row.ready else "missing", f"{row.megabytes} MB", row.used_for) for row in rows]
    result(rows, as_json, text=table(("encoder", "state", "size", "use"), lines))


@commands.command("pull", epilog="Example: atelier encoders pull inception")
def encoders_pull(
    name: Annotated[str, typer.Argument(help="An encoder of `atelier encoders list`.")],
    optional: Annotated[
        bool, typer.Option("--optional", help="If the download fails, say so and exit with code 0.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Download an encoder's weights, check their sha256 and convert them once."""
    from atelier.flows.runs.progress import show_progress
    from atelier.tasks.runtime.encoder_download import pull
    from atelier.tasks.runtime.errors import one_line

    try:
        with show_progress("pull", quiet=as_json) as report:
            path = pull(name, report)
        result({"name": name, "path": str(path)}, as_json, text=f"{name} is ready: {path}")
    except (OSError, RuntimeError) as error:
        if not optional:
            raise
        text = f"{name} could not be downloaded, evaluation works without it: {error}"
        result({"name": name, "path": None, "problem": one_line(error)}, as_json, text=text)
