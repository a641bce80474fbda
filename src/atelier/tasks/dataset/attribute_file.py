"""Files of attributes: CSV with any usual delimiter, or CelebA's text format, and which picture each row is of."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from atelier.tasks.dataset.label_join import Join, Label, PictureNames

Attributes = dict[str, str | bool]
DELIMITERS = (",", ";", "\t", "|")
SAMPLE_LINES = 20  # that must have the same number of cells
NAME_HEADINGS = frozenset(
    ("file", "file_name", "filename", "file name", "image", "image_id", "img", "image_path", "path", "picture", "name")
)


@dataclass(frozen=True)
class AttributeTable:
    """Rows of a file of attributes."""

    headings: tuple[str, ...]  # columns without one are left out
    rows: tuple[tuple[int, tuple[str | bool, ...]], ...]  # number of the line, and its cells

    def join(self, file: str, pictures: Iterable[str]) -> tuple[dict[str, Attributes], Join]:
        """Attributes by picture.

        The pictures' names are in the first column; where it names none of them, in one that is called so.

        Raises:
            ValueError: no row names a picture, or two rows say different things of one.
        """
        names = PictureNames(pictures)
        usual = (n for n, heading in enumerate(self.headings) if heading.strip().lower() in NAME_HEADINGS)
        for column in dict.fromkeys((0, *usual)):
            joined = names.join(Label(str(cells[column])) for _, cells in self.rows)
            if joined.found:
                return self._attributes(file, column, joined), joined
        named = str(self.rows[0][1][0]) if self.rows else ""
        raise ValueError(
            f"{file} names none of the pictures: its first column must hold their file names; it names {named!r}, and "
            f"a picture is called {next(iter(pictures), '')!r}"
        )

    def _attributes(self, file: str, column: int, joined: Join) -> dict[str, Attributes]:
        found: dict[str, Attributes] = {}
        for line, cells in self.rows:
            if (picture := joined.found.get(Label(str(cells[column])))) is None:
                continue
            columns = enumerate(zip(self.headings, cells, strict=True))
            said = {name: cell for n, (name, cell) in columns if name and n != column}
            if found.setdefault(picture, said) != said:
                raise ValueError(f"{file}, line {line}: {picture} has a row already, with other values")
        return found


def read_table(file: str, text: str) -> AttributeTable:
    """Read CSV, or CelebA's format (a count, the names, then rows of 1 and -1). Raises ValueError for other text."""
    lines = text.splitlines()
    if len(lines) > 2 and lines[0].strip().isdecimal():
        return _celeba(file, lines)
    stated = re.match(r"sep=(.)\r?\n", text)  # as spreadsheets write it
    body = text[stated.end() :] if stated else text
    delimiter = stated[1] if stated else _delimiter(body)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True)
    first = 1 if stated else 0
    try:
        rows = [(reader.line_num + first, tuple(cell.strip() for cell in row)) for row in reader if any(row)]
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num + first}: not CSV: {error}") from error
    headings = rows[0][1] if rows else ()
    for line, cells in rows[1:]:
        if len(cells) != len(headings):
            raise ValueError(f"{file}, line {line}: {len(cells)} cells under {len(headings)} headings")
    named = [heading for heading in headings if heading]
    if len(set(named)) < len(named):
        raise ValueError(f"{file}: two columns have the same heading")
    return AttributeTable(headings, tuple(rows[1:]))


def _celeba(file: str, lines: list[str]) -> AttributeTable:
    names = lines[1].split()
    rows: list[tuple[int, tuple[str | bool, ...]]] = []
    for number, line in enumerate(lines[2:], 3):
        name, *values = line.split() or [""]
        if name and len(values) != len(names):
            raise ValueError(f"{file}, line {number}: {len(values)} values for {len(names)} attributes")
        if name:
            rows.append((number, (name, *(value == "1" for value in values))))
    return AttributeTable(("", *names), tuple(rows))


def _delimiter(text: str) -> str:
    """The delimiter with which the first lines have the most cells, the same number in each; a comma if none has."""
    best, most = ",", 1
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        cells = {len(row) for row in _first_rows(reader)}
        if len(cells) == 1 and (count := cells.pop()) > most:
            best, most = delimiter, count
    return best


def _first_rows(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        for row, _ in zip((row for row in reader if any(row)), range(SAMPLE_LINES), strict=False):
            yield row
    except csv.Error:
        return
