"""Sources whose entries are files of their own: their entries, how they are read, and a single file as a source."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from atelier.tasks.images.codec import BadImage
from atelier.tasks.storage.entry import Entry, name_problem, printable
from atelier.tasks.storage.location import FileStat, is_url, read_range, stat_of_info
from atelier.tasks.storage.source import Source

IS_FOLDER = "a folder"  # the problem of an entry that leads to one
NO_FILE = "no such file"  # of one that is not there


class FileSource(Source):
    """A source whose entries are files of their own, at a path or URL."""

    kind = "file"

    @classmethod
    def read(cls, entry: Entry, max_bytes: int) -> bytes:
        """The whole file."""
        if is_url(entry.path):
            data = _checked(read_range(entry.path, 0, max_bytes + 1), max_bytes)
            if len(data) < entry.size:
                raise BadImage(f"the store sent {len(data):,} of {entry.size:,} bytes")
            return data
        # a file may have become a link or a pipe since it was listed: open neither, and never wait
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(entry.path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadImage("a pipe, socket or device, not a file")
            return _checked(file.read(max_bytes + 1) or b"", max_bytes)  # None where one would have to wait

    @classmethod
    def stamp(cls, entry: Entry, stat: Callable[[str], FileStat]) -> tuple[str, str]:
        """Its own name, size and etag."""
        if entry.problem:
            return entry.name, f"unreadable: {entry.problem}"
        name = entry.name if entry.record < 0 else str(PurePosixPath(entry.name).parent)
        return name, f"{entry.size} {entry.etag}"


class SingleFile(FileSource):
    """One file at a path or URL."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def entries(self) -> Iterator[Entry]:
        """The file."""
        yield self.entry


def file_entry(name: str, spec: str, path: Path, roots: Sequence[Path]) -> Entry:
    """A file below one of `roots` (absolute, free of links), which it must not leave through a link."""
    if problem := name_problem(name):
        return Entry(name=printable(name), source=spec, problem=problem)
    try:
        target = path.resolve(strict=True)
        status = target.stat()
    except (OSError, RuntimeError) as error:
        return Entry(name=name, source=spec, problem=_unreachable(path, error))
    if not any(target.is_relative_to(root) for root in roots):
        return Entry(name=name, source=spec, problem="a link that leads out of the source")
    return _entry(name, spec, str(target), status, _mode_problem(status.st_mode))


def plain_entry(name: str, spec: str, path: str, roots: Sequence[Path]) -> Entry:
    """As `file_entry`, where no folder of the path is a link: one call for each of a million plain files."""
    if problem := name_problem(name):
        return Entry(name=printable(name), source=spec, problem=problem)
    try:
        status = os.lstat(path)
    except OSError as error:
        return Entry(name=name, source=spec, problem=_unreachable(Path(path), error))
    if stat.S_ISLNK(status.st_mode):
        return file_entry(name, spec, Path(path), roots)
    return _entry(name, spec, path, status, _mode_problem(status.st_mode))


def link_roots(root: Path, given: Sequence[str], base: Path) -> tuple[Path, ...]:
    """The folders that files of a source may lie in: its own, those that a user declares, and a hub cache's blobs.

    The snapshot of a Hugging Face cache, `snapshots/REVISION`, consists of links to `blobs`, beside `snapshots`.

    Raises:
        ValueError: a declared folder does not exist.
    """
    roots = [root]
    for text in given:
        folder = (base / Path(text).expanduser()).resolve()
        if not folder.is_dir():
            raise ValueError(f"links cannot be followed to {text}: it is no folder (looked for {folder})")
        roots.append(folder)
    for folder in (root, *root.parents):
        blobs = folder.parent.parent / "blobs"
        if folder.parent.name == "snapshots" and blobs.is_dir():
            roots.append(blobs.resolve())
    return tuple(roots)


def object_entry(name: str, spec: str, url: str, info: dict[str, Any]) -> Entry:
    """A file at a URL, of which fsspec says `info`."""
    if problem := name_problem(name):
        return Entry(name=printable(name), source=spec, problem=problem)
    size, etag = stat_of_info(info)
    return Entry(name, spec, size, etag, FileSource.kind, url)


def _entry(name: str, spec: str, path: str, status: os.stat_result, problem: str) -> Entry:
    return Entry(name, spec, status.st_size, f"mtime:{status.st_mtime_ns}", FileSource.kind, path, problem=problem)


def _mode_problem(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    return IS_FOLDER if stat.S_ISDIR(mode) else "a pipe, socket or device, not a file"


def _unreachable(path: Path, error: OSError | RuntimeError) -> str:
    """Why a path leads to no file."""
    if isinstance(error, RuntimeError):  # pathlib's error for a loop of links
        return "a link that leads to itself"
    if isinstance(error, FileNotFoundError):
        return "a link to nothing" if path.is_symlink() else NO_FILE
    return f"cannot be read: {error.strerror}"


def _checked(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise BadImage(f"the file has more bytes than the limit of {max_bytes:,}")
    return data
