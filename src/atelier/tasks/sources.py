"""Where pictures come from: a folder, one picture, a zip or tar archive, a list file, or `sample://NAME`.

`list_entries` names what a source holds without opening a picture; `read` fetches one entry's bytes on any machine
that sees the same files. Nothing is extracted to disk, nothing outside the source is followed, and an entry that
cannot be read safely is listed with its problem instead of being lost.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from atelier.tasks import archives, cifar, samples
from atelier.tasks.images import BadImage, Limits, check_size

ARCHIVES = {".zip": "zip", ".tar": "tar", ".tgz": "tgz", ".tar.gz": "tgz"}
LISTS = (".txt", ".lst")
# files that lie beside pictures and are none: not tried, so that they do not fill the quarantine
NO_PICTURES = frozenset(
    f".{suffix}"
    for line in (
        "txt lst json jsonl csv tsv xml yaml yml toml ini cfg md rst html htm pdf doc docx log py ipynb sh m url lnk",
        "mat npy npz h5 pkl pickle pt pth safetensors parquet arrow db sqlite bin sha256 md5",
        "zip tar tgz gz bz2 xz 7z rar mp4 mov avi mkv webm mp3 wav",
    )
    for suffix in line.split()
)
MAX_LIST_BYTES = 256 * 2**20
MAX_BATCH_BYTES = 2**30


@dataclass(frozen=True)
class Entry:
    """One picture of a source, and how to reach it; picklable, so that any worker can read it."""

    name: str  # relative POSIX path in the source
    source: str  # the source as the user wrote it
    size: int = 0  # bytes, 0 where unknown
    etag: str = ""  # changes when the content does: modification time, or an archive's own checksum
    kind: str = "file"  # "file", "zip", "tar", "tgz" or "sample"
    path: str = ""  # absolute path of the file, or of the archive it lies in
    member: str = ""  # the name inside a zip archive, as written there
    offset: int = 0  # where the bytes begin in a tar archive
    problem: str = ""  # why it cannot be read; "" where nothing is known against it
    record: int = -1  # which record of a CIFAR batch is meant, -1 for the whole file
    group: str = ""  # what this picture shares its parent with; "" for pictures that stand alone
    attributes: str = "{}"  # what the layout says of it, a JSON object such as {"class": "cat"}


def list_entries(spec: str, base: Path) -> Iterator[Entry]:
    """List the pictures of a source in the order of their names (of a compressed tar: in the archive's order).

    Hidden files and files that cannot be pictures by their suffix are left out.

    Args:
        spec: a folder, a picture, a .zip, .tar, .tar.gz or .tgz archive, a .txt or .lst file with one path a line
            (relative to the list's own folder, and inside it), or `sample://NAME`.
        base: what a relative `spec` is relative to.

    Returns:
        The entries, found while iterating; an entry with a `problem` cannot be read.

    Raises:
        FileNotFoundError: the source does not exist (at once).
        ValueError: the source is of no supported kind or damaged, or (at the end of the iteration) holds no picture.
    """
    return pictures(spec, list_files(spec, base))


def list_files(spec: str, base: Path) -> Iterator[Entry]:
    """List every file of a source, pictures or not, hidden ones excepted; otherwise as `list_entries`."""
    if samples.is_sample(spec):
        return _sample_entries(spec)
    if "://" in spec:
        raise ValueError(f"source {spec} is a URL: only sample:// is read; fetch it to a folder or archive first")
    path = locate(spec, base)
    kind = archive_kind(path)
    if path.is_dir():
        return _folder_entries(spec, path)
    if kind:
        return _archive_entries(spec, path, kind)
    if path.suffix.lower() in LISTS:
        return _list_file_entries(spec, path)
    if not path.is_file() or path.suffix.lower() in NO_PICTURES:
        raise ValueError(f"source {spec} is neither a folder, a picture, a zip or tar archive nor a .txt or .lst list")
    return list_one(spec, path)


def list_one(spec: str, path: Path) -> Iterator[Entry]:
    """A single file as a source of its own."""
    return iter([_file_entry(path.name, spec, path, path.parent)])


def locate(spec: str, base: Path) -> Path:
    """The absolute path of a source that is a file or folder.

    Raises:
        FileNotFoundError: it does not exist.
    """
    path = (base / Path(spec).expanduser()).resolve()
    if not path.exists():
        raise FileNotFoundError(f"source {spec} does not exist (looked for {path})")
    return path


def archive_kind(path: Path) -> str:
    """What archive a file is by its name: "zip", "tar", "tgz", or "" when none."""
    name = path.name.lower()
    return next((kind for suffix, kind in ARCHIVES.items() if name.endswith(suffix)), "")


def read(entry: Entry, max_bytes: int = Limits().max_bytes) -> bytes:
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
            return samples.read(entry.name, entry.source)
        if entry.kind == "zip":
            return archives.read_zip(entry.path, entry.member, max_bytes)
        if entry.kind in ("tar", "tgz"):
            return archives.read_tar(entry.path, entry.kind, entry.offset, entry.size)
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
        for crop in samples.list_crops(spec)
    )


def _folder_entries(spec: str, root: Path) -> Iterator[Entry]:
    """Walk a folder in the order of the names, without following links to other folders."""
    stack: list[Path] = [root]
    while stack:
        path = stack.pop()
        name = path.relative_to(root).as_posix()
        if path.is_symlink() or not path.is_dir():
            # a link to a folder inside the source shows nothing that is not listed at its own place
            if not (path.is_symlink() and path.is_dir() and path.resolve().is_relative_to(root)):
                yield _file_entry(name, spec, path, root)
            continue
        try:
            with os.scandir(path) as children:
                found = [(c.name + "/" * c.is_dir(follow_symlinks=False), c.name) for c in children]
        except OSError as error:
            if path == root:
                raise ValueError(f"source {spec} cannot be read: {error.strerror}") from error
            yield Entry(name=_printable(name), source=spec, problem=f"the folder cannot be read: {error.strerror}")
            continue
        stack.extend(path / name for _, name in sorted(found, reverse=True) if not is_hidden(name))


def _list_file_entries(spec: str, path: Path) -> Iterator[Entry]:
    """The files that a list names, each once, confined to the list's own folder."""
    if path.stat().st_size > MAX_LIST_BYTES:
        raise ValueError(f"list {spec} has more than {MAX_LIST_BYTES // 2**20} MiB: split it")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"list {spec} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    for line in sorted({line.strip() for line in lines} - {""}):
        if line.startswith("#"):
            continue
        if "://" in line:
            yield Entry(name=_printable(line), source=spec, problem="a URL: lists name files beside them")
            continue
        target = Path(os.path.normpath(path.parent / line))
        if not target.is_relative_to(path.parent):
            yield Entry(name=_printable(line), source=spec, problem="outside the folder of its list")
            continue
        yield _file_entry(target.relative_to(path.parent).as_posix(), spec, target, path.parent)


def _archive_entries(spec: str, path: Path, kind: str) -> Iterator[Entry]:
    """The members of an archive in the order of their names; of a compressed tar in the order in which it is read."""
    seen: set[str] = set()
    members = archives.list_members(spec, path, kind)
    for member in members if kind == "tgz" else sorted(members):
        name = member.name.replace("\\", "/")  # some Windows tools write it so
        if any(is_hidden(part) for part in name.split("/")):
            continue
        problem = member.problem or _name_problem(name)
        if not problem and name in seen:
            problem = "another member of the archive has the same name"
        seen.add(name)
        yield Entry(
            name=_printable(name) if problem else name,
            source=spec,
            size=member.size,
            etag=member.etag,
            kind=kind,
            path=str(path),
            member=member.name,
            offset=member.offset,
            problem=problem,
        )


def _file_entry(name: str, spec: str, path: Path, root: Path) -> Entry:
    """A file below `root` (absolute, free of links), which it must not leave through a link."""
    problem = _name_problem(name)
    if problem:
        return Entry(name=_printable(name), source=spec, problem=problem)
    try:
        target = path.resolve(strict=True)
        facts = target.stat()
    except OSError as error:
        missing = "a link to nothing" if path.is_symlink() else "no such file"
        reason = missing if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        return Entry(name=name, source=spec, problem=reason)
    if not target.is_relative_to(root):
        problem = "a link that leads out of the source"
    elif not stat.S_ISREG(facts.st_mode):
        problem = "a folder" if stat.S_ISDIR(facts.st_mode) else "a pipe, socket or device, not a file"
    return Entry(name, spec, facts.st_size, f"mtime:{facts.st_mtime_ns}", "file", str(target), problem=problem)


def _read_file(path: str, max_bytes: int) -> bytes:
    # what was a file when it was listed may be a link or a pipe by now: open neither, and never wait
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BadImage("a pipe, socket or device, not a file")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise BadImage(f"the file has more bytes than the limit of {max_bytes:,}")
    return data


def is_hidden(name: str) -> bool:
    """Whether a file or folder name is one that systems add unasked."""
    return (name.startswith(".") and name not in (".", "..")) or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _name_problem(name: str) -> str:
    """What is wrong with a relative path, "" when nothing is."""
    if name.startswith("/") or ".." in name.split("/") or name[1:3] == ":/":
        return "its name leads out of the source"
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        return "its name has control characters"
    if any(0xD800 <= ord(c) <= 0xDFFF for c in name):
        return "its name is not UTF-8"
    return "" if name.strip("/.") else "it has no name"


def _printable(name: str) -> str:
    """A name that can be shown and stored whatever it holds."""
    safe = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if ord(c) >= 32 and ord(c) != 127 else f"\\x{ord(c):02x}" for c in safe)
