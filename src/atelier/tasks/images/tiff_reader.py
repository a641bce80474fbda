"""Reading TIFF files: the samples of each page as grey, RGB or CMYK of 8 or 16 bits, whatever their layout.

tifffile reads the structure, and imagecodecs the compressed parts, in any byte order, planes and tiles. This module
gives samples their meaning: bits, inverted grey, palettes, alpha, orientation.
"""

import io
import itertools
import logging
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffFile, TiffPage

from atelier.tasks.images import raw
from atelier.tasks.images.formats import Unreadable
from atelier.tasks.images.page import Page, PageReader, eight_bits, oriented

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of TIFF and BigTIFF
_COLOURS = {0: "L", 1: "L", 2: "RGB", 3: "P", 5: "CMYK", 6: "YCbCr"}  # by photometric interpretation
_CHANNELS = {"L": 1, "RGB": 3, "P": 1, "CMYK": 4, "YCbCr": 3}
_INVERTED, _ASSOCIATED, _UNASSOCIATED, _UNSIGNED, _UNTYPED = 0, 1, 2, 1, 4
_OPACITIES = (_ASSOCIATED, _UNASSOCIATED)
_NONE, _OLD_JPEG = 1, 6
_CONVERTED = (7, 34892)  # compressions whose decoder gives RGB for YCbCr: JPEG
# compressions: of samples, and of whole pictures, with Pillow's names; others are rare, and their decoders little used
_OF_SAMPLES = frozenset((1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 34926, 50000))
_OF_PICTURES = {7: "JPEG", 33003: "JPEG2000", 33005: "JPEG2000", 34712: "JPEG2000", 50001: "WEBP"}
_REDUCED, _MASK = 1, 4  # bits of
_KIND_OF_PAGE, _ORIENTATION, _PROFILE = 254, 274, 34675  # tags
_MOST_SUB_PAGES = 32  # of one page; cameras write up to six
_MOST_SAMPLES = 8  # a pixel
_SMALL_PART = 2**24  # samples, of a tile or strip that may be larger than its page
_LARGEST_PROFILE = 2**24  # bytes


class TiffPageReader:
    """A page that is not decoded yet.

    Args:
        page: as tifffile reads it.
        data: the file.
        number: of the page in the file.
    """

    def __init__(self, page: TiffPage, data: bytes, number: int) -> None:
        self.page, self.data, self.number = page, data, number
        self.width, self.height = page.imagewidth, page.imagelength

    def read(self) -> Page:
        """Decode the page. Raises `Unreadable` where it is of an unsupported kind, ValueError where it is damaged."""
        page = self.page
        mode, bits = _kind(page)
        samples = self._by_libtiff() if _is_old(page, mode) else self._stored_samples()
        colours, white = _CHANNELS[mode], 2**bits - 1
        if bits == 1 and (mode != "L" or samples.shape[2] > 1):
            samples = samples.astype(np.uint8)
        kind, place = _opacity(page, colours)
        colour, alpha = samples[..., :colours], samples[..., place] if kind else None
        profile = page.tags.valueof(_PROFILE)
        if mode == "P":
            colour, mode, bits = _palette(page)[colour[..., 0]], "RGB", 8
        elif mode == "YCbCr":
            colour, mode = colour if _is_old(page, mode) else _from_ycbcr(colour, page), "RGB"
        elif page.photometric == _INVERTED:
            colour = ~colour if colour.dtype == bool else white - colour
        if alpha is not None and kind == _ASSOCIATED:
            colour = _unassociated(colour, alpha, white)
        colour, turn = _scaled(colour, bits), _number(page, _ORIENTATION)
        if mode in ("L", "CMYK"):
            colour = colour[..., 0] if mode == "L" else eight_bits(colour)
        return Page(
            oriented(colour, turn),
            "1" if colour.dtype == bool else mode,
            None if alpha is None else oriented(_alpha_like(colour, alpha, white), turn),
            profile if isinstance(profile, bytes) and len(profile) <= _LARGEST_PROFILE else None,
        )

    def _by_libtiff(self) -> NDArray[Any]:
        """(H, W, 3) RGB."""
        with Image.open(io.BytesIO(self.data), formats=("TIFF",)) as image:
            image.seek(self.number)
            return np.array(image.convert("RGB"))

    def _stored_samples(self) -> NDArray[Any]:
        """(H, W, C). Raises ValueError where a part of the page is missing."""
        page = self.page
        if page.dtype is None:
            raise Unreadable(f"{page.bitspersample}-bit samples are not supported: convert the file to 8 or 16 bits")
        size = page.imagewidth * page.imagelength * page.samplesperpixel
        if np.prod(page.chunks, dtype=float) > max(4 * size, _SMALL_PART):
            raise ValueError("a part of the page is larger than the page says")
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        if 0 in page.databytecounts or len(parts) < int(np.prod(page.chunked)):
            raise ValueError("parts of the page are missing")
        if page.compression != _NONE and max(map(sum, parts)) > len(self.data):
            raise ValueError("the file is cut")
        if page.compression in _OF_PICTURES:
            for offset, size in parts:
                self._check_part(self.data[offset : offset + size])
        elif page.compression not in _OF_SAMPLES:
            raise Unreadable(f"its compression {int(page.compression)} is not supported: save the file with another")
        samples = page.asarray(squeeze=False, maxworkers=1)  # (planes, depth, H, W, C)
        if page.planarconfig == 2:
            return np.ascontiguousarray(np.moveaxis(samples[:, 0, ..., 0], 0, -1))
        return np.asarray(samples[0, 0])

    def _check_part(self, part: bytes) -> None:
        """Check that a tile or strip that is a picture of its own is not larger than its place in the page."""
        with Image.open(io.BytesIO(part), formats=(_OF_PICTURES[self.page.compression],)) as image:
            if image.width * image.height > 2 * int(np.prod(self.page.chunks)):
                raise ValueError("a part of the page is larger than the page says")


