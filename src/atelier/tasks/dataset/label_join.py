"""Joining of labels with pictures: by path, where a path may leave out the folders at its beginning."""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Join:
    """Which picture each name of a label file means."""

    found: dict[str, str]  # name in the label file: name of the picture
    missing: tuple[str, ...]  # names without a picture
    ambiguous: tuple[str, ...]  # names that several pictures may have


class PictureNames:
    """The pictures of a source, found by the ends of their paths."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_last: dict[str, list[str]] = {}
        for name in names:
            self._by_last.setdefault(posixpath.basename(name), []).append(name)

    def join(self, wanted: Iterable[str], hint: str = "") -> Join:
        """Find a picture for each name.

        A name means the picture with this path; otherwise the only one whose path ends with it; of several the only one
        in a folder called `hint`; and where no path ends with it, the only picture with the same last part.
        """
        found: dict[str, str] = {}
        missing: list[str] = []
        ambiguous: list[str] = []
        for name in dict.fromkeys(wanted):
            fitting = self._fitting(name, hint)
            if len(fitting) == 1:
                found[name] = fitting[0]
            else:
                (ambiguous if fitting else missing).append(name)
        return Join(found, tuple(missing), tuple(ambiguous))

    def _fitting(self, name: str, hint: str) -> Sequence[str]:
        path = posixpath.normpath(name.replace("\\", "/"))
        same = self._by_last.get(posixpath.basename(path), [])
        ends = [one for one in same if posixpath.normpath(one) == path] or [
            one for one in same if one.endswith(f"/{path}")
        ]
        candidates = ends or same
        if len(candidates) > 1 and hint:
            return [one for one in candidates if hint in one.split("/")[:-1]] or candidates
        return candidates
