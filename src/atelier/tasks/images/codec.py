"""Decoding image files to sRGB pixels, and encoding: the only place that opens an image file.

Files are untrusted: bytes and pixels are checked against limits before anything is decoded, and only well-maintained
formats are tried. Every problem of a file is a `BadImage` with a message for users.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngInfo

from atelier.models.settings import Settings, setting
from atelier.tasks.images import bounds, gif, more_formats, pnm, raw, tiff_reader
from atelier.tasks.images.formats import Unreadable
from atelier.tasks.images.modes import composite_on_white, split_alpha
from atelier.tasks.images.page import PageReader
from atelier.tasks.images.png import COMPRESSION, XMP_KEYWORD
from atelier.tasks.images.sixteen_bit import upright_image
from atelier.tasks.runtime.errors import short_line

Pixels = NDArray[np.uint8]  # (H, W, 3) sRGB

PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", *(("AVIF",) if features.check("avif") else ()))
FORMATS = (*PILLOW_FORMATS, "TIFF", "JPEG 2000", "PSD", "PPM", "TGA")

MAX_THUMBNAIL_BYTES = 70_000  # below 100 kB in base64
THUMBNAIL_PX, THUMBNAIL_QUALITY = 1280, 65  # at most


class BadImage(ValueError):  # noqa: N818 (a name like StopIteration)
    """A picture that cannot be read; the message is the reason, for users."""


@dataclass(frozen=True)
class ImageLimits(Settings):
    """Limits of one image file; a file above them is refused."""

    max_bytes: int = setting(128 * 2**20, "largest file that is read, in bytes", ge=1)
    max_pixels: int = setting(100_000_000, "largest picture that is decoded, in pixels", ge=1)
    max_side: int = setting(250_000, "longest side of a picture that is decoded, in pixels", ge=1)

    @property
    def pixel_limit(self) -> str:
        """The limit of pixels, for messages."""
        return f"the limit of {self.max_pixels:,}"


def check_size(size: int, max_bytes: int) -> None:
    """Check the size of a file. Raises BadImage where it is larger than `max_bytes`."""
    if size > max_bytes:
        raise BadImage(f"the file has {size:,} bytes, more than the limit of {max_bytes:,}")


@contextmanager
def open_image(data: bytes, limits: ImageLimits) -> Iterator[Image.Image]:
    """Open an image file that Pillow reads; its content decides the format, not its name. Nothing is decoded yet.

    Raises:
        BadImage: with the reason; any error of a decoder inside the block becomes one.
    """
    with _reasons(limits):
        bounds.check_structure(data)
        other = more_formats.pillow_format(data)
        if other == "JXL":  # its plugin decodes when it opens
            check_dimensions(*more_formats.jxl_size(data), limits)
        with Image.open(io.BytesIO(data), formats=(other,) if other else PILLOW_FORMATS) as image:
            check_dimensions(image.width, image.height, limits)
            more_formats.complete(image, data)
            if image.format in ("JPEG", "MPO"):
                bounds.check_scans(data, image.width * image.height)
            yield image


@contextmanager
def open_pages(data: bytes, limits: ImageLimits, most: int) -> Iterator[Iterator[PageReader] | None]:
    """The pages, up to `most`, of a TIFF, raw or PNM file, None for other files. Nothing is decoded yet.

    Raises:
        BadImage: with the reason; any error of a decoder inside the block becomes one.
    """
    if not data:
        raise BadImage("the file is empty")
    check_size(len(data), limits.max_bytes)
    with _reasons(limits):
        if raw.is_raw(data):
            yield iter([raw.RawPicture(data)])
        elif data.startswith(tiff_reader.SIGNATURES):
            yield tiff_reader.read_pages(data, most)
        elif pnm.is_pnm(data):
            yield iter([pnm.PnmReader(data)])
        else:
            yield None


@contextmanager
def _reasons(limits: ImageLimits) -> Iterator[None]:
    """Turn every error of a decoder into a BadImage."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders', of large pictures and odd metadata: our limits decide
            yield
    except BadImage:
        raise
    except Unreadable as error:
        raise BadImage(str(error)) from error
    except UnidentifiedImageError as error:
        raise BadImage(f"not a picture in a supported format ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise BadImage(f"the picture has more pixels than {limits.pixel_limit}") from error
    except MemoryError as error:
        raise BadImage("the picture does not fit into memory") from error
    except Exception as error:  # decoders raise nearly every type on damaged input
        if "MAX_TEXT" in str(error):
            raise BadImage("the file's metadata unpacks to more than 1 MB: it may be a decompression bomb") from error
        raise BadImage(f"the file is damaged: {short_line(error)}") from error


def check_dimensions(width: int, height: int, limits: ImageLimits) -> None:
    """Check the size of a picture in pixels. Raises BadImage where it has none, or is above a limit."""
    if min(width, height) < 1:
        raise BadImage("the picture has no pixels")
    check_pixels(width * height, limits, f"the picture, {width} × {height},")
    if max(width, height) > limits.max_side:
        raise BadImage(
            f"the picture, {width} × {height}, is longer than the limit of {limits.max_side:,} pixels a side"
        )


def check_pixels(pixels: int, limits: ImageLimits, what: str = "the picture") -> None:
    """Check a number of pixels. Raises BadImage where it is above the limit."""
    if pixels > limits.max_pixels:
        raise BadImage(f"{what} has {pixels:,} pixels, more than {limits.pixel_limit}")


def decode(data: bytes, limits: ImageLimits = ImageLimits()) -> Pixels:
    """Decode the first frame of an image file.

    The EXIF orientation is applied, an ICC profile is converted to sRGB (an unusable one is ignored),
    transparency is composited on white, 16-bit grey is scaled to 8 bits.

    Returns:
        (H, W, 3) uint8 sRGB.

    Raises:
        BadImage: with the reason.
    """
    with open_pages(data, limits, 1) as pages:
        for page in pages or ():
            check_dimensions(page.width, page.height, limits)
            return _on_white(page.read().image)
    with open_image(data, limits) as image:
        image.load()
        return _on_white(upright_image(image, data))


def _on_white(image: Image.Image) -> Pixels:
    colour, alpha = split_alpha(image)
    return np.asarray(colour if alpha is None else composite_on_white(colour, alpha), dtype=np.uint8)


def read_file(path: Path, limits: ImageLimits = ImageLimits()) -> bytes:
    """Read a file that a user names, without decoding it.

    Raises:
        FileNotFoundError: there is no such file.
        BadImage: it is empty or too large; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"picture {path} {'is no file' if path.exists() else 'does not exist'}")
    try:
        if not (size := path.stat().st_size):  # nor have files below /proc any, some of which wait for ever
            raise BadImage("the file is empty")
        check_size(size, limits.max_bytes)
    except BadImage as error:
        raise BadImage(f"{path} cannot be read: {error}") from error
    return path.read_bytes()


def load(path: Path) -> Pixels:
    """Read and decode one file that a user names, as `decode` does.

    Raises:
        FileNotFoundError: there is no such file.
        BadImage: the message names the file and the reason.
    """
    data = read_file(path)
    try:
        return decode(data)
    except BadImage as error:
        raise BadImage(f"{path} cannot be read: {error}") from error


def encode(image: Pixels, format: str, *, quality: int = 95, xmp: bytes | None = None) -> bytes:
    """Encode a picture; equal arguments give equal bytes.

    Args:
        image: (H, W, 3) uint8 sRGB.
        format: "png", "jpeg" or "webp".
        quality: 1…100, of the lossy formats.
        xmp: an XMP packet to embed, UTF-8.

    Raises:
        ValueError: the format is unknown, or cannot hold this picture or packet.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a picture is (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if format not in ("png", "jpeg", "webp"):
        raise ValueError(f"format must be png, jpeg or webp, not {format!r}")
    picture, file = Image.fromarray(image), io.BytesIO()
    try:
        if format == "png":
            chunks = PngInfo()
            if xmp is not None:
                chunks.add_itxt(XMP_KEYWORD, xmp.decode())
            picture.save(file, "PNG", pnginfo=chunks, compress_level=COMPRESSION)
        elif format == "jpeg":
            # chroma subsampling smears painted edges
            picture.save(file, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, xmp=xmp or b"")
        else:
            picture.save(file, "WEBP", quality=quality, xmp=xmp or b"")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot encode {image.shape[1]} × {image.shape[0]} pixels as {format}: {error}") from error
    return file.getvalue()


def resize(image: Pixels, width: int, height: int) -> Pixels:
    """Resize (H, W, 3) uint8 to pixels, with Lanczos' filter, which Pillow widens against aliasing when it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS), dtype=np.uint8)


def scaled(image: Pixels, scale: float) -> Pixels:
    """`resize` both sides by one factor, to a pixel at least."""
    height, width = image.shape[:2]
    return resize(image, max(1, round(width * scale)), max(1, round(height * scale)))


def thumbnail(picture: Pixels) -> bytes:
    """A small JPEG, for messages and rows of databases: as large as the limits of bytes and of 1280 px allow.

    Args:
        picture: (H, W, 3) uint8 sRGB.
    """
    scale = min(1.0, THUMBNAIL_PX / max(picture.shape[:2]))
    while len(data := encode(scaled(picture, scale), "jpeg", quality=THUMBNAIL_QUALITY)) > MAX_THUMBNAIL_BYTES:
        scale *= 0.85
    return data


def read_xmp(data: bytes) -> bytes | None:
    """The XMP packet of an image file, `None` when it carries none. Raises BadImage where this is no image file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=(*PILLOW_FORMATS, "TIFF")) as image:
                packet = gif.read_xmp(data) if image.format == "GIF" else image.info.get("xmp")
    except Exception as error:
        raise BadImage(f"not a picture in a supported format ({', '.join(FORMATS)})") from error
    return packet.encode() if isinstance(packet, str) else packet


def center_square(picture: Pixels, size: int) -> Pixels:
    """The central square of a picture, resized to size × size pixels."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(picture[top : top + side, left : left + side], size, size)
