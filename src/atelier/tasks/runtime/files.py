"""Files that are complete or not there, and tables that are safe to open."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Write a file, complete or not at all; its folder is made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner reads, never readable by others for a moment; its folder is there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file whose cells no spreadsheet takes for a formula and no terminal for a command."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(text: str) -> str:
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return f"'{safe}" if safe.startswith(("=", "+", "-", "@")) else safe
