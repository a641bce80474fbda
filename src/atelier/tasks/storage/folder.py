"""Folders as sources, local or at a URL: all files below, in the order of their names.

No link is followed out of the folders that are allowed, or to a folder that is listed already. A path that is no file,
or that cannot be accessed, is listed with its problem. Nothing is opened, so nothing can wait.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from atelier.tasks.storage.companion_files import FOLDER_LINK, FOLDER_MARKER
from atelier.tasks.storage.entry import Entry, printable
from atelier.tasks.storage.file_source import IS_FOLDER, FileSource, object_entry, plain_entry
from atelier.tasks.storage.location import objects_below


class Folder(FileSource):
    """A folder at a path. Its files, and those that its links lead to, lie below `roots`, of which it is the first."""

    def __init__(self, spec: str, roots: Sequence[Path]) -> None:
        self.spec, self.roots = spec, roots

    def entries(self) -> Iterator[Entry]:
        """Every file below, sorted by path."""
        root = str(self.roots[0])
        entered: set[str] = set()  # folders outside, each listed once: links neither go round nor multiply files
        stack = [("", root, iter(_children(root)))]  # prefix of the names in a folder, its path, its children
        while stack:
            prefix, folder, children = stack[-1]
            child = next(children, None)
            if child is None:
                stack.pop()
                continue
            name, path = prefix + child.rstrip("/"), f"{folder}/{child}".rstrip("/")
            is_link = not child.endswith("/")  # or a file
            if is_link:
                entry = plain_entry(name, self.spec, path, self.roots)
                if entry.problem != IS_FOLDER:
                    yield entry
                    continue
                path = entry.path
            inside = _is_below(path, root)
            if path in entered or (inside and (is_link or not _is_below(folder, root))):
                yield Entry(printable(name), self.spec, skipped=FOLDER_LINK)
                continue
            if not inside:
                entered.add(path)
            try:
                stack.append((f"{name}/", path, iter(_children(path))))
            except OSError as error:
                problem = f"the folder cannot be read: {error.strerror}"
                yield Entry(name=printable(name), source=self.spec, problem=problem)


class UrlFolder(FileSource):
    """A folder at a URL."""

    def __init__(self, spec: str, url: str) -> None:
        self.spec, self.url = spec, url

    def entries(self) -> Iterator[Entry]:
        """Every object below, sorted by key. Raises OSError where they cannot be listed."""
        bucket_url = "/".join(self.url.split("/")[:3])
        prefix = f"{self.url}/".removeprefix(f"{bucket_url}/")
        for info in objects_below(self.url):
            yield _object(info["Key"].removeprefix(prefix), self.spec, f"{bucket_url}/{info['Key']}", info)


def _object(name: str, spec: str, url: str, info: dict[str, Any]) -> Entry:
    """The entry of a key: any text, where a file has a path."""
    if name and not name.endswith("/"):
        return object_entry(f".{name}" if name.startswith("/") else name, spec, url, info)
    shown = printable(name or "./")
    if not info["Size"]:  # programs mark folders so
        return Entry(shown, spec, skipped=FOLDER_MARKER)
    return Entry(shown, spec, problem="its key ends with /, so that it has no file name")


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _children(folder: str) -> list[str]:
    """The names in a folder, folders with a slash, sorted as the paths below them are."""
    with os.scandir(folder) as children:
        return sorted(c.name + "/" * c.is_dir(follow_symlinks=False) for c in children)
