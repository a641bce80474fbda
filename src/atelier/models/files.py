"""Files written whole: a temporary file beside the target, renamed when it is complete."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` that no other writer has; a file that is still there at the end is removed."""
    file = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write, which replaces `path` at the end of the block; after an error nothing has changed."""
    with temporary(path) as file:
        yield file
        file.replace(path)
