"""The command `atelier`: every subcommand, and what all of them have in common.

Exit codes: 0 done; 1 the job failed; 2 wrong usage or bad input; 3 finished, but some inputs are in quarantine;
4 finished, but the gate refused the model.
"""

import gc
import os
import signal
import sys
import traceback
from typing import Annotated

import typer

from atelier.flows.cli import datasets, encoders, models, pipeline, services, stylize
from atelier.tasks.runtime.child_environment import safe_environment
from atelier.tasks.runtime.errors import user_message
from atelier.version import __version__

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
for part in (pipeline, stylize, services):
    app.add_typer(part.commands)
app.add_typer(models.commands, name="models")
app.add_typer(datasets.commands, name="datasets")
app.add_typer(encoders.commands, name="encoders")

INTERRUPTED = 130  # typer's exit code for Ctrl-C
TERMINATED = 128 + signal.SIGTERM
# objects between collections: commands import many objects and none is garbage; with Python's own thresholds a tenth of
# their processor time goes into looking for some
GC_THRESHOLDS = (50_000, 20, 20)


def main() -> None:
    """Run the command; an error is one line, and its traceback is shown with --debug only."""
    debug = "--debug" in sys.argv[1:]
    gc.set_threshold(*GC_THRESHOLDS)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(TERMINATED))  # closes what is open, as Ctrl-C does
    os.environ.update(safe_environment())
    # Prefect's database has every log line; the terminal shows progress and one line for an error
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO" if debug else "CRITICAL")
    try:
        app(prog_name="atelier")
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED):
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
