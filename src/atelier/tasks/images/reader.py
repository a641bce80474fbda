"""Reading image files: all that a model paints, and all that is needed to write the painting like the original.

Kept are frames and pages with their durations, grey, CMYK or colour, 8 or 16 bits, transparency and metadata.
`writer.write` is the inverse. Only what the output's format can hold is read: a JPEG has one frame and no transparency.
"""

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atelier.tasks.images import icc, sixteen_bit
from atelier.tasks.images.codec import (
    BadImage,
    ImageLimits,
    Pixels,
    check_dimensions,
    check_pixels,
    open_image,
    open_pages,
)
from atelier.tasks.images.metadata import Metadata, read_metadata, read_page_metadata
from atelier.tasks.images.modes import split_alpha
from atelier.tasks.images.page import Page, PageReader
from atelier.tasks.images.resampling import shrunk
from atelier.tasks.images.sixteen_bit import Samples, SixteenBit
from atelier.tasks.runtime.errors import short_line

Mode = Literal["1", "L", "RGB", "CMYK"]

ANIMATED_FORMATS = frozenset({"png", "webp", "avif", "gif"})  # formats of animations
PAGED_FORMATS = frozenset({"tiff"})  # formats with any number of pages
SIXTEEN_BIT_FORMATS = frozenset({"png", "tiff"})  # formats with 16 bits a sample
FRAME_COUNT_FORMATS = ("PNG", "WEBP", "AVIF")  # formats whose header has the number of frames
_WHOLE_FILE = "the file, with all its frames or pages,"