def read_pages(data: bytes, most: int) -> Iterator[PageReader]:
    """The pages of a TIFF file in their order, up to `most`; reduced copies of others and masks are left out.

    A camera's raw file has one, which is developed.

    Raises:
        ValueError: the file is damaged.
    """
    _silence()
    with TiffFile(io.BytesIO(data)) as file:
        main: list[TiffPage] = []
        problem = None
        try:
            main.extend(itertools.islice(_chain(file), most))
        except ValueError as error:
            problem = error  # pages before it are whole
        below = [page for one in main for page in _sub_pages(one)]
        if raw.is_raw_tiff([*main, *below]):
            yield raw.RawPicture(data)
            return
        for page in list(filter(_is_whole, main)) or list(filter(_is_whole, below)) or main[:1]:
            yield TiffPageReader(page, data, main.index(page) if page in main else 0)
        if problem:
            raise problem


def _chain(file: TiffFile) -> Iterator[TiffPage]:
    """The pages one after the other, each once: a damaged file may name one again.

    Raises:
        ValueError: the next page is damaged, or lies behind the end of the file.
    """
    seen: set[int] = set()
    last = 0
    for page in _each(file.pages):
        if page.offset in seen:
            return
        last = page.offset
        seen.add(last)
        yield page
    if not seen:
        raise ValueError("the file is cut")
    layout, handle = file.tiff, file.filehandle
    handle.seek(last)
    (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
    handle.seek(tags * layout.tagsize, io.SEEK_CUR)
    if handle.read(layout.offsetsize).strip(b"\0"):
        raise ValueError("the file is cut")


def _each(pages: Any) -> Iterator[TiffPage]:
    for number in itertools.count():
        try:
            page = pages[number]
        except IndexError:
            return
        yield page


def _sub_pages(page: TiffPage) -> list[TiffPage]:
    return list(itertools.islice(_each(page.pages), _MOST_SUB_PAGES)) if page.subifds else []


def _is_whole(page: TiffPage) -> bool:
    """Whether the page is neither a reduced copy of another, such as a thumbnail, nor a mask."""
    return not _number(page, _KIND_OF_PAGE) & (_REDUCED | _MASK)


def _is_old(page: TiffPage, mode: str) -> bool:
    """Whether the page is of the kinds that tifffile does not read: of the 1990s, by scanners and fax programs."""
    return page.compression == _OLD_JPEG or (
        mode == "YCbCr" and page.compression not in _CONVERTED and bool(page.is_subsampled)
    )


def _kind(page: TiffPage) -> tuple[str, int]:
    """Mode, of `_COLOURS`, and bits a sample. Raises `Unreadable` where they are not supported."""
    mode = _COLOURS.get(int(page.photometric))
    if mode is None:
        name = getattr(page.photometric, "name", str(int(page.photometric))).replace("CIELAB", "LAB")
        raise Unreadable(f"{name} colours are not supported: convert the file to RGB")
    if not _CHANNELS[mode] <= page.samplesperpixel <= _MOST_SAMPLES or page.imagedepth > 1:
        raise Unreadable(f"{page.samplesperpixel} samples a pixel are not supported: convert the file to RGB")
    if page.bitspersample > 16 or page.sampleformat not in (_UNSIGNED, _UNTYPED):
        what = {2: "signed", 3: "floating-point"}.get(page.sampleformat, f"{page.bitspersample}-bit")
        raise Unreadable(f"{what} samples have no agreed white: convert the file to 8 or 16 bits")
    if mode == "CMYK" and _number(page, 332, 1) != 1:
        raise Unreadable("inks other than CMYK are not supported: convert the file to RGB")
    return mode, page.bitspersample


def _opacity(page: TiffPage, colours: int) -> tuple[int, int]:
    """Kind of opacity, 0 for none, and its sample: as the file says, or where it is silent the next one."""
    after = page.extrasamples or (_UNASSOCIATED,)
    kinds = ((kind, place) for place, kind in enumerate(after, colours) if kind in _OPACITIES)
    return next((int(kind), place) for kind, place in (*kinds, (0, 0)) if place < page.samplesperpixel)


def _alpha_like(colour: NDArray[Any], alpha: NDArray[Any], white: int) -> NDArray[Any]:
    """The alpha over the whole range of the colours' type."""
    whole = int(np.iinfo(colour.dtype).max)
    return ((alpha.astype(np.uint64) * whole + white // 2) // white).astype(colour.dtype)


def _from_ycbcr(samples: NDArray[Any], page: TiffPage) -> NDArray[Any]:
    """(H, W, 3) RGB."""
    if page.compression in _CONVERTED:
        return samples
    if samples.dtype != np.uint8:
        raise Unreadable("YCbCr colours of other than 8 bits are not supported: convert the file to RGB")
    return np.asarray(Image.fromarray(np.ascontiguousarray(samples), "YCbCr").convert("RGB"))


def _palette(page: TiffPage) -> NDArray[np.uint8]:
    """(levels, 3) RGB."""
    if page.colormap is None:
        raise ValueError("the palette is missing")
    colours = np.asarray(page.colormap, dtype=np.uint16).T
    return (colours // 256 if colours.max(initial=0) > 255 else colours).astype(np.uint8)


def _unassociated(colour: NDArray[Any], alpha: NDArray[Any], white: int) -> NDArray[Any]:
    """Colours that were multiplied by alpha, divided by it; those of transparent pixels stay."""
    divided = colour.astype(np.uint32) * white // np.maximum(alpha, 1)[..., None]
    return np.where(alpha[..., None] > 0, np.minimum(divided, white), colour).astype(colour.dtype)


def _scaled(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples of fewer bits over the whole range of 8 or 16."""
    if bits in (8, 16) or samples.dtype == bool:
        return samples
    white, whole = 2**bits - 1, 255 if bits < 8 else 65535
    scaled = (samples.astype(np.uint32) * whole + white // 2) // white
    return np.asarray(scaled, dtype=np.uint8 if bits < 8 else np.uint16)


def _number(page: TiffPage, tag: int, default: int = 0) -> int:
    """The number of a tag, the default where it is absent or no number."""
    value = page.tags.valueof(tag, default)
    value = value[0] if isinstance(value, Sequence) and value else value
    return int(value) if isinstance(value, int) else default


@lru_cache(maxsize=1)
def _silence() -> None:
    """Keep tifffile's log off the terminal: what it cannot read, it raises."""
    logging.getLogger("tifffile").addFilter(lambda record: False)
