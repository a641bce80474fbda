"""A destination in a folder of a file system that all workers share.

The folder itself may be reached over links. Links below it that lead out of it are refused: what is written or removed
stays below it.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from atelier.tasks.storage.destination import OUTSIDE, TEMPORARY_PREFIX, Destination, inside


class LocalFolder(Destination):
    """A folder of a file system that all workers share."""

    def __init__(self, root: Path, top: Path | None = None) -> None:
        self.root = root.absolute()
        self.top = top or self.root  # the destination of which this is a folder
        self.location = str(self.root)
        self.known: set[Path] = set()  # folders that exist
        self.safe: set[Path] = set()  # folders that lie below the destination

    def __truediv__(self, name: str) -> "LocalFolder":
        """A folder below this one."""
        return type(self)(self.root / inside(name), self.top)

    def _path(self, name: str) -> Path:
        """The path of a file. Raises OSError (EINVAL) where its name or a link leads out of the destination."""
        path = self.root / inside(name)
        self._check_folder(path.parent)
        return path

    def _check_folder(self, folder: Path) -> None:
        if folder in self.safe:
            return
        if not folder.resolve().is_relative_to(self.top.resolve()):
            raise OSError(errno.EINVAL, "a link leads out of the destination", str(folder))
        self.safe.add(folder)

    def create(self) -> None:
        """Create it, with its parents."""
        self._check_folder(self.root)
        self.root.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Files and folders directly below."""
        self._check_folder(self.root)
        return sorted(path.name for path in self.root.iterdir()) if self.root.exists() else []

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return self._path(name).read_bytes()

    def sizes(self, names: Sequence[str]) -> list[int]:
        """Bytes of each file: a call each, some microseconds."""
        return [-1 if OUTSIDE.search(name) else _size(f"{self.root}/{name}") for name in names]

    def commit(self, name: str, data: Any, attempt: str) -> None:
        """Write beside the target, sync and rename; after an error nothing is left."""
        target = self._path(name)
        self._make_folder(target.parent)
        temporary = target.parent / f"{TEMPORARY_PREFIX}{attempt}-{_tag(target.name)}.tmp"
        try:
            self._fill(temporary, data)
            self._rename(temporary, target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def sync(self, names: Iterable[str]) -> None:
        """Sync the folders of these files, each once."""
        for folder in {self._path(name).parent for name in names}:
            self._sync_folder(folder)

    def write_unsynced(self, name: str, data: bytes) -> None:
        """Write in place without a sync: the kernel keeps the data when this process dies."""
        self.create()
        with os.fdopen(_open_unlinked(self._path(name), os.O_TRUNC), "wb") as file:
            file.write(data)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def remove_leftovers(self, folders: Iterable[str] | None = None) -> int:
        """Remove temporary files."""
        count = 0
        all_folders = (Path(folder) for folder, _, _ in os.walk(self.root))
        for folder in (
            all_folders
            if folders is None
            else (self._path(f"{name}/x").parent if name else self.root for name in folders)
        ):
            with suppress(FileNotFoundError), os.scandir(folder) as children:
                for child in children:
                    if child.name.startswith(TEMPORARY_PREFIX) and child.name.endswith(".tmp"):
                        Path(child.path).unlink(missing_ok=True)
                        count += 1
        return count

    def free_bytes(self) -> int | None:
        """Space of the file system that it is on, or will be on."""
        return shutil.disk_usage(next(path for path in (self.root, *self.root.parents) if path.exists())).free

    @contextmanager
    def lock(self, name: str) -> Iterator[Callable[[], bool]]:
        """Hold a lock, which ends with its process, even if that is killed."""
        self._make_folder(self._path(name).parent)
        with os.fdopen(_open_unlinked(self._path(name), os.O_APPEND), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield lambda: True

    # three steps at which a disk can fail, separate for tests

    def _fill(self, temporary: Path, data: Any) -> None:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _rename(self, temporary: Path, target: Path) -> None:
        temporary.replace(target)

    def _sync_folder(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _make_folder(self, folder: Path) -> None:
        """Create a folder, durably."""
        if folder in self.known:
            return
        if folder != self.root:
            self._make_folder(folder.parent)
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            self._sync_folder(folder.parent)
        self.known.add(folder)


def _open_unlinked(path: Path, flags: int) -> int:
    """Open a file that is written in place, never through a link."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, 0o666)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (for every output; a Path costs more than the call)
    except OSError:
        return -1


def _tag(name: str) -> str:
    """A short hash of the name, for names of any length."""
    return hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:24]
