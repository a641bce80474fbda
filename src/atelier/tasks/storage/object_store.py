"""A destination at an S3 object store: an answered put is whole and durable, and a conditional put is a lock.

The lock is an object with its owner's name, created if there is none (If-None-Match), renewed if it has the last ETag
(If-Match). After `stale_s` seconds of the store's clock without a renewal, another process may take it over. A holder
that could not reach the store for so long may finish one more block: both write the same bytes, so nothing is lost.
Multipart uploads of killed runs use space until the bucket's lifecycle rule removes them.
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

from atelier.tasks.storage.destination import OUTSIDE, Destination, inside
from atelier.tasks.storage.location import filesystem, s3_errors, url_problem

PARALLEL = 8  # requests


class ObjectStore(Destination):
    """A prefix of a bucket, which must exist."""

    renew_s = 15.0  # between renewals of a lock
    stale_s = 90.0  # without a renewal, until another process may take it over

    def __init__(self, url: str) -> None:
        if problem := url_problem(url):
            raise ValueError(f"destination {url} is {problem}")
        self.location = url.rstrip("/")
        with s3_errors():
            self.system, self.top = filesystem(self.location)

    def __truediv__(self, name: str) -> "ObjectStore":
        """A longer prefix."""
        return type(self)(f"{self.location}/{inside(name)}")

    def _path(self, name: str) -> str:
        """Bucket and key of a file. Raises OSError (EINVAL) where its name leads out of the destination."""
        return f"{self.top}/{inside(name)}"

    def create(self) -> None:
        """Nothing to do: an object store has no folders."""

    def names(self) -> list[str]:
        """Objects and prefixes directly below."""
        return sorted(self._below(self.top))

    def read(self, name: str) -> bytes:
        """The content of an object, by one request."""
        with s3_errors():
            return bytes(self.system.cat_file(self._path(name)))

    def sizes(self, names: Sequence[str]) -> list[int]:
        """Bytes of each object, from one listing of each prefix: a request for a thousand objects."""
        wanted: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for index, name in enumerate(names):
            if OUTSIDE.search(name):
                continue
            folder, _, last = name.rpartition("/")
            wanted[f"{self.top}/{folder}" if folder else self.top].append((index, last))
        found = [-1] * len(names)
        with ThreadPoolExecutor(PARALLEL) as pool:
            for folder, below in zip(wanted, pool.map(self._below, wanted), strict=True):
                for index, last in wanted[folder]:
                    found[index] = below.get(last, -1)
        return found

    def commit(self, name: str, data: Any, attempt: str) -> None:
        """Put an object; a large one in parts, visible after the last."""
        with s3_errors():
            self.system.pipe_file(self._path(name), bytes(data))

    def sync(self, names: Iterable[str]) -> None:
        """Nothing to do: an answered put is durable."""

    def write_unsynced(self, name: str, data: bytes) -> None:
        """Put an object."""
        self.commit(name, data, "")

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, a thousand a request."""
        if paths := [self._path(name) for name in names]:
            with s3_errors():
                self.system.delete(paths)

    def remove_leftovers(self, folders: Iterable[str] | None = None) -> int:
        """Nothing to do: unfinished objects are never visible."""
        return 0

    def free_bytes(self) -> int | None:
        """Unknown."""
        return None

    @contextmanager
    def lock(self, name: str) -> Iterator[Callable[[], bool]]:
        """Hold a lock, renewed by a thread."""
        path = self._path(name)
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        tag = self._take(path, owner)
        lost, ended = threading.Event(), threading.Event()

        def renew() -> None:
            nonlocal tag
            renewals = 0
            while not ended.wait(self.renew_s):
                renewals += 1
                try:
                    tag = self._put(path, owner, renewals, IfMatch=tag)
                except FileExistsError:
                    lost.set()
                    return
                except OSError:
                    continue  # the store cannot be reached now: try again at the next renewal

        renewal = threading.Thread(target=renew, name=f"lock {path}", daemon=True)
        renewal.start()
        try:
            yield lambda: not lost.is_set()
        finally:
            ended.set()
            renewal.join()
            if not lost.is_set():
                self.remove([name])

    def _take(self, path: str, owner: str) -> str:
        """Create the lock or replace a stale one, and return its ETag."""
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

    def _put(self, path: str, owner: str, renewals: int, **condition: str) -> str:
        """Put the lock under a condition and return its ETag. Raises FileExistsError where the condition fails."""
        content = json.dumps({"owner": owner, "beats": renewals}).encode()
        try:
            with s3_errors():
                answer = self.system.pipe_file(path, content, **condition)
        except OSError as error:
            if "PreconditionFailed" in repr(error.__cause__) or isinstance(error, FileExistsError):
                raise FileExistsError(f"{path} is another's") from error
            raise
        return str(answer["ETag"])

    def _below(self, path: str) -> dict[str, int]:
        """Sizes of the objects directly below a path, 0 for prefixes, by the last part of their names."""
        sizes: dict[str, int] = {}
        try:
            with s3_errors():
                for page in self.system.pages(path, "/"):
                    sizes.update((found["Prefix"].split("/")[-2], 0) for found in page.get("CommonPrefixes", ()))
                    sizes.update((item["Key"].rpartition("/")[2], item["Size"]) for item in page.get("Contents", ()))
        except FileNotFoundError:
            return {}
        sizes.pop("", None)
        return sizes
