"""The files below a folder, here or at a URL, in the order of their names.

No link is followed out of the folder or to another folder of it. What is no file, or cannot be looked at, is listed
with its problem; nothing is opened, so nothing can wait.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atelier.tasks.storage.entry import Entry, is_hidden, name_problem, printable
from atelier.tasks.storage.location import filesystem, s3_errors, stat_of_info

FOLDER = "a folder"


def folder_entries(spec: str, root: Path) -> Iterator[Entry]:
    """Walk a folder (absolute, free of links).

    Raises:
        ValueError: it cannot be read.
    """
    stack = [iter(_children(root))]
    prefixes = [""]  # of the names in each folder of the stack
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
            prefixes.pop()
            continue
        name = prefixes[-1] + child
        if not child.endswith("/"):
            entry = plain_entry(name, spec, f"{root}/{name}", root)
            if entry.problem != FOLDER:  # a link that shows nothing that is not listed at its own place
                yield entry
            continue
        try:
            stack.append(iter(_children(root / name)))
            prefixes.append(name)
        except OSError as error:
            problem = f"the folder cannot be read: {error.strerror}"
            yield Entry(name=printable(name.rstrip("/")), source=spec, problem=problem)


def url_entries(spec: str, url: str) -> Iterator[Entry]:
    """Walk a folder at a URL.

    Raises:
        OSError: it cannot be listed.
    """
    system, top = filesystem(url)
    stack: list[str | Entry] = [top]
    while stack:
        path = stack.pop()
        if isinstance(path, Entry):
            yield path
            continue
        below: list[tuple[str, str | Entry]] = []
        with s3_errors():
            found = system.ls(path, detail=True)
        for info in found:
            name = info["name"].removeprefix(top).lstrip("/")
            last = info["name"].rstrip("/").rpartition("/")[2]
            if info["name"].rstrip("/") == path.rstrip("/") or is_hidden(last):
                continue  # the folder itself, where a program has made an object of it
            if info["type"] == "directory":
                below.append((last + "/", info["name"]))
            else:
                below.append((last, object_entry(name, spec, f"{url.partition('://')[0]}://{info['name']}", info)))
        stack.extend(item for _, item in sorted(below, key=lambda pair: pair[0], reverse=True))


def file_entry(name: str, spec: str, path: Path, root: Path) -> Entry:
    """A file below `root` (absolute, free of links), which it must not leave through a link."""
    if problem := name_problem(name):
        return Entry(name=printable(name), source=spec, problem=problem)
    try:
        target = path.resolve(strict=True)
        facts = target.stat()
    except (OSError, RuntimeError) as error:
        return Entry(name=name, source=spec, problem=_unreachable(path, error))
    problem = _mode_problem(facts.st_mode) if target.is_relative_to(root) else "a link that leads out of the source"
    return Entry(name, spec, facts.st_size, f"mtime:{facts.st_mtime_ns}", "file", str(target), problem=problem)


def plain_entry(name: str, spec: str, path: str, root: Path) -> Entry:
    """The same where the way to the file has no link: a million plain files take this way, and cost one call each."""
    if problem := name_problem(name):
        return Entry(name=printable(name), source=spec, problem=problem)
    try:
        facts = os.lstat(path)
    except OSError as error:
        return Entry(name=name, source=spec, problem=_unreachable(Path(path), error))
    if stat.S_ISLNK(facts.st_mode):
        return file_entry(name, spec, Path(path), root)
    return Entry(
        name, spec, facts.st_size, f"mtime:{facts.st_mtime_ns}", "file", path, problem=_mode_problem(facts.st_mode)
    )


def object_entry(name: str, spec: str, url: str, info: dict[str, Any]) -> Entry:
    """An object of which fsspec has told `info`."""
    if problem := name_problem(name):
        return Entry(name=printable(name), source=spec, problem=problem)
    size, etag = stat_of_info(info)
    return Entry(name, spec, size, etag, "file", url)


def _children(folder: Path) -> list[str]:
    """The names in a folder, of folders with a slash, sorted as the paths below them are; no hidden ones."""
    with os.scandir(folder) as children:
        return sorted(c.name + "/" * c.is_dir(follow_symlinks=False) for c in children if not is_hidden(c.name))


def _mode_problem(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    return FOLDER if stat.S_ISDIR(mode) else "a pipe, socket or device, not a file"


def _unreachable(path: Path, error: OSError | RuntimeError) -> str:
    """Why a path leads to no file."""
    if isinstance(error, RuntimeError):  # this is how pathlib tells of a loop
        return "a link that leads to itself"
    if isinstance(error, FileNotFoundError):
        return "a link to nothing" if path.is_symlink() else "no such file"
    return f"cannot be read: {error.strerror}"
