"""A destination at an object store that speaks S3: a put is whole or nothing, and a conditional put is a lock.

A put that was answered is durable, so there is nothing to sync, and no unfinished file is ever seen. Uploads in parts
that a killed run began cost space until the bucket's lifecycle rule for them removes them.

The lock is an object that names its owner, made by a put that must find none, and renewed by puts that must find the
last one. A lock that was not renewed for `stale_s` of the store's own clock may be taken over, by a put that must find
that very lock. Its limit: a holder that could not reach the store for so long may work on for one more block before it
learns that it was replaced. Both then write the same bytes under the same names, so a loss is not possible.
"""

import json
import os
import socket
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.location import filesystem, s3_errors, url_problem

PARALLEL = 8  # requests


class ObjectStore(Destination):
    """A prefix of a bucket, which must exist."""

    beat_s = 15.0  # between renewals of a lock
    stale_s = 90.0  # without a renewal, after which it may be taken over

    def __init__(self, url: str) -> None:
        if problem := url_problem(url):
            raise ValueError(f"destination {url} is {problem}")
        self.location = url.rstrip("/")
        with s3_errors():
            self.system, self.top = filesystem(self.location)

    def __truediv__(self, name: str) -> "ObjectStore":
        """A longer prefix."""
        return type(self)(f"{self.location}/{name}")

    def create(self) -> None:
        """Nothing to do: there are no folders."""

    def names(self) -> list[str]:
        """Objects and prefixes directly below."""
        return sorted(self._below(self.top))

    def read(self, name: str) -> bytes:
        """The content of an object, by one request."""
        with s3_errors():
            return bytes(self.system.cat_file(f"{self.top}/{name}"))

    def sizes(self, names: Sequence[str]) -> list[int]:
        """Bytes of each object, from one listing of each prefix they lie in: a request for a thousand."""
        wanted: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for index, name in enumerate(names):
            folder, _, last = name.rpartition("/")
            wanted[f"{self.top}/{folder}".rstrip("/")].append((index, last))
        found = [-1] * len(names)
        with ThreadPoolExecutor(PARALLEL) as pool:
            for folder, below in zip(wanted, pool.map(self._below, wanted), strict=True):
                for index, last in wanted[folder]:
                    found[index] = below.get(last, -1)
        return found

    def commit(self, name: str, data: Any, attempt: str) -> None:
        """Put an object; large ones go up in parts, and are there when the last is."""
        with s3_errors():
            self.system.pipe_file(f"{self.top}/{name}", bytes(data))

    def sync(self, names: Iterable[str]) -> None:
        """Nothing to do: a put that was answered is durable."""

    def write_unsynced(self, name: str, data: bytes) -> None:
        """Put an object."""
        self.commit(name, data, "")

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, a thousand by a request."""
        paths = [f"{self.top}/{name}" for name in names]
        if paths:
            with s3_errors():
                self.system.rm(paths)

    def remove_leftovers(self, folders: Iterable[str] | None = None) -> int:
        """Nothing to do: nothing unfinished is ever seen."""
        return 0

    def free_bytes(self) -> int | None:
        """Nobody can tell."""
        return None

    @contextmanager
    def lock(self, name: str) -> Iterator[Callable[[], bool]]:
        """Hold a lock that is renewed meanwhile; what is yielded tells whether it was not taken over."""
        path = f"{self.top}/{name}"
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        tag = self._take(path, owner)
        lost, over = threading.Event(), threading.Event()

        def renew() -> None:
            nonlocal tag
            beats = 0
            while not over.wait(self.beat_s):
                beats += 1
                try:
                    tag = self._put(path, owner, beats, IfMatch=tag)
                except FileExistsError:
                    lost.set()
                    return
                except OSError:
                    continue  # the store is out of reach; the next renewal may find it again

        heart = threading.Thread(target=renew, name=f"lock {path}", daemon=True)
        heart.start()
        try:
            yield lambda: not lost.is_set()
        finally:
            over.set()
            heart.join()
            if not lost.is_set():
                self.remove([name])

    def _take(self, path: str, owner: str) -> str:
        """Put the lock where none is, or in place of a stale one; returns its ETag."""
        try:
            return self._put(path, owner, 0, IfNoneMatch="*")
        except FileExistsError:
            pass
        bucket, _, key = path.partition("/")
        with s3_errors():
            found = self.system.call_s3("head_object", Bucket=bucket, Key=key)
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        age = (now - found["LastModified"]).total_seconds()
        if age < self.stale_s:
            raise BlockingIOError(
                f"or was killed: its lock was renewed {age:.0f} s ago, and ends after {self.stale_s:.0f}"
            )
        try:
            return self._put(path, owner, 0, IfMatch=found["ETag"])
        except FileExistsError as error:
            raise BlockingIOError("it has just begun") from error

    def _put(self, path: str, owner: str, beats: int, **condition: str) -> str:
        """Put a lock under a condition and return its ETag. Raises FileExistsError where the condition is not met."""
        try:
            with s3_errors():
                answer = self.system.pipe_file(path, json.dumps({"owner": owner, "beats": beats}).encode(), **condition)
        except OSError as error:
            if "PreconditionFailed" in repr(error.__cause__) or isinstance(error, FileExistsError):
                raise FileExistsError(f"{path} is another's") from error
            raise
        return str(answer["ETag"])

    def _below(self, path: str) -> dict[str, int]:
        """Sizes of what is directly below a path, 0 of folders, by the last parts of their names."""
        try:
            with s3_errors():
                found = self.system.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        sizes = {info["name"].rstrip("/").rpartition("/")[2]: int(info["size"] or 0) for info in found}
        sizes.pop("", None)
        return sizes
