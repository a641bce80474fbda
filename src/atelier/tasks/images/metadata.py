"""Metadata that outputs keep from their input: EXIF, resolution and texts.

Kept are fields about the picture, the exposure and the place (GPS too). Left out are fields that are no longer true
(orientation, thumbnail, colour space), maker notes, Photoshop's IPTC block, and the XMP packet, which ours replaces.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image
from PIL.ExifTags import Base

MAX_BYTES = 60_000  # of the EXIF block, and of all texts, for one JPEG segment; longer ones are left out
DESCRIBING = (
    *(Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist, Base.Copyright),
    *(Base.XResolution, Base.YResolution, Base.ResolutionUnit, Base.Rating),
    *(Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject),
)
COMMENT = "Comment"  # PNG keyword for the comment of a JPEG or GIF


@dataclass(frozen=True)
class Metadata:
    """Metadata of an image file."""

    exif: bytes = b""  # "Exif\\0\\0" and a TIFF structure; b"" where there is none
    dpi: tuple[float, float] | None = None  # across and down
    texts: Mapping[str, str] = field(default_factory=dict)  # by PNG keyword


def read_metadata(image: Image.Image) -> Metadata:
    """The metadata of a loaded image, without damaged and too long parts."""
    return Metadata(_exif(image), _dpi(image), _texts(image))


def exif_tags(exif: bytes) -> dict[int, Any]:
    """The tags of `Metadata.exif` for a TIFF directory, with sub-directories as dicts."""
    found = Image.Exif()
    if exif:
        found.load(exif)
    tags = {int(tag): _stored(value) for tag, value in found.items()}
    return tags | {int(tag): _fields(found, tag) for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) if tag in found}


def _exif(image: Image.Image) -> bytes:
    try:
        found, kept = image.getexif(), Image.Exif()
        for tag in DESCRIBING:
            if tag in found:
                kept[tag] = _stored(found[tag])
        if taking := _fields(found, ExifTags.IFD.Exif):
            for tag in (Base.ExifImageWidth, Base.ExifImageHeight):
                taking.pop(tag, None)  # the file has its own size
            if Base.ColorSpace in taking:
                taking[Base.ColorSpace] = 1  # sRGB
            kept[ExifTags.IFD.Exif] = taking
        if place := _fields(found, ExifTags.IFD.GPSInfo):
            kept[ExifTags.IFD.GPSInfo] = place
        block = kept.tobytes() if len(kept) else b""
    except Exception:  # noqa: BLE001 (the EXIF parser raises nearly every type on damaged blocks)
        return b""
    return block if len(block) <= MAX_BYTES else b""


def _fields(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """A sub-directory without further sub-directories."""
    return {int(k): _stored(v) for k, v in exif.get_ifd(tag).items() if not isinstance(v, dict)}


def _stored(value: Any) -> Any:
    """The value for writing: text as bytes, whatever its encoding."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    plausible = all(math.isfinite(value) and 1 <= value <= 65535 for value in (across, down))
    return (across, down) if plausible else None


def _texts(image: Image.Image) -> dict[str, str]:
    comment = image.info.get("comment")
    if comment is not None:
        texts = {COMMENT: comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)}
    else:
        texts = {str(key): str(text) for key, text in getattr(image, "text", {}).items() if _descriptive(key)}
    size = sum(len((key + text).encode("utf-8", "replace")) for key, text in texts.items())
    return texts if size <= MAX_BYTES else {}


def _descriptive(keyword: str) -> bool:
    """Whether a PNG text is for people: programs store EXIF, XMP and more under special keywords."""
    valid = keyword.isascii() and keyword.isprintable() and 0 < len(keyword) < 80
    return valid and not keyword.startswith(("XML:", "Raw profile"))
