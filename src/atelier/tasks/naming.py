"""What the outputs of a bulk job are called: mirrored input paths, all planned before the first picture is touched.

No two outputs share a name, not even on file systems that ignore case or Unicode composition, and no output falls
into the folder that the job keeps its books in.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

RESERVED = "_atelier"
SUFFIX = {"jpeg": ".jpg", "tiff": ".tif"} | {form: f".{form}" for form in ("png", "webp", "avif", "gif", "bmp")}
PICTURES = {suffix: form for form, suffix in SUFFIX.items()}
PICTURES |= {".jpeg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg", ".tiff": "tiff", ".apng": "png"}


def output_format(name: str, wanted: str) -> str:
    """The format that an input is written in, one of `SUFFIX`'s keys.

    Args:
        name: the input's name, which decides before anything is opened: a JPEG that is called `a.png` becomes a PNG.
        wanted: one of them, or "keep", which keeps what the name says and is PNG where it says nothing.
    """
    return PICTURES.get(split_suffix(name)[1].lower(), "png") if wanted == "keep" else wanted


def plan_outputs(names: Iterable[str], wanted: str, taken: Mapping[str, str] | None = None) -> dict[str, str]:
    """Plan the output of every input.

    A name keeps its folders and stem and gets the suffix of its format; inputs that would meet keep their original
    suffix as well (`a.png` and `a.jpg` become `a.png.webp` and `a.jpg.webp`), and those that would still meet get a
    tag made from their name. An input whose name needs no change keeps it. The plan depends on the set of names, not
    on their order.

    Args:
        names: relative POSIX paths of the inputs, each once.
        wanted: "keep", "png", "jpeg", "webp" or "avif".
        taken: outputs by input that an earlier run of the job planned: kept as they are.

    Returns:
        The output (relative POSIX path) of every input.
    """
    taken = taken or {}
    planned = {name: taken[name] for name in names if name in taken}
    natural = {name: _natural(name, output_format(name, wanted)) for name in names if name not in taken}

    used = {_key(output) for output in taken.values()}
    folders = _folders(taken.values()) | _folders(natural.values())
    claims = Counter(_key(output) for output in natural.values())
    faithful = Counter(_key(output) for name, output in natural.items() if output == name)
    contested = []
    for name, output in natural.items():
        key = _key(output)
        alone = claims[key] == 1 or (output == name and faithful[key] == 1)
        if alone and key not in used and key not in folders:
            planned[name] = output
        else:
            contested.append(name)
    used |= {_key(output) for output in planned.values()}

    longer = {name: _unreserved(name) + SUFFIX[output_format(name, wanted)] for name in contested}
    claims = Counter(_key(output) for output in longer.values())
    still = [name for name, output in longer.items() if claims[_key(output)] > 1 or _key(output) in used | folders]
    planned |= {name: longer[name] for name in contested if name not in set(still)}
    used |= {_key(output) for output in planned.values()} | folders
    for name in sorted(still):
        planned[name] = _tagged(longer[name], name, used)
        used.add(_key(planned[name]))
    return planned


def _natural(name: str, format: str) -> str:
    stem, suffix = split_suffix(name)
    fits = PICTURES.get(suffix.lower()) == format
    return _unreserved(name if fits else (stem if suffix.lower() in PICTURES else name) + SUFFIX[format])


def _tagged(output: str, name: str, used: set[str]) -> str:
    stem, suffix = split_suffix(output)
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()
    tags = (f"{stem}~{digest[:length]}{suffix}" for length in range(8, len(digest) + 1, 8))
    return next(tagged for tagged in tags if _key(tagged) not in used)


def split_suffix(name: str) -> tuple[str, str]:
    """The path without its suffix, and the suffix."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    return (folder + slash + stem, dot + suffix) if stem else (name, "")


def _unreserved(name: str) -> str:
    """The name, moved out of the folder of the job's books."""
    first, slash, rest = name.partition("/")
    return f"{first}_/{rest}" if slash and _key(first) == RESERVED else name


def _folders(outputs: Iterable[str]) -> set[str]:
    """Every folder that outputs lie in, at every depth."""
    found: set[str] = set()
    for folder in {output.rpartition("/")[0] for output in outputs}:
        parts = _key(folder).split("/")
        found.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return found - {""}


def _key(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
