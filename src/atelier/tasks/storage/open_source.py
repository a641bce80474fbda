"""The source at a path or URL: a folder, one picture, an archive, a list, `sample://NAME` or `windows://FOLDER`."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from atelier.tasks.images.codec import BadImage, ImageLimits, check_size
from atelier.tasks.images.formats import is_video
from atelier.tasks.storage import cifar
from atelier.tasks.storage.archive import Archive, GzipTar, Tar, Zip, ZstdTar
from atelier.tasks.storage.companion_files import KIND_OF_SUFFIX, kind_of
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.file_source import SingleFile, file_entry, link_roots, object_entry
from atelier.tasks.storage.folder import Folder, UrlFolder
from atelier.tasks.storage.list_file import LIST_SUFFIXES, ListFile
from atelier.tasks.storage.location import has_objects, is_url, url_info, url_problem
from atelier.tasks.storage.sample_images import SampleImages, is_sample
from atelier.tasks.storage.source import Source
from atelier.tasks.storage.source_limits import DEFAULT_LIMITS, SourceLimits
from atelier.tasks.storage.windows import SCHEME as WINDOWS
from atelier.tasks.storage.windows import Windows

ARCHIVES: tuple[type[Archive], ...] = (Zip, Tar, GzipTar, ZstdTar)
ARCHIVE_SUFFIXES = tuple(suffix for archive in ARCHIVES for suffix in archive.suffixes)
MAX_BATCH_BYTES = 2**30  # of a CIFAR batch
_KINDS: tuple[type[Source], ...] = (SingleFile, SampleImages, Windows, *ARCHIVES)
_CLASSES = {source.kind: source for source in _KINDS}


class NoPictures(ValueError):  # noqa: N818 (it names what is the case)
    """A source has no pictures."""


def open_source(spec: str, base: Path, limits: SourceLimits = DEFAULT_LIMITS) -> Source:
    """The source that a user names.

    Args:
        spec: a folder, a picture, a .zip, .tar, .tar.gz, .tgz, .tar.zst or .tzst archive, a list (.txt or .lst with a
            path a line, .parquet with a column `path`), each as a path (a relative one is below `base`) or a URL of a
            scheme of `location.SCHEMES`; `sample://NAME`; or `windows://FOLDER`.

    Raises:
        FileNotFoundError: the source does not exist.
        ValueError: the source is of no supported kind, or cannot be reached.
    """
    if is_sample(spec):
        return SampleImages(spec)
    if spec.startswith(WINDOWS):
        return Windows(spec, _folder(spec.removeprefix(WINDOWS), base))
    if is_url(spec):
        return _open_url(spec, base, limits)
    path = locate(spec, base)
    if path.is_dir():
        return Folder(spec, link_roots(path, limits.follow_links, base))
    written = base / Path(spec).expanduser()
    link = written.parent.resolve() / written.name  # into a cache: its target has a hash for a name
    opened = _open_container(spec, str(path), base, limits) or _open_container(spec, str(link), base, limits)
    return opened or SingleFile(file_entry(link.name, spec, path, [path.parent]))


def list_files(spec: str, base: Path, limits: SourceLimits = DEFAULT_LIMITS) -> Iterator[Entry]:
    """Every file of a source; `Entry.skipped` is the kind of those that are no pictures. See `list_entries`."""
    return map(_with_kind, open_source(spec, base, limits).entries())


def _with_kind(entry: Entry) -> Entry:
    """The entry, with the kind that its name says."""
    kind = entry.skipped or ("" if is_url(entry.name) else kind_of(entry.name))  # of a list, a URL that is refused
    return replace(entry, skipped=kind, problem="") if kind else entry


def list_entries(spec: str, base: Path, limits: SourceLimits = DEFAULT_LIMITS) -> Iterator[Entry]:
    """The pictures of a source in the order of their names (of an archive: in its own order).

    Files that are no pictures by their names (`companion_files`) are left out. Entries are found while iterating; one
    with a `problem` cannot be read.

    Raises:
        FileNotFoundError: the source does not exist (at once).
        ValueError: the source is of no supported kind or damaged, cannot be reached, or (at the end of the iteration)
            holds no picture.
    """
    return select_pictures(spec, list_files(spec, base, limits))


def select_pictures(spec: str, files: Iterable[Entry]) -> Iterator[Entry]:
    """Those of a source's files that may be pictures. Raises NoPictures where there is none."""
    found, others = 0, 0
    for entry in files:
        if entry.skipped:
            others += 1
            continue
        found += 1
        yield entry
    if not found:
        rest = f" ({others} files of other kinds)" if others else ""
        raise NoPictures(f"source {spec} holds no pictures{rest}: put pictures there or name another source")


