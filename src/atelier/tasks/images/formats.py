"""Image formats: their file suffixes, and the format that an output is written in."""

SUFFIXES = {"jpeg": ".jpg", "tiff": ".tif"} | {form: f".{form}" for form in ("png", "webp", "avif", "gif", "bmp")}
FORMAT_OF_SUFFIX = {suffix: form for form, suffix in SUFFIXES.items()}
FORMAT_OF_SUFFIX |= {".jpeg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg", ".tiff": "tiff", ".apng": "png"}


def output_format(name: str, wanted: str) -> str:
    """The format that an input is written in, one of `SUFFIXES`'s keys.

    Args:
        name: the input's name, which decides before anything is opened: a JPEG that is called `a.png` becomes a PNG.
        wanted: one of them, or "keep", which keeps what the name says and is PNG where it says nothing.
    """
    return FORMAT_OF_SUFFIX.get(split_suffix(name)[1].lower(), "png") if wanted == "keep" else wanted


def split_suffix(name: str) -> tuple[str, str]:
    """The path without its suffix, and the suffix."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    return (folder + slash + stem, dot + suffix) if stem else (name, "")
