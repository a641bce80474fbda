"""Lists of pictures: a text file with a path or URL a line, or a Parquet file with a column `path`.

A list is untrusted: its entries must lie below its root, and a URL must have an allowed scheme. Relative entries are
relative to the root, which is a folder or a bucket.
"""

import codecs
import io
import itertools
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from atelier.tasks.storage.companion_files import COMMENT
from atelier.tasks.storage.entry import Entry, name_problem, printable
from atelier.tasks.storage.file_source import FileSource, file_entry, link_roots, object_entry, plain_entry
from atelier.tasks.storage.location import file_stat, is_url, open_stream, url_info, url_problem
from atelier.tasks.storage.source_limits import SourceLimits

LIST_SUFFIXES = (".txt", ".lst", ".parquet")
MAX_LIST_BYTES = 256 * 2**20
BATCH_ROWS = 10_000
PARALLEL = 16  # requests about URLs
COMMENT_MARK = "\n"  # before comments, so that they are sorted before paths; no line has it
COMMENT_LINE = re.compile(r"#+(\s|$)")
ODD_LINE = re.compile(r"^[\s#'\"]|[\s'\"]$|\\")
ODD_PATH = re.compile(r"(^|/)\.{0,2}(/|$)")


class ListFile(FileSource):
    """A list of paths and URLs, at a path or URL of its own."""

    def __init__(self, spec: str, location: str, limits: SourceLimits, base: Path) -> None:
        self.spec, self.location, self.limits = spec, location, limits
        self.base = base  # of a relative `limits.list_root`

    def entries(self) -> Iterator[Entry]:
        """The files that the list names, each once, sorted as they are written there, URLs first.

        Comments of a text are entries that are skipped: a line that is none by mistake is counted.
        """
        root = _root(self.location, self.limits.list_root, self.base)
        roots = () if is_url(root) else link_roots(Path(root), self.limits.follow_links, self.base)
        with ThreadPoolExecutor(PARALLEL) as pool:
            for batch in _lines(self.spec, self.location, root, self.limits.max_members).to_batches(BATCH_ROWS):
                lines = batch["path"].to_pylist()
                comments = [line for line in lines if line.startswith(COMMENT_MARK)]
                yield from (Entry(printable(line.strip()), self.spec, skipped=COMMENT) for line in comments)
                lines = lines[len(comments) :]  # a mark is sorted before all paths
                urls = [line for line in lines if is_url(line) or is_url(root)]
                yield from pool.map(lambda line: _url_entry(line, self.spec, root, self.limits.schemes), urls)
                if len(urls) < len(lines):
                    yield from _path_entries([line for line in lines if not is_url(line)], self.spec, roots)


def _path_entries(lines: Sequence[str], spec: str, roots: Sequence[Path]) -> Iterator[Entry]:
    """Entries that are paths, below the first of the roots."""
    real = ("", "")  # the last folder, and its path without links
    prefix = f"{str(roots[0]).rstrip('/')}/"
    for line in lines:
        path = os.path.normpath(line if line.startswith("/") else prefix + line)
        folder, _, last = path.rpartition("/")
        if folder != real[0]:  # lists are sorted: each folder is resolved once
            real = (folder, os.path.realpath(folder))
        if not path.startswith(prefix) and f"{real[1]}/".startswith(prefix):  # the root by another way
            path, folder = f"{real[1]}/{last}", real[1]
        if not path.startswith(prefix):
            yield Entry(name=printable(line), source=spec, problem="outside the folder of its list")
        elif real[1] == folder:
            yield plain_entry(path.removeprefix(prefix), spec, path, roots)
        else:
            yield file_entry(path.removeprefix(prefix), spec, Path(path), roots)


def _root(location: str, given: str, base: Path) -> str:
    """The root of the entries: a folder (absolute, free of links) or a URL."""
    if not given:
        return posixpath.dirname(location)
    if is_url(given):
        if problem := url_problem(given):
            raise ValueError(f"list root {given} is {problem}")
        return given.rstrip("/")
    root = (base / Path(given).expanduser()).resolve()
    if not root.is_dir():
        raise ValueError(f"list root {given} is no folder (looked for {root})")
    return str(root)


