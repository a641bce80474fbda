"""Folders as sources, local or at a URL: all files below, in the order of their names.

No link is followed out of the folder or to another folder of it. A path that is no file, or that cannot be accessed,
is listed with its problem. Nothing is opened, so nothing can wait.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from atelier.tasks.storage.entry import Entry, is_hidden, printable
from atelier.tasks.storage.file_source import IS_FOLDER, FileSource, object_entry, plain_entry
from atelier.tasks.storage.location import filesystem, s3_errors


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
                if entry.problem != IS_FOLDER:  # a link to a folder: its files are listed at their own place
                    yield entry
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
        """Every file below, sorted by path. Raises OSError where the folder cannot be listed."""
        system, top = filesystem(self.url)
        scheme = self.url.partition("://")[0]
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
                    continue  # the folder itself, where a program made an object of it
                if info["type"] == "directory":
                    below.append((last + "/", info["name"]))
                else:
                    below.append((last, object_entry(name, self.spec, f"{scheme}://{info['name']}", info)))
            stack.extend(item for _, item in sorted(below, key=lambda pair: pair[0], reverse=True))


def _children(folder: Path) -> list[str]:
    """The names in a folder without hidden ones, folders with a slash, sorted as the paths below them are."""
    with os.scandir(folder) as children:
        return sorted(c.name + "/" * c.is_dir(follow_symlinks=False) for c in children if not is_hidden(c.name))
