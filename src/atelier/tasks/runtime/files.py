"""Writing files: whole, secret, and as CSV that is safe to open; the folder of caches."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from atelier.models.files import replacing
from atelier.tasks.runtime.errors import printable


def cache_folder(part: str) -> Path:
    """A folder of what can be made again, below `$ATELIER_CACHE`; this user's own, created if needed."""
    folder = Path(os.environ.get("ATELIER_CACHE") or Path.home() / ".cache" / "atelier") / part
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write(path: Path, data: bytes) -> None:
    """Write a file, complete or not at all; its folder is created if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, complete or not at all; its folder exists."""
    with replacing(path) as temporary:
        temporary.touch(0o600, exist_ok=False)  # before it has content
        temporary.write_text(text)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file in which no cell is a formula to a spreadsheet or a command to a terminal."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(text: str) -> str:
    safe = printable(text)
    return f"'{safe}" if safe.startswith(("=", "+", "-", "@")) else safe
