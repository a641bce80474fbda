"""Folders as sources, local or at a URL: all files below, in the order of their names.

No link is followed out of the folder or to another folder of it. A path that is no file, or that cannot be accessed,
is listed with its problem. Nothing is opened, so nothing can wait.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from atelier.tasks.storage.companion_files import FOLDER_LINK, FOLDER_MARKER
from atelier.tasks.storage.entry import Entry, printable
from atelier.tasks.storage.file_source import IS_FOLDER, FileSource, object_entry, plain_entry
from atelier.tasks.storage.location import objects_below


class Folder(FileSource):
    """A folder at a path (absolute, free of links)."""

    def __init__(self, spec: str, root: Path) -> None:
        self.spec, self.root = spec, root

    def entries(self) -> Iterator[Entry]:
        """Every file below, sorted by path."""
        stack = [iter(_children(self.root))]
        prefixes = [""]  # of the names in each folder of the stack
        while stack:
            child = next(stack[-1], None)
            if child is None:
                stack.pop()
                prefixes.pop()
                continue
            name = prefixes[-1] + child
            if not child.endswith("/"):
                entry = plain_entry(name, self.spec, f"{self.root}/{name}", self.root)
                is_folder = entry.problem == IS_FOLDER  # a link: the files are listed at their own place
                yield replace(entry, problem="", skipped=FOLDER_LINK) if is_folder else entry
                continue
            try:
                stack.append(iter(_children(self.root / name)))
                prefixes.append(name)
            except OSError as error:
                problem = f"the folder cannot be read: {error.strerror}"
                yield Entry(name=printable(name.rstrip("/")), source=self.spec, problem=problem)


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


def _children(folder: Path) -> list[str]:
    """The names in a folder, folders with a slash, sorted as the paths below them are."""
    with os.scandir(folder) as children:
        return sorted(c.name + "/" * c.is_dir(follow_symlinks=False) for c in children)
