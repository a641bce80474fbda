"""Image and video formats: their file suffixes, and the format that an output is written in."""

SUFFIXES = {"jpeg": ".jpg", "tiff": ".tif"} | {form: f".{form}" for form in ("png", "webp", "avif", "gif", "bmp")}
FORMAT_OF_SUFFIX = {suffix: form for form, suffix in SUFFIXES.items()}
FORMAT_OF_SUFFIX |= {".jpeg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg", ".tiff": "tiff", ".apng": "png"}

VIDEO_SUFFIXES = {form: f".{form}" for form in ("mp4", "mkv", "webm")}
# of videos by the suffix of the input; Matroska takes nearly every sound
VIDEO_FORMAT_OF_SUFFIX = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mp4", ".3gp": "mp4", ".3g2": "mp4", ".webm": "webm"}
_MATROSKA = (".mkv", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".m2t", ".vob", ".ogv", ".flv", ".wmv", ".asf", ".mxf")
VIDEO_FORMAT_OF_SUFFIX |= dict.fromkeys(_MATROSKA, "mkv")


class Unreadable(ValueError):  # noqa: N818 (a name like StopIteration)
    """A picture of a kind that is not read here; the message is the reason, for users."""


def output_format(name: str, wanted: str) -> str:
    """The output format of an input, a key of `SUFFIXES`, or of `VIDEO_SUFFIXES` for a video.

    Args:
        name: of the input. It decides before the file is opened: a JPEG named `a.png` becomes a PNG.
        wanted: a format of pictures, or "keep": that of the name's suffix, PNG for other suffixes.
    """
    suffix = split_suffix(name)[1].lower()
    if suffix in VIDEO_FORMAT_OF_SUFFIX:
        return VIDEO_FORMAT_OF_SUFFIX[suffix]
    return FORMAT_OF_SUFFIX.get(suffix, "png") if wanted == "keep" else wanted


def is_video(name: str) -> bool:
    """Whether a file is a video that is read here, by its name."""
    return split_suffix(name)[1].lower() in VIDEO_FORMAT_OF_SUFFIX


def split_suffix(name: str) -> tuple[str, str]:
    """The path without its suffix, and the suffix."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    return (folder + slash + stem, dot + suffix) if stem else (name, "")
