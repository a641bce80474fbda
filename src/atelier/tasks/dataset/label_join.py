"""Joining of labels with pictures: by path, where a path may leave out the folders at its beginning."""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_BY_PATH, _BY_PATH_ALONE, _BY_LAST_PART = range(3)  # how a label found its picture, the surest first


class Label(NamedTuple):
    """A picture's name in a label file."""

    name: str
    hint: str = ""  # of its label file: ends with _ and the name of a folder of pictures, such as instances_train2017


@dataclass(frozen=True)
class Join:
    """Which picture each label means."""

    found: dict[Label, str]  # name of the picture
    missing: tuple[Label, ...]  # without a picture
    ambiguous: tuple[Label, ...]  # that may be of several pictures, or of one that others may be of as well


class PictureNames:
    """The pictures of a source, found by the ends of their paths."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_last: dict[str, list[str]] = {}
        for name in names:
            self._by_last.setdefault(posixpath.basename(name), []).append(name)

    def join(self, labels: Iterable[Label]) -> Join:
        """Find a picture for each label.

        A label means the picture with this path; otherwise the only one whose path ends with it; of several the only
        one in the folder of its hint. Where no path ends with it, it means the only picture with the same last part,
        unless another label does.
        """
        found: dict[Label, str] = {}
        missing: list[Label] = []
        ambiguous: list[Label] = []
        claims: dict[str, list[tuple[int, Label]]] = {}  # by picture
        for label in dict.fromkeys(labels):
            way, fitting = self._fitting(*label)
            if len(fitting) == 1:
                claims.setdefault(fitting[0], []).append((way, label))
            else:
                (ambiguous if fitting else missing).append(label)
        for picture, claimed in claims.items():
            surest = min(way for way, _ in claimed)
            guesses = {label.name for way, label in claimed if way == _BY_LAST_PART}
            for way, label in claimed:
                if way > surest:  # of another picture with the same last part
                    missing.append(label)
                elif way == _BY_LAST_PART and len(guesses) > 1:
                    ambiguous.append(label)
                else:
                    found[label] = picture
        return Join(found, tuple(missing), tuple(ambiguous))

    def _fitting(self, name: str, hint: str) -> tuple[int, Sequence[str]]:
        path = posixpath.normpath(name.replace("\\", "/"))
        same = self._by_last.get(posixpath.basename(path), [])
        if exact := [one for one in same if posixpath.normpath(one) == path]:
            return _BY_PATH, exact
        ends = [one for one in same if one.endswith(f"/{path}")]
        hinted = [one for one in ends or same if any(hint.endswith(f"_{part}") for part in one.split("/")[:-1])]
        if ends:
            return (_BY_PATH if hinted or not hint else _BY_PATH_ALONE), hinted or ends
        return _BY_LAST_PART, hinted or same
