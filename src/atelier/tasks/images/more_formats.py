"""Formats that Pillow reads with some help: by optional packages, or with facts of the file that it leaves out."""

import re
import struct
from collections.abc import Iterator

from PIL import Image, PsdImagePlugin

from atelier.tasks.images.formats import Unreadable

OPAQUE = "atelier_opaque"  # key of an image's info: its fourth channel is no opacity
BIT_DEPTH = 24  # offset in a PNG file; the kind of its colours follows
_HEIF = re.compile(rb"....ftyp(?:hei[cxms]|hev[cmsx]|mif[12]|msf1)", re.DOTALL)
_JXL = re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n")
_JP2 = re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")
_AVIF = re.compile(rb".{8,256}?avi[fs]", re.DOTALL)  # a brand at the beginning of the file
_TGA_KINDS = {1: 8, 2: 0, 3: 8, 9: 8, 10: 0, 11: 8}  # kinds of pixels, and their bits, 0: of colour
_MERGED, _EXIF = 1057, 1058  # resources of a PSD: whether it has a flattened picture
_MULTICHANNEL = 7  # colour mode of a PSD: inks of any number and colour, of which Pillow reads one
_EXIF_ID = b"JpgTiffExif->JP2"  # of a box in JPEG 2000
_JXL_PARTS = (b"jxlc", b"jxlp")
_JXL_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def pillow_format(data: bytes) -> str | None:
    """Pillow's name of the format, None for formats that need no help. It is ready to be opened then.

    Raises:
        Unreadable: an optional package is needed.
    """
    if data.startswith(b"8BPS"):
        return "PSD"
    if _JP2.match(data):
        return "JPEG2000"
    if _HEIF.match(data) and not _AVIF.match(data[:264]):
        try:
            import pillow_heif
        except ImportError as error:
            raise Unreadable("it is a HEIC/HEIF picture: install atelier[heif] to read it") from error
        pillow_heif.register_heif_opener(thumbnails=False)
        return "HEIF"
    if _JXL.match(data):
        try:
            import pillow_jxl  # noqa: F401 (registers itself with Pillow)
        except ImportError as error:
            raise Unreadable("it is a JPEG XL picture: install atelier[jxl] to read it") from error
        return "JXL"
    return "TGA" if _is_tga(data) else None


def complete(image: Image.Image, data: bytes) -> None:
    """Add to an opened image's info what Pillow leaves out. Raises `Unreadable` where it holds no picture."""
    if image.format == "PNG":
        bits, key = data[BIT_DEPTH], image.info.get("transparency")
        if image.mode == "L" and bits < 8 and isinstance(key, int) and key < 2**bits:
            image.info["transparency"] = key * 255 // (2**bits - 1)  # as the samples, which Pillow scales
    elif image.format == "JPEG2000":
        _check_jp2_end(data)
        image.info |= dict(_jp2_info(data))
    elif image.format == "TGA":
        image.info[OPAQUE] = not data[17] & 15  # says that it has no bits of opacity
    elif isinstance(image, PsdImagePlugin.PsdImageFile):
        if int.from_bytes(data[24:26]) == _MULTICHANNEL:
            raise Unreadable("multichannel colours are not supported: convert the file to RGB")
        resources = {kind: content for kind, _, content in image.resources}
        if not resources.get(_MERGED, b"\1" * 5)[4:5].strip(b"\0"):
            raise Unreadable("the PSD has only layers: save it with maximum compatibility, or as TIFF")
        image.info |= {OPAQUE: not _psd_has_opacity(data), "exif": resources.get(_EXIF, b"")}


def jxl_size(data: bytes) -> tuple[int, int]:
    """Width and height of a JPEG XL picture, from its header (ISO 18181-1). Raises ValueError where it has none."""
    start = 0
    if data.startswith(b"\0\0"):
        start = next(
            (at + 4 * (kind == b"jxlp") for kind, at, _ in _boxes(data, 0, len(data)) if kind in _JXL_PARTS), -1
        )
    if data[start : start + 2] != b"\xff\x0a":
        raise ValueError("it has no picture")
    bits = int.from_bytes(data[start + 2 : start + 14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & (1 << count) - 1, bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    height, ratio = side(), take(3)
    across, down = _JXL_RATIOS.get(ratio, (1, 1))
    return (height * across // down if ratio else side()), height


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box of an ISO base media file, up to a hundred."""
    for _ in range(100):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= end:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        stop = end if size == 0 else at + size
        if not at + head <= stop <= end:
            return
        yield kind, at + head, stop
        at = stop


def _jp2_info(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The ICC profile and the EXIF block of a JPEG 2000 file, by Pillow's keys."""
    for kind, at, end in _boxes(data, 0, len(data)):
        if kind == b"uuid" and data.startswith(_EXIF_ID, at):
            yield "exif", data[at + len(_EXIF_ID) : end]
        for inner, start, stop in _boxes(data, at, end) if kind == b"jp2h" else ():
            if inner == b"colr" and data.startswith(b"\2", start):  # method: restricted ICC profile
                yield "icc_profile", data[start + 3 : stop]


def _check_jp2_end(data: bytes) -> None:
    """Raises ValueError where a JPEG 2000 file is cut: its decoder leaves the rest grey."""
    end = next((stop for kind, _, stop in _boxes(data, 0, len(data)) if kind == b"jp2c"), 0)
    if data.startswith(b"\xff\x4f"):
        end = len(data)
    if not data[:end].rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("it is cut")


def _psd_has_opacity(data: bytes) -> bool:
    """Whether the channel after the colours is the opacity: then the number of layers is negative."""
    at = 26
    for _ in range(2):  # colour mode data, resources
        at += 4 + int.from_bytes(data[at : at + 4])
    return int.from_bytes(data[at + 8 : at + 10], signed=True) < 0


def _is_tga(data: bytes) -> bool:
    """Whether the file has the header of a Targa picture, which has no signature, and is long enough for it."""
    if len(data) < 18:
        return False
    length, mapped, kind, _, entries, bits, _, _, width, height, depth, flags = struct.unpack_from(
        "<BBBHHBHHHHBB", data
    )
    if mapped > 1 or kind not in _TGA_KINDS or (kind in (1, 9) and not mapped) or flags & 0xC0:
        return False
    if depth not in ((16, 24, 32) if kind in (2, 10) else (8, 16)) or bits not in (0, 15, 16, 24, 32):
        return False
    size = width * height * depth // 8
    return bool(size > 0 and len(data) >= 18 + length + entries * bits // 8 + (size // 128 if kind > 8 else size))
