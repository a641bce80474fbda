"""Photographs: an image file as what the model paints, and all that is needed to put the painting back.

What goes in comes out: frames and pages with their times, grey, CMYK or colour, 8 or 16 bits, transparency, metadata.
`paintings.write` is the way back. Only what the output's format can hold is read: a JPEG has one frame and no
transparency.
"""

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atelier.tasks.images import sixteen_bit
from atelier.tasks.images.codec import BadImage, ImageLimits, Pixels, check_pixels, open_image, split_alpha
from atelier.tasks.images.metadata import Metadata, read_metadata
from atelier.tasks.images.sixteen_bit import Samples, SixteenBit

Mode = Literal["1", "L", "RGB", "CMYK"]

ANIMATED_FORMATS = frozenset({"png", "webp", "avif", "gif"})  # formats whose frames follow in time
PAGED_FORMATS = frozenset({"tiff"})  # formats that hold any number of pictures
SIXTEEN_BIT_FORMATS = frozenset({"png", "tiff"})  # formats that hold 16 bits a sample
FRAME_COUNT_FORMATS = (
    "PNG",
    "WEBP",
    "AVIF",
)  # formats whose head says how many frames there are; others are walked through
TOGETHER = "the file, with all its frames or pages,"


@dataclass(frozen=True)
class Frame:
    """One picture of a file: a frame, a page, or all there is."""

    pixels: Pixels | SixteenBit  # (H, W, 3) sRGB, upright: uint8, or float32 in [-1, 1] where the file has 16 bits
    alpha: NDArray[np.uint8] | Samples | None  # (H, W) as in the file, None where it is opaque
    mode: Mode  # what the colours were: bilevel, grey, RGB (palettes too) or CMYK
    profile: bytes | None  # the ICC profile of CMYK
    duration_ms: float  # how long an animation shows it


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image file."""

    frames: tuple[Frame, ...]
    metadata: Metadata
    plays: int = 0  # how often an animation is shown, 0 for ever
    apart: bool = False  # whether the first frame is no part of the animation, as PNG has it
    lossless: bool = False  # whether a WebP was


def read(
    data: bytes, limits: ImageLimits, format: str, *, size: int | None = None, max_frames: int = 1
) -> DecodedImage:
    """Decode an image file, by its contents and not by its name.

    Colours are converted to sRGB by the ICC profile, and the EXIF orientation is applied. Colours under transparent
    pixels are as the file has them.

    Args:
        data: the file's bytes.
        limits: what it may cost; all frames together count. With a `size` its pixels are those after shrinking.
        format: that the painting is to be written in.
        size: longest side of every frame, in px: larger ones are made smaller. None leaves them.
        max_frames: a file with more frames or pages is refused, where the format holds more than one.

    Raises:
        BadImage: with the reason.
    """
    # what is made smaller may be as large as any picture that is decoded
    readable = (
        limits if size is None else ImageLimits(limits.max_bytes, max(limits.max_pixels, ImageLimits().max_pixels))
    )
    with open_image(data, readable) as image:
        frames: list[Frame] = []
        metadata, decoded, kept = Metadata(), 0, 0
        for number in _stand_at_each(image, max_frames) if _several(image, format) else (0,):
            decoded += image.width * image.height
            check_pixels(decoded, readable, TOGETHER)
            if size is not None:  # JPEG can be decoded at a half, a quarter or an eighth; the filter does the rest
                image.draft(None, _within((image.width, image.height), 3 * size // 2))
            image.load()
            if number == 0:
                metadata = read_metadata(image)
            frame = _shrunk(_frame(image, data, number, deep_too=format in SIXTEEN_BIT_FORMATS), size)
            kept += frame.pixels.size // 3
            check_pixels(kept, limits, TOGETHER)
            frames.append(frame)
        apart = len(frames) > 1 and bool(getattr(image, "default_image", False))
        if apart and format != "png":
            apart, frames = False, frames[1:]
        lossless = image.format == "WEBP" and _is_lossless(data)
        return DecodedImage(tuple(frames), metadata, _plays(image), apart, lossless)


def _several(image: Image.Image, format: str) -> bool:
    """Whether the format holds as many frames or pages as the image may have."""
    contents = (image.format or "").lower()
    return (contents in ANIMATED_FORMATS and format in ANIMATED_FORMATS | PAGED_FORMATS) or (
        contents in PAGED_FORMATS and format in PAGED_FORMATS
    )


def _stand_at_each(image: Image.Image, most: int) -> Iterator[int]:
    """Move an image from frame to frame, and give their numbers.

    Raises:
        BadImage: it has more than it may, or fewer than it says.
    """
    too_many = BadImage(f"the file has more frames or pages than the limit of {most:,}")
    said = int(getattr(image, "n_frames", 1)) if image.format in FRAME_COUNT_FORMATS else 0
    if said > most:
        raise too_many
    for number in itertools.count():
        try:
            image.seek(number)
        except EOFError:
            if number < said:
                raise BadImage(f"the file is damaged: it ends after frame {number} of {said}") from None
            return
        if number == most:
            raise too_many
        yield number


def _plays(image: Image.Image) -> int:
    """How often an animation is shown, 0 for ever: GIF counts how often it is shown again."""
    loop = image.info.get("loop")
    if image.format == "GIF":
        return 1 if loop is None else loop + 1 if loop else 0
    return loop or 0


def _is_lossless(webp: bytes) -> bool:
    """Whether the first picture of a WebP file is: its chunks are looked through."""
    at = 12  # behind the head of the file
    while at + 8 <= len(webp):
        kind, size = struct.unpack_from("<4sI", webp, at)
        if kind in (b"VP8L", b"VP8 "):
            return bool(kind == b"VP8L")
        at += 8 + (16 if kind == b"ANMF" else size + size % 2)  # a frame holds chunks of its own
    return False


def _frame(image: Image.Image, data: bytes, number: int, *, deep_too: bool) -> Frame:
    """The frame at which a loaded picture stands."""
    duration = float(image.info.get("duration", 0))
    if deep_too and sixteen_bit.is_sixteen_bit(image, data):
        samples, opacity = sixteen_bit.read(image, data, number)
        pixels = sixteen_bit.to_float(samples, image.info.get("icc_profile"))
        return Frame(pixels, opacity, "L" if samples.ndim == 2 else "RGB", None, duration)
    colour, alpha = split_alpha(image)
    mode: Mode = "RGB"
    if image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I;16"):
        mode = "1" if image.mode == "1" and alpha is None else "L"
    elif image.mode == "CMYK":
        mode = "CMYK"
    profile = image.info.get("icc_profile") if mode == "CMYK" else None
    opacity = None if alpha is None else np.asarray(alpha, dtype=np.uint8)
    return Frame(np.asarray(colour, dtype=np.uint8), opacity, mode, profile, duration)


def _shrunk(frame: Frame, size: int | None) -> Frame:
    """The frame with its longest side no longer than `size`."""
    height, width = frame.pixels.shape[:2]
    if size is None or max(height, width) <= size:
        return frame
    wanted = _within((width, height), size)
    if frame.alpha is None:
        return replace(frame, pixels=_resized(frame.pixels, wanted))
    # what is transparent lends its neighbours no colour
    weight = np.maximum(frame.alpha / np.float32(np.iinfo(frame.alpha.dtype).max), 1e-4).astype(np.float32)
    weighed = _resized(frame.pixels * weight[..., None], wanted) / np.maximum(_resized(weight, wanted), 1e-4)[..., None]
    low, high = (0, 255) if frame.pixels.dtype == np.uint8 else (-1, 1)
    pixels = np.clip(weighed, low, high)
    pixels = np.rint(pixels) if frame.pixels.dtype == np.uint8 else pixels
    return replace(frame, pixels=pixels.astype(frame.pixels.dtype), alpha=_resized(frame.alpha, wanted))


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """A width and height in proportion, none longer than that and none enlarged."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _resized(array: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """(H, W) or (H, W, C) of any type to a width and height, with Lanczos' filter."""
    if array.dtype == np.uint8:
        return np.asarray(Image.fromarray(array).resize(size, Image.Resampling.LANCZOS))
    planes = np.atleast_3d(array).astype(np.float32)  # (H, W, C)
    small = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS))
        for plane in np.moveaxis(planes, -1, 0)
    ]
    found = np.stack(small, axis=-1).reshape(size[1], size[0], *array.shape[2:])
    return np.rint(np.clip(found, 0, 65535)).astype(np.uint16) if array.dtype == np.uint16 else found
