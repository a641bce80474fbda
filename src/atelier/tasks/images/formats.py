"""Image formats: their file suffixes, and the format that an output is written in."""

SUFFIXES = {"jpeg": ".jpg", "tiff": ".tif"} | {form: f".{form}" for form in ("png", "webp", "avif", "gif", "bmp")}
FORMAT_OF_SUFFIX = {suffix: form for form, suffix in SUFFIXES.items()}
FORMAT_OF_SUFFIX |= {".jpeg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg", ".tiff": "tiff", ".apng": "png"}


class Unreadable(ValueError):  # noqa: N818 (a name like StopIteration)
    """A picture of a kind that is not read here; the message is the reason, for users."""


def output_format(name: str, wanted: str) -> str:
    """The output format of an input, a key of `SUFFIXES`.

    Args:
        name: of the input. It decides before the file is opened: a JPEG named `a.png` becomes a PNG.
        wanted: a format, or "keep": that of the name's suffix, PNG for other suffixes.
    """
    return FORMAT_OF_SUFFIX.get(split_suffix(name)[1].lower(), "png") if wanted == "keep" else wanted


def split_suffix(name: str) -> tuple[str, str]:
    """The path without its suffix, and the suffix."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    return (folder + slash + stem, dot + suffix) if stem else (name, "")
