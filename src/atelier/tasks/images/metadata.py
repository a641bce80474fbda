"""Metadata that outputs keep from their input: EXIF, resolution and texts.

Kept are fields about the picture, the exposure and the place (GPS too). Left out are fields that are no longer true
(orientation, thumbnail, colour space, sizes and positions in pixels), maker notes, Photoshop's IPTC block, and the XMP
packet, which ours replaces.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from PIL import Image
from PIL.ExifTags import Base

from atelier.tasks.images import exif
from atelier.tasks.images.exif import RATIONAL, SHORT, Directory, Exif, Value

MAX_BYTES = 60_000  # of the EXIF block, and of all texts, for one JPEG segment; the longest tags are left out
RESOLUTION = (Base.XResolution, Base.YResolution)
DESCRIBING = frozenset((
    *(Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist, Base.Copyright),
    *(*RESOLUTION, Base.ResolutionUnit, Base.Rating),
    *(Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject),
))  # fmt: skip
_SUBJECT_AREA = 0x9214  # Pillow has a wrong name for it
UNTRUE = frozenset((
    *(Base.ExifImageWidth, Base.ExifImageHeight, _SUBJECT_AREA, Base.SubjectLocation),
    *(Base.CompressedBitsPerPixel, Base.Gamma, Base.MakerNote, Base.ExifInteroperabilityOffset),
))  # fmt: skip
_LAST_STANDARD = 0xAFFF  # tags above are programs' own: paddings, copies of raw settings
_LAST_GPS = 0x1F
_INCH, _CENTIMETRE = 2, 3  # values of ResolutionUnit
COMMENT = "Comment"  # PNG keyword for the comment of a JPEG or GIF


@dataclass(frozen=True)
class Metadata:
    """Metadata of an image file."""

    exif: bytes = b""  # "Exif\\0\\0" and a TIFF structure; b"" where there is none
    dpi: tuple[float, float] | None = None  # across and down
    texts: Mapping[str, str] = field(default_factory=dict)  # by PNG keyword


def read_metadata(image: Image.Image) -> Metadata:
    """The metadata of a loaded image, without damaged and too long parts."""
    return Metadata(kept_exif(_unchanged_block(image)), _dpi(image), _texts(image))


def read_page_metadata(data: bytes) -> Metadata:
    """The metadata of a TIFF file, or of a raw file like it."""
    block = kept_exif(data)
    kept = exif.parse(block)
    unit = exif.number(kept.image, Base.ResolutionUnit, kept.order)
    dpi = [exif.number(kept.image, tag, kept.order) or 0 for tag in RESOLUTION]
    if unit == _CENTIMETRE:
        dpi = [2.54 * value for value in dpi]
    return Metadata(block, _plausible_dpi(*dpi) if unit in (_INCH, _CENTIMETRE) else None)


def exif_block(image: Image.Image) -> bytes:
    """The EXIF block of an opened image as it is in the file, b"" where there is none."""
    block = image.info.get("exif", b"")
    profile = image.info.get("Raw profile type exif")  # in PNG files by ImageMagick: three lines, then hexadecimal
    if not block and isinstance(profile, str):
        try:
            block = bytes.fromhex("".join(profile.split("\n")[3:]))
        except ValueError:
            return b""
    return block if isinstance(block, bytes) else b""


def _unchanged_block(image: Image.Image) -> bytes:
    """As `exif_block`; of AVIF, where Pillow writes it again with guessed types for a rotation, from its decoder."""
    decoder = getattr(image, "_decoder", None) if image.format == "AVIF" else None
    return (decoder.get_info()[4] or b"") if decoder else exif_block(image)


def kept_exif(block: bytes) -> bytes:
    """The tags of an EXIF block that outputs keep, as a block."""
    found = exif.parse(block)
    image = {tag: value for tag, value in found.image.items() if tag in DESCRIBING}
    image = {tag: value for tag, value in image.items() if tag not in RESOLUTION or value.type == RATIONAL}
    taking = {tag: value for tag, value in found.taking.items() if tag <= _LAST_STANDARD and tag not in UNTRUE}
    if Base.ColorSpace in taking:
        taking[Base.ColorSpace] = Value(SHORT, b"\1\0" if found.order == "<" else b"\0\1")  # sRGB
    place = {tag: value for tag, value in found.place.items() if tag <= _LAST_GPS}
    kept = _fitting(replace(found, image=image, taking=taking, place=place))
    return exif.HEAD + exif.write(kept) if kept.image or kept.taking or kept.place else b""


def _fitting(whole: Exif) -> Exif:
    """Without its longest values, as many as it takes to be short enough."""
    directories: dict[str, Directory] = {"image": whole.image, "taking": whole.taking, "place": whole.place}
    sizes = [(len(value.data), name, tag) for name, part in directories.items() for tag, value in part.items()]
    room = MAX_BYTES - sum(13 + size for size, *_ in sizes)  # with each entry, and a byte of padding
    for size, name, tag in sorted(sizes, reverse=True):
        if room >= 0:
            break
        room += 13 + size
        directories[name] = {other: value for other, value in directories[name].items() if other != tag}
    return Exif(whole.order, **directories)


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return _plausible_dpi(across, down)


def _plausible_dpi(across: float, down: float) -> tuple[float, float] | None:
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
