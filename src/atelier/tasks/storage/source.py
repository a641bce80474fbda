"""Where pictures come from: a folder, one picture, an archive, a list, or `sample://NAME`; local or at an `s3://` URL.

`list_entries` names what a source holds without opening a picture; `read` fetches one entry's bytes on any machine
that sees the same files. Nothing is extracted to disk, nothing outside the source is followed, and an entry that
cannot be read safely is listed with its problem instead of being lost.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from atelier.tasks.images.codec import BadImage, ImageLimits, check_size
from atelier.tasks.storage import archive, cifar, sample_images
from atelier.tasks.storage.bounds import DEFAULTS, SourceLimits
from atelier.tasks.storage.entry import Entry as Entry  # here is where callers look for it
from atelier.tasks.storage.entry import is_hidden, name_problem, printable
from atelier.tasks.storage.folder import file_entry, folder_entries, object_entry, url_entries
from atelier.tasks.storage.list_file import LISTS, list_file_entries
from atelier.tasks.storage.location import is_url, read_range, url_info, url_problem

ARCHIVES = {".zip": "zip", ".tar": "tar", ".tgz": "tgz", ".tar.gz": "tgz", ".tzst": "tzst", ".tar.zst": "tzst"}
# files that lie beside pictures and are none: not tried, so that they do not fill the quarantine
NO_PICTURES = frozenset(
    f".{suffix}"
    for line in (
        "txt lst json jsonl csv tsv xml yaml yml toml ini cfg md rst html htm pdf doc docx log py ipynb sh m url lnk",
        "mat npy npz h5 pkl pickle pt pth safetensors parquet arrow db sqlite bin sha256 md5",
        "zip tar tgz tzst zst gz bz2 xz 7z rar mp4 mov avi mkv webm mp3 wav",
    )
    for suffix in line.split()
)
MAX_BATCH_BYTES = 2**30


def list_entries(spec: str, base: Path, bounds: SourceLimits = DEFAULTS) -> Iterator[Entry]:
    """List the pictures of a source in the order of their names (of an archive: in its own order).

    Hidden files and files that cannot be pictures by their suffix are left out.

    Args:
        spec: a folder, a picture, a .zip, .tar, .tar.gz, .tgz, .tar.zst or .tzst archive, a list (.txt or .lst with a
            path a line, .parquet with a column `path`), each as a path or a URL of a scheme of `locations.SCHEMES`; or
            `sample://NAME`.
        base: what a relative `spec` is relative to.
        bounds: what archives and lists may cost, and where lists may lead.

    Returns:
        The entries, found while iterating; an entry with a `problem` cannot be read.

    Raises:
        FileNotFoundError: the source does not exist (at once).
        ValueError: the source is of no supported kind or damaged, cannot be reached, or (at the end of the iteration)
            holds no picture.
    """
    return pictures(spec, list_files(spec, base, bounds))


def list_files(spec: str, base: Path, bounds: SourceLimits = DEFAULTS) -> Iterator[Entry]:
    """List every file of a source, pictures or not, hidden ones excepted; otherwise as `list_entries`."""
    if sample_images.is_sample(spec):
        return _sample_entries(spec)
    if is_url(spec):
        return _url_files(spec, base, bounds)
    path = locate(spec, base)
    if path.is_dir():
        return folder_entries(spec, path)
    return _file_files(spec, str(path), base, bounds) or list_one(spec, path)


def _url_files(spec: str, base: Path, bounds: SourceLimits) -> Iterator[Entry]:
    if problem := url_problem(spec):
        raise ValueError(f"source {spec} is {problem}")
    url = spec.rstrip("/")
    try:
        found = url_info(url)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"source {spec} does not exist") from error
    except OSError as error:
        raise ValueError(f"source {spec} cannot be reached: {error}") from error
    if found["type"] == "directory":
        return url_entries(spec, url)
    name = PurePosixPath(url).name
    return _file_files(spec, url, base, bounds) or iter([object_entry(name, spec, url, found)])


def _file_files(spec: str, location: str, base: Path, bounds: SourceLimits) -> Iterator[Entry] | None:
    """What an archive or list holds; None of a file that is neither, and may be a picture."""
    if kind := archive_kind(location):
        return _archive_entries(spec, location, kind, bounds)
    if location.lower().endswith(LISTS):
        return list_file_entries(spec, location, bounds, base)
    if PurePosixPath(location).suffix.lower() in NO_PICTURES or not (is_url(location) or Path(location).is_file()):
        raise ValueError(
            f"source {spec} is neither a folder, a picture, a zip or tar archive nor a list ({', '.join(LISTS)})"
        )
    return None


def list_one(spec: str, path: Path) -> Iterator[Entry]:
    """A single file as a source of its own."""
    return iter([file_entry(path.name, spec, path, path.parent)])


def locate(spec: str, base: Path) -> Path:
    """The absolute path of a source that is a file or folder.

    Raises:
        FileNotFoundError: it does not exist.
    """
    path = (base / Path(spec).expanduser()).resolve()
    if not path.exists():
        raise FileNotFoundError(f"source {spec} does not exist (looked for {path})")
    return path


def archive_kind(location: str) -> str:
    """What archive a file is by its name: "zip", "tar", "tgz", "tzst", or "" when none."""
    name = location.lower()
    return next((kind for suffix, kind in ARCHIVES.items() if name.endswith(suffix)), "")


def read(entry: Entry, max_bytes: int = ImageLimits().max_bytes) -> bytes:
    """The bytes of one entry.

    Raises:
        BadImage: with the reason, whatever it is.
    """
    if entry.problem:
        raise BadImage(entry.problem)
    if entry.record >= 0:
        batch = replace(entry, name=str(PurePosixPath(entry.name).parent), record=-1, attributes="{}")
        return cifar.picture(PurePosixPath(batch.name).name, _batch(batch), entry.record)
    check_size(entry.size, max_bytes)
    try:
        if entry.kind == "sample":
            return sample_images.read(entry.name, entry.source)
        if entry.kind != "file":
            return archive.read_member(entry.path, entry.kind, entry.member, entry.offset, entry.size, entry.etag)
        return _read_file(entry.path, max_bytes)
    except FileNotFoundError as error:
        raise BadImage("the file is gone") from error
    except OSError as error:
        raise BadImage(f"the file cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=1)
def _batch(entry: Entry) -> bytes:
    """A whole CIFAR batch: its records are asked for one after the other."""
    return read(entry, MAX_BATCH_BYTES)


def pictures(spec: str, files: Iterable[Entry]) -> Iterator[Entry]:
    """Those of a source's files that may be pictures.

    Raises:
        ValueError: there is none.
    """
    found, others = 0, 0
    for entry in files:
        if not entry.problem and PurePosixPath(entry.name).suffix.lower() in NO_PICTURES:
            others += 1
            continue
        found += 1
        yield entry
    if not found:
        rest = f" ({others} files of other kinds)" if others else ""
        raise ValueError(f"source {spec} holds no pictures{rest}: put pictures there or name another source")


def _sample_entries(spec: str) -> Iterator[Entry]:
    return (
        Entry(name=crop.name, source=spec, etag=crop.etag, kind="sample", group=crop.group)
        for crop in sample_images.list_crops(spec)
    )


def _archive_entries(spec: str, location: str, kind: str, bounds: SourceLimits) -> Iterator[Entry]:
    """The members of an archive in the order in which it is read."""
    seen: set[str] = set()
    for member in archive.list_members(spec, location, kind, bounds):
        name = member.name.replace("\\", "/")  # some Windows tools write it so
        if any(is_hidden(part) for part in name.split("/")):
            continue
        problem = member.problem or name_problem(name)
        if not problem and name in seen:
            problem = "another member of the archive has the same name"
        seen.add(name)
        yield Entry(
            name=printable(name) if problem else name,
            source=spec,
            size=member.size,
            etag=member.etag,
            kind=kind,
            path=location,
            member=member.name,
            offset=member.offset,
            problem=problem,
        )


def _read_file(path: str, max_bytes: int) -> bytes:
    # what was a file when it was listed may be a link or a pipe by now: open neither, and never wait
    if is_url(path):
        return _checked(read_range(path, 0, max_bytes + 1), max_bytes)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BadImage("a pipe, socket or device, not a file")
        return _checked(file.read(max_bytes + 1), max_bytes)


def _checked(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise BadImage(f"the file has more bytes than the limit of {max_bytes:,}")
    return data