def locate(spec: str, base: Path) -> Path:
    """The absolute path of a source that is a file or folder. Raises FileNotFoundError where it does not exist."""
    path = (base / Path(spec).expanduser()).resolve()
    if not path.exists():
        raise FileNotFoundError(f"source {spec} does not exist (looked for {path})")
    return path


def _folder(spec: str, base: Path) -> Path:
    path = locate(spec, base)
    if not path.is_dir():
        raise ValueError(f"source {WINDOWS}{spec} is no folder: put the pictures of the style into one")
    return path


def archive_class(name: str) -> type[Archive] | None:
    """The class for an archive of this file name, None for other files."""
    return next((archive for archive in ARCHIVES if name.lower().endswith(archive.suffixes)), None)


def source_class(entry: Entry) -> type[Source]:
    """The class that reads an entry."""
    return _CLASSES[entry.kind]


def read(entry: Entry, max_bytes: int = ImageLimits().max_bytes) -> bytes:
    """The bytes of one entry; of a CIFAR record, the PNG file of its picture. Raises BadImage, whatever the reason."""
    if entry.problem:
        raise BadImage(entry.problem)
    if entry.record >= 0:
        batch = replace(entry, name=str(PurePosixPath(entry.name).parent), record=-1, attributes="{}")
        return cifar.picture(PurePosixPath(batch.name).name, _cifar_batch(batch), entry.record)
    check_size(entry.size, max_bytes)
    try:
        return source_class(entry).read(entry, max_bytes)
    except FileNotFoundError as error:
        raise BadImage("the file is gone") from error
    except OSError as error:
        raise BadImage(f"the file cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=1)
def _cifar_batch(entry: Entry) -> bytes:
    """A whole CIFAR batch: its records are read one after the other."""
    return read(entry, MAX_BATCH_BYTES)


def _open_url(spec: str, base: Path, limits: SourceLimits) -> Source:
    if problem := url_problem(spec):
        raise ValueError(f"source {spec} is {problem}")
    url = spec.rstrip("/")
    try:
        if has_objects(url):
            if not spec.endswith("/") and (url.count("/") > 2 and _is_object(url)):
                raise ValueError(f"source {spec} is an object and a folder: write {url}/ for the folder")
            return UrlFolder(spec, url)
        info = url_info(url)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"source {spec} does not exist") from error
    except OSError as error:
        raise ValueError(f"source {spec} cannot be reached: {error}") from error
    if info["type"] == "directory":
        return UrlFolder(spec, url)
    opened = _open_container(spec, url, base, limits)
    return opened or SingleFile(object_entry(PurePosixPath(url).name, spec, url, info))


def _is_object(url: str) -> bool:
    try:
        return bool(url_info(url)["type"] == "file")
    except FileNotFoundError:
        return False


def _open_container(spec: str, location: str, base: Path, limits: SourceLimits) -> Source | None:
    """The archive or list at a location; None for a file that may be a picture."""
    if archive := archive_class(location):
        return archive(spec, location, limits)
    if location.lower().endswith(LIST_SUFFIXES):
        return ListFile(spec, location, limits, base)
    is_file = is_url(location) or Path(location).is_file()
    no_picture = PurePosixPath(location).suffix.lower() in KIND_OF_SUFFIX and not is_video(location)
    if no_picture or not is_file:
        raise ValueError(
            f"source {spec} is neither a folder, a picture, a video, a zip or tar archive nor a list "
            f"({', '.join(LIST_SUFFIXES)})"
        )
    return None