def _url_entry(line: str, spec: str, root: str, schemes: tuple[str, ...]) -> Entry:
    """An entry that is a URL, or relative to one."""
    if is_url(line) and (problem := url_problem(line, schemes)):
        return Entry(name=printable(line), source=spec, problem=problem)
    url = line if is_url(line) else f"{root}/{line}"
    below = url.removeprefix(f"{root}/") if is_url(root) else url.partition("://")[2]
    if (is_url(root) and below == url) or name_problem(below).startswith("its name leads"):
        return Entry(name=printable(line), source=spec, problem="outside the folder of its list")
    if problem := name_problem(below):
        return Entry(name=printable(below), source=spec, problem=problem)
    try:
        return object_entry(below, spec, url, url_info(url))
    except FileNotFoundError:
        return Entry(name=below, source=spec, problem="no such file")
    except (OSError, ValueError) as error:
        return Entry(name=below, source=spec, problem=f"cannot be read: {error}")


def _lines(spec: str, location: str, root: str, max_entries: int) -> pa.Table:
    """The entries of a list, each once and sorted: a table with the column `path`."""
    if file_stat(location).size > MAX_LIST_BYTES:
        raise ValueError(f"list {spec} has more than {MAX_LIST_BYTES // 2**20} MiB: split it")
    parts = []
    count = 0
    with open_stream(location) as file:
        for part in _column(spec, file) if location.lower().endswith(".parquet") else _text(spec, file, root):
            parts.append(part)
            count += len(part)
            if count > max_entries:
                raise ValueError(f"list {spec} is refused: it has more than {max_entries:,} entries")
    paths = pa.chunked_array(parts, pa.string()).unique()
    return pa.table({"path": paths}).sort_by("path")


def _text(spec: str, file: IO[bytes], root: str) -> Iterator[pa.Array]:
    """Lines of a text file without empty ones, in UTF-8 or, where a mark at its beginning says so, UTF-16."""
    mark, rest = file.read(2), file.read(2)
    file.seek(0)
    if b"\0" in mark or rest == b"\0\0":  # UTF-16 without a mark, or UTF-32
        raise ValueError(f"list {spec} is not text in UTF-8: write it as UTF-8")
    encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        with io.TextIOWrapper(file, encoding) as text:
            lines = filter(None, (_path_of_line(line.rstrip("\n"), root) for line in text))
            while part := list(itertools.islice(lines, BATCH_ROWS)):
                yield pa.array(part, pa.string())
    except UnicodeError as error:
        raise ValueError(f"list {spec} is not text in UTF-8 or UTF-16: {error}") from error


def _path_of_line(line: str, root: str) -> str:
    """The path or URL in a line, relative to the root where it lies below; "" for an empty line.

    Spaces around it, quotes and backslashes between folders, as Windows writes them, belong to it only where there is
    such a file. A line that begins with # and a space is a comment, unless there is such a file; it keeps a mark.
    """
    if ODD_LINE.search(line) and line.strip():
        bare = line.strip()
        quoted = len(bare) > 2 and bare[0] == bare[-1] and bare[0] in "\"'"
        spellings = [line, bare] + [bare[1:-1]] * quoted
        spellings += [text.replace("\\", "/") for text in spellings[1:] if not is_url(text)]
        there = (text for text in spellings if not is_url(text) and not is_url(root) and "\0" not in text)
        line = next((text for text in there if os.path.lexists(f"{root}/{text}")), "")  # of each odd line
        if not line and COMMENT_LINE.match(bare):
            return COMMENT_MARK + bare
        line = line or (bare[1:-1] if quoted else bare)
    if not line.strip() or is_url(line) or is_url(root):
        return line.strip()
    top = f"{root.rstrip('/')}/"
    if ODD_PATH.search(line):
        path = posixpath.normpath(posixpath.join(root, line))
        line = path if path.startswith(top) else posixpath.normpath(line)
    return line.removeprefix(top)


def _column(spec: str, file: IO[bytes]) -> Iterator[pa.Array]:
    """The column `path` of a Parquet file. It stays a dictionary until it is unique: repeated text costs nothing."""
    try:
        columns = {field.name: field.type for field in pq.read_schema(file)}
        if columns.get("path") not in (pa.string(), pa.large_string()):
            found = ", ".join(f"{name} ({kind})" for name, kind in columns.items())
            raise ValueError(f"list {spec} has no column `path` of text: it has {found}")
        for batch in pq.ParquetFile(file, read_dictionary=["path"]).iter_batches(BATCH_ROWS, columns=["path"]):
            yield batch.column(0).unique().dictionary_decode().cast(pa.string()).drop_null()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ValueError(f"list {spec} is damaged or no Parquet file: {error}") from error
