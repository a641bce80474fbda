"""The subcommands about the weights of perceptual encoders."""

from typing import Annotated

import typer

from atelier.flows.cli.output import JsonOption, result

commands = typer.Typer(help="Weights of the perceptual encoders.", no_args_is_help=True)


@commands.command("list", epilog="Example: atelier encoders list")
def encoders_list(as_json: JsonOption = False) -> None:
    """List the encoders: whether their weights are on this machine, the download size, and their use."""
    from atelier.tasks.runtime.encoder_weights import status

    rows = status()
    lines = [
        f"{row.name:<18} {'ready' if row.ready else 'missing':<8} {f'{row.megabytes} MB':>6}  {row.used_for}"
        for row in rows
    ]
    result(rows, as_json, text="\n".join(lines))


@commands.command("pull", epilog="Example: atelier encoders pull inception")
def encoders_pull(
    name: Annotated[str, typer.Argument(help="An encoder of `atelier encoders list`.")],
    optional: Annotated[
        bool, typer.Option("--optional", help="If the download fails, say so and exit with code 0.")
    ] = False,
) -> None:
    """Download an encoder's weights, check their sha256 and convert them once."""
    from atelier.flows.runs.progress import show_progress
    from atelier.tasks.runtime.encoder_download import pull

    try:
        with show_progress("pull") as report:
            path = pull(name, report)
        print(f"{name} is ready: {path}")
    except (OSError, RuntimeError) as error:
        if not optional:
            raise
        print(f"{name} could not be downloaded, evaluation works without it: {error}")
