"""The command `atelier`: every subcommand, and what all of them have in common.

Exit codes: 0 done; 1 the job failed; 2 wrong usage or bad input; 3 finished, but some inputs are in quarantine;
4 finished, but the gate refused the model.
"""

import gc
import os
import signal
import sys
import traceback
from itertools import pairwise
from typing import Annotated

import typer

from atelier.flows.cli import create, datasets, edit, encoders, generate, models, pipeline, services, stylize
from atelier.tasks.runtime.child_environment import safe_environment
from atelier.tasks.runtime.errors import USER_ERRORS, user_message
from atelier.version import __version__

app = typer.Typer(
    name="atelier",
    help="Train image-translation GANs and run them over large image archives.\n\n"
    "Prefect decides when, DVC decides whether, Ray decides where, PyTorch decides how.",
    epilog="Start with: atelier init my-style --content PHOTOS --style PAINTINGS && cd my-style && atelier retrain",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (create, pipeline, stylize, edit, generate, services):
    app.add_typer(part.commands)
app.add_typer(models.commands, name="models")
app.add_typer(datasets.commands, name="datasets")
app.add_typer(encoders.commands, name="encoders")

VERBOSITIES = {"-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose", "--debug": "debug"}
INTERRUPTED = 130  # typer's exit code for Ctrl-C
TERMINATED = 128 + signal.SIGTERM
# objects between collections: commands import many objects and none is garbage; with Python's own thresholds a tenth of
# their processor time goes into looking for some
GC_THRESHOLDS = (50_000, 20, 20)


def main() -> None:
    """Run the command; an error is one line, and its traceback is shown with --debug only."""
    arguments = _without_verbosity(sys.argv[1:])
    gc.set_threshold(*GC_THRESHOLDS)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(TERMINATED))  # closes what is open, as Ctrl-C does
    os.environ.update(safe_environment())
    try:
        _check_not_empty(arguments)
        app(arguments, prog_name="atelier")
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED):
            print("atelier: interrupted; the same command again continues", file=sys.stderr)
        raise
    except Exception as error:  # noqa: BLE001 - the one place where every error becomes a line and an exit code
        if os.environ.get("ATELIER_VERBOSITY") == "debug":
            traceback.print_exc()
        print(f"atelier: {user_message(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, USER_ERRORS) else 1)


def _check_not_empty(arguments: list[str]) -> None:
    """Refuse an empty argument, which as a path is the current folder; the value of an option may be empty."""
    for before, argument in pairwise(("", *arguments)):
        if not argument and not before.startswith("-"):
            raise ValueError(
                "an argument is empty, as a variable of the shell that is not set: write . for this folder"
            )


def _without_verbosity(arguments: list[str]) -> list[str]:
    """The arguments without the options of verbosity, which may stand anywhere and are passed on in the environment."""
    taken = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if given := [VERBOSITIES[one] for one in taken if one in VERBOSITIES]:
        os.environ["ATELIER_VERBOSITY"] = given[-1]
    return [one for one in taken if one not in VERBOSITIES] + arguments[len(taken) :]


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors and the result only. Anywhere.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show also what Prefect, DVC and Ray write. Anywhere.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show also the traceback of an error. Anywhere.")] = False,
) -> None:
    """Options of every command; `main` takes those of verbosity, wherever they stand."""
    if version:
        print(f"atelier {__version__}")
        raise typer.Exit
