"""The terminal of a command, which has our own lines only: what libraries write goes into a log.

Libraries write to standard error, from Python and from C++, and so do child processes; Ray also writes to standard
output, which is for results alone. While a log is open, file descriptors 1 and 2 lead to it, and our own lines and
results go to copies of the descriptors from before.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import rich
from rich.console import Console

from atelier.flows.runs.logs import logs_folder, new_log
from atelier.flows.runs.standard_streams import diverted, output_to
from atelier.tasks.runtime.errors import USER_ERRORS
from atelier.tasks.runtime.progress import RECORDS, to_parent
from atelier.tasks.workspace.layout import Workspace

LOG = "ATELIER_LOG"  # name of the log of this process and its children


class Verbosity(StrEnum):
    """What a command writes on standard error besides its result; the value of ATELIER_VERBOSITY."""

    quiet = "quiet"  # errors only
    normal = "normal"  # also progress
    verbose = "verbose"  # also what libraries write, which goes into no log then
    debug = "debug"  # also the traceback of an error


def verbosity() -> Verbosity:
    """The verbosity of this process and its children. Raises ValueError where the variable has another value."""
    given = os.environ.get("ATELIER_VERBOSITY", Verbosity.normal)
    if given not in list(Verbosity):
        raise ValueError(f"ATELIER_VERBOSITY is {given!r}: set it to {', '.join(Verbosity)}")
    return Verbosity(given)


def console() -> Console:
    """The console of our own lines: rich's, on standard error."""
    if not rich.get_console().stderr:
        rich.reconfigure(stderr=True, quiet=verbosity() is Verbosity.quiet, highlight=False)
    return rich.get_console()


def say(sentence: str) -> None:
    """Write a line beside the result; a stage that a command runs passes it on."""
    if RECORDS in os.environ:
        to_parent(sentence)
    else:
        console().print(sentence, markup=False, soft_wrap=True)


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that a step without progress goes on, until the block ends: a spinner on a terminal, nothing elsewhere."""
    if verbosity() in (Verbosity.verbose, Verbosity.debug):
        yield
        return
    with console().status(what):
        yield


@contextlib.contextmanager
def library_log(workspace: Workspace | None, name: str) -> Iterator[None]:
    """What libraries and children write in the block goes into a new log, unless this process has one already.

    An error of the block that is not the user's gets a note which names the log.
    """
    if {LOG, RECORDS}.intersection(os.environ):  # by this process, or by the one that started it
        yield
        return
    if verbosity() in (Verbosity.verbose, Verbosity.debug):
        with output_to(2):
            yield
        return
    with new_log(logs_folder(workspace), name) as log:
        run = Path(log.name).stem
        with output_to(log.fileno()), _standard_error_to(log.fileno()):
            os.environ[LOG] = run
            try:
                yield
            except Exception as error:
                if not isinstance(error, USER_ERRORS):
                    error.add_note(f"details: `atelier logs {run}`")
                raise
            finally:
                os.environ.pop(LOG, None)


@contextlib.contextmanager
def _standard_error_to(descriptor: int) -> Iterator[None]:
    """Standard error leads to another file in the block; our own lines stay where they were."""
    with diverted(2, sys.stderr, descriptor) as own:
        rich.reconfigure(file=own, stderr=True, quiet=console().quiet, highlight=False)
        try:
            yield
        finally:
            rich.reconfigure(stderr=True, quiet=console().quiet, highlight=False)