@dataclass(frozen=True)
class Frame:
    """One picture of a file: a frame, a page, or the only one."""

    pixels: Pixels | SixteenBit  # (H, W, 3) sRGB, upright: uint8, or float32 in [-1, 1] where the file has 16 bits
    alpha: NDArray[np.uint8] | Samples | None  # (H, W) as in the file, None where it is opaque
    mode: Mode  # of the file: bilevel, grey, RGB (palettes too) or CMYK
    profile: bytes | None  # ICC, of CMYK
    duration_ms: float  # in an animation


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image file."""

    frames: tuple[Frame, ...]
    metadata: Metadata
    plays: int = 0  # of an animation, 0 for ever
    default_image: bool = False  # whether the first frame is a PNG's default image, outside the animation
    lossless: bool = False  # of a WebP


def read(
    data: bytes,
    limits: ImageLimits,
    format: str,
    *,
    size: int | None = None,
    max_frames: int = 1,
    salvage: bool = False,
) -> DecodedImage:
    """Decode an image file; its content decides, not its name.

    Colours are converted to sRGB by the ICC profile, and the EXIF orientation is applied. Colours of transparent
    pixels are kept.

    Args:
        limits: of all frames together. With a `size`, pixels are counted after shrinking.
        format: of the output.
        size: longest side of every frame, px: larger frames are shrunk. None keeps their size.
        max_frames: largest number of frames or pages, where the output's format holds more than one.
        salvage: leave out damaged pages, and frames from the first damaged one on, if others can be read.

    Raises:
        BadImage: with the reason.
    """
    readable = limits
    if size is not None:  # a picture that is shrunk may be as large as the default limit
        readable = replace(limits, max_pixels=max(limits.max_pixels, ImageLimits().max_pixels))
    reading = _Reading(format, size, max_frames, salvage, (readable, limits))
    with open_pages(data, readable, max_frames + 1 if format in PAGED_FORMATS else 1) as pages:
        if pages is not None:
            return DecodedImage(reading.frames(map(reading.page, pages), "page"), read_page_metadata(data))
    with open_image(data, readable) as image:
        return reading.image(image, data)


@dataclass
class _Reading:
    """One file that is being read."""

    format: str
    size: int | None
    max_frames: int
    salvage: bool
    limits: tuple[ImageLimits, ImageLimits]  # of pixels that are decoded, and of those that are kept after shrinking
    pixels: list[int] = field(default_factory=lambda: [0, 0])  # so far
    metadata: Metadata = field(default_factory=Metadata)

    def frames(self, each: Iterator[Frame], what: str) -> tuple[Frame, ...]:
        """All frames or pages, shrunk. Raises BadImage above a limit, or for the first that is damaged."""
        found: list[Frame] = []
        problem: Exception | None = None  # the first
        for number in itertools.count(1):
            try:
                if (frame := next(each, None)) is None:
                    break
            except (BadImage, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 (decoders raise nearly every type on damaged input)
                problem = problem or (error if number == 1 else _damaged(what, number, error))
                if self.salvage:
                    continue  # with the next page; after a damaged frame there is none
                break
            if number > self.max_frames:
                raise _too_many(self.max_frames)
            found.append(_shrink(frame, self.size))
            self._count(1, found[-1].pixels.size // 3)
        if problem and not (self.salvage and found):
            raise problem
        if not found:
            raise BadImage("the file holds no picture")
        return tuple(found)

    def page(self, page: PageReader) -> Frame:
        """A page."""
        self._check(page.width, page.height)
        return _page_frame(page.read(), allow_16_bit=self.format in SIXTEEN_BIT_FORMATS)

    def image(self, image: Image.Image, data: bytes) -> DecodedImage:
        """An image that Pillow has opened."""
        frames = self.frames(self._image_frames(image, data), "frame")
        default_image = len(frames) > 1 and bool(getattr(image, "default_image", False))
        if default_image and self.format != "png":
            default_image, frames = False, frames[1:]
        lossless = image.format == "WEBP" and _is_lossless(data)
        return DecodedImage(frames, self.metadata, _plays(image), default_image, lossless)

    def _image_frames(self, image: Image.Image, data: bytes) -> Iterator[Frame]:
        several = _has_frames(image, self.format)
        for number in _seek_frames(image, self.max_frames) if several else (0,):
            self._check(image.width, image.height)
            if self.size is not None:  # JPEG is decoded at 1/2, 1/4 or 1/8; the filter does the rest
                image.draft(None, fit((image.width, image.height), 3 * self.size // 2))
            image.load()
            if number == 0:
                self.metadata = read_metadata(image)
            yield _frame(image, data, allow_16_bit=self.format in SIXTEEN_BIT_FORMATS)

    def _check(self, width: int, height: int) -> None:
        """Count a frame that will be decoded. Raises BadImage above the limit."""
        check_dimensions(width, height, self.limits[0])
        self._count(0, width * height)

    def _count(self, which: int, pixels: int) -> None:
        self.pixels[which] += pixels
        check_pixels(self.pixels[which], self.limits[which], _WHOLE_FILE)


def _has_frames(image: Image.Image, format: str) -> bool:
    """Whether all frames or pages of the image are read: both formats can hold them."""
    return (image.format or "").lower() in ANIMATED_FORMATS and format in ANIMATED_FORMATS | PAGED_FORMATS


def _seek_frames(image: Image.Image, max_frames: int) -> Iterator[int]:
    """Seek each frame in turn and yield its number. Raises BadImage where they are too many, or the file is cut."""
    declared = int(getattr(image, "n_frames", 1)) if image.format in FRAME_COUNT_FORMATS else 0
    if declared > max_frames:
        raise _too_many(max_frames)
    for number in itertools.count():
        try:
            image.seek(number)
        except EOFError:
            if number < declared:
                raise EOFError(f"the file ends after frame {number} of {declared}") from None
            return
        if number == max_frames:
            raise _too_many(max_frames)
        yield number


def _damaged(what: str, number: int, error: Exception) -> BadImage:
    return BadImage(f"{what} {number} is damaged: {short_line(error)}")


def _too_many(max_frames: int) -> BadImage:
    return BadImage(f"the file has more frames or pages than the limit of {max_frames:,}")


def _plays(image: Image.Image) -> int:
    """How often an animation is shown, 0 for ever. GIF stores the number of repetitions."""
    loop = image.info.get("loop")
    if image.format == "GIF":
        return 1 if loop is None else loop + 1 if loop else 0
    return loop or 0


def _is_lossless(webp: bytes) -> bool:
    """Whether the first picture of a WebP file is lossless, from its chunks."""
    at = 12  # after the file header
    while at + 8 <= len(webp):
        kind, size = struct.unpack_from("<4sI", webp, at)
        if kind in (b"VP8L", b"VP8 "):
            return bool(kind == b"VP8L")
        at += 8 + (16 if kind == b"ANMF" else size + size % 2)  # a frame has chunks of its own
    return False


def _frame(image: Image.Image, data: bytes, *, allow_16_bit: bool) -> Frame:
    """The frame that a loaded image is at."""
    duration = float(image.info.get("duration", 0))
    if allow_16_bit and sixteen_bit.is_sixteen_bit(image, data):
        return replace(_page_frame(sixteen_bit.read(image, data), allow_16_bit=True), duration_ms=duration)
    return _eight_bit_frame(sixteen_bit.upright_image(image, data), duration)


def _page_frame(page: Page, *, allow_16_bit: bool) -> Frame:
    if not allow_16_bit or page.samples.dtype != np.uint16 or icc.has_tables(page.profile):
        return _eight_bit_frame(page.image, 0)
    mode: Mode = "L" if page.mode == "L" else "RGB"
    return Frame(sixteen_bit.to_float(page.samples, page.profile), page.alpha, mode, None, 0)


def _eight_bit_frame(image: Image.Image, duration_ms: float) -> Frame:
    colour, alpha = split_alpha(image)
    mode: Mode = "RGB"
    if image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I;16"):
        mode = "1" if image.mode == "1" and alpha is None else "L"
    elif image.mode == "CMYK":
        mode = "CMYK"
    profile = image.info.get("icc_profile") if mode == "CMYK" else None
    opacity = None if alpha is None else np.asarray(alpha, dtype=np.uint8)
    return Frame(np.asarray(colour, dtype=np.uint8), opacity, mode, profile, duration_ms)


def _shrink(frame: Frame, size: int | None) -> Frame:
    """The frame with its longest side no longer than `size`."""
    height, width = frame.pixels.shape[:2]
    if size is None or max(height, width) <= size:
        return frame
    wanted = fit((width, height), size)
    if frame.alpha is None:
        return replace(frame, pixels=shrunk(frame.pixels, wanted))
    # weighted by alpha: transparent pixels give their neighbours no colour
    weight = np.maximum(frame.alpha / np.float32(np.iinfo(frame.alpha.dtype).max), 1e-4).astype(np.float32)
    weighted = shrunk(frame.pixels * weight[..., None], wanted) / np.maximum(shrunk(weight, wanted), 1e-4)[..., None]
    low, high = (0, 255) if frame.pixels.dtype == np.uint8 else (-1, 1)
    pixels = np.clip(weighted, low, high)
    pixels = np.rint(pixels) if frame.pixels.dtype == np.uint8 else pixels
    return replace(frame, pixels=pixels.astype(frame.pixels.dtype), alpha=shrunk(frame.alpha, wanted))


def fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """A width and height in proportion, the longer at most `longest`; never enlarged."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
