"""Image files in, sRGB pixels out, and back: the only place that opens an image file.

Files come from anywhere, so bytes and pixels are bounded before anything is decoded, and only well-kept formats are
tried. Everything that can go wrong with one file is a `BadImage` whose text a person understands.
"""

import io
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngInfo

Pixels = NDArray[np.uint8]  # (H, W, 3) sRGB

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", *(("AVIF",) if features.check("avif") else ()))
XMP_KEYWORD = "XML:com.adobe.xmp"  # the PNG text chunk that the XMP specification names


class BadImage(ValueError):  # noqa: N818 (it says what it is about, like StopIteration)
    """A picture that cannot be read; the text is the reason, for a person."""


@dataclass(frozen=True)
class Limits:
    """What one image file may cost before it is refused."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    max_bytes: int = field(
        default=128 * 2**20, metadata={"description": "largest file that is read, in bytes", "ge": 1}
    )
    max_pixels: int = field(
        default=100_000_000, metadata={"description": "largest picture that is decoded, in pixels", "ge": 1}
    )


def check_size(size: int, most: int) -> None:
    """Refuse a file that is larger than it may be.

    Raises:
        BadImage: it is.
    """
    if size > most:
        raise BadImage(f"the file has {size:,} bytes, more than the limit of {most:,}")


def decode(data: bytes, limits: Limits = Limits()) -> Pixels:
    """Decode the first frame of an image file.

    The EXIF orientation is applied, an ICC profile is converted to sRGB (an unusable one is taken for sRGB),
    transparency is composited on white, 16-bit grey is scaled to 8 bits.

    Args:
        data: the file's bytes.
        limits: what the file may cost; checked before its pixels are decoded.

    Returns:
        (H, W, 3) uint8 sRGB.

    Raises:
        BadImage: with the reason.
    """
    if not data:
        raise BadImage("the file is empty")
    check_size(len(data), limits.max_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd metadata: limits decide here
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                if width * height > limits.max_pixels:
                    raise BadImage(
                        f"the picture has {width} × {height} pixels, more than the limit of {limits.max_pixels:,}"
                    )
                image.load()
                return np.asarray(_srgb(image), dtype=np.uint8)
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(f"not a picture in a supported format ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise BadImage(f"the picture has more pixels than the limit of {limits.max_pixels:,}") from error
    except MemoryError as error:
        raise BadImage("the picture does not fit into memory") from error
    except Exception as error:  # decoders raise nearly every type on damaged input
        raise BadImage(f"the file is damaged: {_one_line(error)}") from error


def load(path: Path, limits: Limits = Limits()) -> tuple[bytes, Pixels]:
    """Read and decode one file that a person names.

    Args:
        path: of the file.
        limits: what it may cost; its size is checked before it is read.

    Returns:
        The file's bytes, and its pixels as `decode` gives them.

    Raises:
        FileNotFoundError: there is no such file.
        BadImage: names the file and the reason.
    """
    if not path.is_file():
        raise FileNotFoundError(f"picture {path} does not exist")
    try:
        check_size(path.stat().st_size, limits.max_bytes)
        data = path.read_bytes()
        return data, decode(data, limits)
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
            # zlib's quickest: a third of the time of its default, for 6 % more bytes
            picture.save(file, "PNG", pnginfo=chunks, compress_level=1)
        elif format == "jpeg":
            # halved colour resolution smears the saturated edges that painted pictures are full of
            picture.save(file, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, xmp=xmp or b"")
        else:
            picture.save(file, "WEBP", quality=quality, xmp=xmp or b"")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot encode {image.shape[1]} × {image.shape[0]} pixels as {format}: {error}") from error
    return file.getvalue()


def resize(image: Pixels, width: int, height: int) -> Pixels:
    """Resize with Lanczos' filter, widened when shrinking so that nothing aliases.

    Args:
        image: (H, W, 3) uint8.
        width: pixels.
        height: pixels.

    Returns:
        (height, width, 3) uint8.
    """
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS), dtype=np.uint8)


def read_xmp(data: bytes) -> bytes | None:
    """The XMP packet of an image file, `None` when it carries none.

    Raises:
        BadImage: this is no image file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                packet = image.info.get("xmp")
    except Exception as error:
        raise BadImage(f"not a picture in a supported format ({', '.join(FORMATS)})") from error
    return packet.encode() if isinstance(packet, str) else packet


def _srgb(image: Image.Image) -> Image.Image:
    """A decoded picture as upright RGB8 sRGB on white."""
    profile = image.info.get("icc_profile")
    image = _upright(image)
    if image.mode in ("I", "F"):
        raise BadImage("32-bit samples have no agreed white: convert the file to 8 or 16 bits")
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint32)  # (H, W) 0…65535
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    image = _to_srgb(image, profile)
    if alpha is not None:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return image


def _upright(image: Image.Image) -> Image.Image:
    """The picture with its EXIF orientation applied; unreadable EXIF says nothing about orientation."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 (the EXIF parser raises nearly every type on damaged blocks)
        return image


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, CMYK or grey to RGB, by its ICC profile where that is usable."""
    if profile:
        try:
            return ImageCms.applyTransform(image, _transform(profile, image.mode)) or image
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a damaged profile, or one of another colour space: sRGB is the best guess
    return image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """The transform to sRGB: building one costs more than applying it, and archives repeat few profiles."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"
