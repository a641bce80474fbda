"""Output names of a bulk job: mirrored input paths, planned before the first picture is read.

Names are unique, also on file systems that ignore case or Unicode composition, and no output lies in the job's own
folder.
"""

import hashlib
import itertools
import posixpath
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np

from atelier.tasks.images import formats
from atelier.tasks.images.formats import output_format, split_suffix

RESERVED = "_atelier"  # the job's own folder
SUFFIXES = formats.SUFFIXES | formats.VIDEO_SUFFIXES
FORMAT_OF_SUFFIX = formats.FORMAT_OF_SUFFIX | formats.VIDEO_FORMAT_OF_SUFFIX
REWRAPPED = frozenset(formats.VIDEO_FORMAT_OF_SUFFIX) - frozenset(formats.VIDEO_SUFFIXES.values())  # get another suffix


def plan_outputs(names: Iterable[str], wanted: str, taken: Iterable[str] = ()) -> dict[str, str]:
    """Plan the output name of every input.

    A name keeps its folders and stem and gets the suffix of its format. Names that would collide keep their original
    suffix as well (`a.png` and `a.jpg` become `a.png.webp` and `a.jpg.webp`), and names that still collide get a tag, a
    hash of the input's name. An input whose name needs no change keeps it. The plan depends on the set of names, not on
    their order.

    Args:
        names: relative POSIX paths of the inputs, each once.
        wanted: "keep", "png", "jpeg", "webp" or "avif".
        taken: outputs planned by earlier runs for other inputs.

    Returns:
        The output (relative POSIX path) of every input.
    """
    names = list(names)
    planned = [_natural(name, output_format(name, wanted)) for name in names]
    before = set(taken)
    folders = _folders(before) | _folders(planned)
    # digests of the names as file systems compare them: a million take 8 MB, and a chance collision only makes a name
    # longer than necessary
    used = np.concatenate([_digests(map(_key, before)), _digests(folders)])

    keys = _digests(map(_key, planned))
    faithful = np.array([output == name for name, output in zip(names, planned, strict=True)], dtype=bool)
    alone = (_occurrences(keys) == 1) | (faithful & (_occurrences(keys, faithful) == 1))
    free = alone & ~np.isin(keys, used)
    used = np.concatenate([used, keys[free]])

    contested = list(itertools.compress(names, ~free))
    longer = [_unreserved(name) + SUFFIXES[output_format(name, wanted)] for name in contested]
    keys = _digests(map(_key, longer))
    free = (_occurrences(keys) == 1) & ~np.isin(keys, used)
    outputs = dict(zip(names, planned, strict=True))
    outputs.update(zip(contested, longer, strict=True))

    still = sorted(itertools.compress(contested, ~free))
    everything = set(np.concatenate([used, keys[free]]).tolist()) if still else set()
    for name in still:
        outputs[name] = _tagged(outputs[name], name, everything)
        everything.add(_digest(_key(outputs[name])))
    return outputs


def _occurrences(keys: "np.ndarray[Any, np.dtype[np.uint64]]", counted: Any = None) -> Any:
    """For each key its number of occurrences, or of occurrences that are counted."""
    _, inverse = np.unique(keys, return_inverse=True)
    return np.bincount(inverse, counted)[inverse]


def _digests(keys: Iterable[str]) -> "np.ndarray[Any, np.dtype[np.uint64]]":
    return np.fromiter((_digest(key) for key in keys), dtype=np.uint64)


def _digest(key: str) -> int:
    digest = hashlib.blake2b(key.encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _natural(name: str, format: str) -> str:
    stem, suffix = split_suffix(name)
    fits = FORMAT_OF_SUFFIX.get(suffix.lower()) == format and suffix.lower() not in REWRAPPED
    return _unreserved(name if fits else (stem if suffix.lower() in FORMAT_OF_SUFFIX else name) + SUFFIXES[format])


def _tagged(output: str, name: str, used: set[int]) -> str:
    stem, suffix = split_suffix(output)
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()
    tags = (f"{stem}~{digest[:length]}{suffix}" for length in range(8, len(digest) + 1, 8))
    return next(tagged for tagged in tags if _digest(_key(tagged)) not in used)


def _unreserved(name: str) -> str:
    """The name, moved out of the job's own folder."""
    first, slash, rest = name.partition("/")
    return f"{first}_/{rest}" if slash and _key(first) == RESERVED else name


def _folders(outputs: Iterable[str]) -> set[str]:
    """All folders of outputs, at every depth."""
    found: set[str] = set()
    for folder in {output.rpartition("/")[0] for output in outputs}:
        parts = _key(folder).split("/")
        found.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return found - {""}


def _key(name: str) -> str:
    """A key that is equal for names that a file system may treat as one."""
    if "//" in name or "./" in name:
        name = posixpath.normpath(name)
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
