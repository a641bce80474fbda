"""Files by location, a local path or a URL for fsspec: sizes, ranges and streams, the same for both.

Only URLs of `SCHEMES` are opened, and no chained URLs, which could reach any file system.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

SCHEMES = ("s3",)
PADDING_BYTES = 16  # of zeros, with which no compressed file ends
BLOCK_BYTES = 4 * 2**20  # read-ahead of a stream from a URL


class FileStat(NamedTuple):
    """Size and version of a file, without reading it."""

    size: int  # bytes
    etag: str  # changes when the content does


def is_url(location: str) -> bool:
    """Whether a location is a URL."""
    return "://" in location or "::" in location.partition("/")[0]


def absolute(location: str) -> str:
    """A URL, or the absolute path of a local location; one that goes up (..) leads where the file system says."""
    if is_url(location):
        return location
    path = Path(location).absolute()
    return os.path.realpath(path) if ".." in path.parts else str(path)


def url_problem(url: str, schemes: tuple[str, ...] = SCHEMES) -> str:
    """Why a URL must not be opened, "" when it may."""
    scheme, _, rest = url.partition("://")
    if "::" in scheme or "::" in rest.partition("/")[0] or (scheme not in SCHEMES and "::" in rest):
        return "a chained URL (::), which is never opened"
    if scheme not in schemes:
        allowed = f"only {', '.join(f'{name}://' for name in schemes)}" if schemes else "none"
        return f"a URL of the scheme {scheme}://, of which {allowed} may be opened"
    if not rest.strip("/"):
        return "a URL without a bucket"
    return ""


@contextmanager
def s3_errors() -> Iterator[None]:
    """Turn errors of S3's client, such as missing credentials or a body that is cut, into an OSError of one line."""
    from aiohttp import ClientError
    from botocore.exceptions import BotoCoreError, HTTPClientError

    try:
        yield
    except (BotoCoreError, HTTPClientError, ClientError) as error:
        raise OSError(" ".join(str(error).split())) from error


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL and its path there, within `s3_errors`. Raises ValueError by `url_problem`."""
    if problem := url_problem(url):
        raise ValueError(f"{url} is {problem}")
    from atelier.tasks.storage.s3_filesystem import CLIENT, ExactKeys  # slow, and most runs do not need it

    return ExactKeys(use_listings_cache=False, config_kwargs=dict(CLIENT)), url.partition("://")[2]


def objects_below(url: str) -> Iterator[dict[str, Any]]:
    """S3's information about each object of a folder at a URL, sorted by key. Raises OSError where it has no answer."""
    with s3_errors():
        system, path = filesystem(url)
        for page in system.pages(path):
            yield from page.get("Contents", ())


def has_objects(url: str) -> bool:
    """Whether there are objects below a URL. Raises OSError where it cannot be reached."""
    with s3_errors():
        system, path = filesystem(url)
        return bool(next(system.pages(path, MaxKeys=1)).get("Contents"))


def url_info(url: str) -> dict[str, Any]:
    """fsspec's information about a URL. Raises OSError where there is no file or folder, or it cannot be reached."""
    with s3_errors():
        system, path = filesystem(url)
        return dict(system.info(path))


def file_stat(location: str) -> FileStat:
    """Size and etag of a file. Raises OSError where there is no file, or it cannot be reached."""
    if is_url(location):
        return stat_of_info(url_info(location))
    found = Path(location).stat()
    return FileStat(found.st_size, f"mtime:{found.st_mtime_ns}")


def stat_of_info(info: dict[str, Any]) -> FileStat:
    """Size and etag from fsspec's or S3's information."""
    etag = info.get("ETag") or info.get("LastModified") or ""
    return FileStat(int(info.get("size") or info.get("Size") or 0), f"etag:{etag}".replace('"', ""))


def read_range(location: str, offset: int, size: int) -> bytes:
    """Up to `size` bytes from `offset` on, of a URL by one range request. Raises OSError where it cannot be read."""
    if size <= 0 or offset > sys.maxsize:  # a damaged archive may have any offset
        return b""
    if is_url(location):
        with s3_errors():
            system, path = filesystem(location)
            try:
                return bytes(system.cat_file(path, start=offset, end=offset + size))
            except OSError as error:
                if "InvalidRange" in repr(error.__cause__):  # S3's word for a range behind the end
                    return b""
                raise
    with Path(location).open("rb") as file:
        file.seek(offset)
        return file.read(size)


def open_stream(location: str) -> IO[bytes]:
    """A file opened for reading; a URL is read ahead in blocks. Raises OSError where the file cannot be opened."""
    if not is_url(location):
        return Path(location).open("rb")
    with s3_errors():
        system, path = filesystem(location)
        opened: IO[bytes] = system.open(path, "rb", block_size=BLOCK_BYTES, cache_type="readahead")
        return opened


class DecompressedStream:
    """A compressed file as a seekable stream: seeking forwards reads on, seeking backwards starts again."""

    def __init__(self, location: str, compression: str) -> None:
        self.location, self.compression = location, compression
        self._begin()

    def _begin(self) -> None:
        self.raw = open_stream(self.location)
        self.stream = pa.input_stream(pa.PythonFile(self.raw, mode="r"), compression=self.compression)
        self.position = 0

    def read(self, size: int) -> bytes:
        """Up to `size` decompressed bytes."""
        try:
            data: bytes = self.stream.read(size)
        except OSError:
            last = read_range(self.location, max(0, file_stat(self.location).size - PADDING_BYTES), PADDING_BYTES)
            if last.strip(b"\0"):
                raise
            data = b""  # tapes and some file systems pad a file with zeros
        self.position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset of the decompressed stream, at most to its end."""
        assert whence == os.SEEK_SET
        if offset < self.position:
            self.close()
            self._begin()
        while self.position < offset and self.read(min(BLOCK_BYTES, offset - self.position)):
            pass
        return self.position

    def tell(self) -> int:
        """Bytes read so far."""
        return self.position

    def close(self) -> None:
        """Close the file below."""
        self.raw.close()
