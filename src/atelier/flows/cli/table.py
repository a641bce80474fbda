"""Rows as a text table: aligned columns below a head, on a terminal and in a pipe alike."""

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The text of a table, whose head is in capitals; an empty head leaves that line out.

    Widths are those on a terminal, where a Chinese character has two cells.
    """
    from rich.cells import cell_len

    lines = [*([[name.upper() for name in head]] if any(head) else []), *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
