"""Standard output and error: where results and our own lines stay, while what libraries write is led elsewhere.

Standard output is for results alone. Libraries write there too, as Ray does when a worker dies.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TextIO

_RESULTS: ContextVar[TextIO | None] = ContextVar("results", default=None)


def results() -> TextIO:
    """Where results are written: standard output, also while what libraries write there goes elsewhere."""
    return _RESULTS.get() or sys.stdout


@contextlib.contextmanager
def output_to(descriptor: int) -> Iterator[None]:
    """Standard output leads to another file in the block, from Python to standard error; results stay."""
    with diverted(1, results(), descriptor) as own, contextlib.redirect_stdout(sys.stderr):
        before = _RESULTS.set(own)
        try:
            yield
        finally:
            _RESULTS.reset(before)


@contextlib.contextmanager
def diverted(number: int, stream: TextIO, descriptor: int) -> Iterator[TextIO]:
    """File descriptor 1 or 2 leads to another file in the block.

    Args:
        number: of the descriptor.
        stream: that writes to it, unless a test put another there.
        descriptor: of the other file.

    Yields:
        A stream to where that one led before.
    """
    stream.flush()
    before = os.dup(number)
    own = stream
    if _leads_to(stream, number):
        own = os.fdopen(os.dup(number), "w", buffering=1, encoding=stream.encoding, errors=stream.errors)
    os.dup2(descriptor, number)
    try:
        yield own
    finally:
        stream.flush()
        os.dup2(before, number)
        os.close(before)
        if own is not stream:
            own.close()


def _leads_to(stream: TextIO, descriptor: int) -> bool:
    """Whether a stream writes to a file descriptor."""
    try:
        return stream.fileno() == descriptor
    except (io.UnsupportedOperation, AttributeError):
        return False
