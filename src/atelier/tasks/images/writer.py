"""Writing paintings in a file like the original.

Grey stays grey; alpha, frames and pages are those of the original. The file is tagged as sRGB and carries an XMP
packet, except BMP, which has no place for either. Equal arguments give equal bytes.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, features

from atelier.tasks.images import avif, bmp, gif, png, sixteen_bit, tiff
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.color import srgb_profile, to_cmyk
from atelier.tasks.images.metadata import COMMENT, Metadata
from atelier.tasks.images.modes import composite_on_white
from atelier.tasks.images.reader import DecodedImage, Frame
from atelier.tasks.images.resampling import enlarged
from atelier.tasks.images.sixteen_bit import SixteenBit

FULL_CHROMA_QUALITY = 90  # from this quality on, chroma is not subsampled: subsampling smears painted edges


def write(
    original: DecodedImage,
    painted: Sequence[Pixels | SixteenBit],
    format: str,
    *,
    quality: int,
    xmp: bytes,
    strip: bool,
) -> bytes:
    """Encode a painting.

    Args:
        original: the decoded image, as `reader.read` gives it for this format.
        painted: the painted frames, each with the type of the original frame's pixels, and with their shape or a
            multiple of it: transparency is enlarged to it by bicubic interpolation.
        format: one of `WRITERS`.
        quality: 1…100, of JPEG, WebP and AVIF.
        xmp: the packet to embed, UTF-8.
        strip: leave out the original's metadata.

    Raises:
        ValueError: the format is unknown, or cannot hold this image.
    """
    if format not in WRITERS or (format == "avif" and not features.check("avif")):
        raise ValueError(f"{format} cannot be written here: choose one of {', '.join(sorted(WRITERS))}")
    frames = tuple(_painted(frame, one) for frame, one in zip(original.frames, painted, strict=True))
    painting = replace(original, frames=frames, metadata=Metadata() if strip else original.metadata)
    try:
        return WRITERS[format](painting, quality, xmp)
    except Exception as error:  # encoders raise nearly every type on what they cannot hold
        height, width = frames[0].pixels.shape[:2]
        raise ValueError(f"cannot encode {width} × {height} pixels as {format}: {error}") from error


def _painted(frame: Frame, pixels: Pixels | SixteenBit) -> Frame:
    alpha = None if frame.alpha is None else enlarged(frame.alpha, (pixels.shape[0], pixels.shape[1]))
    return replace(frame, pixels=pixels, alpha=alpha)


def _jpeg(painting: DecodedImage, quality: int, xmp: bytes) -> bytes:
    frame, metadata = painting.frames[0], painting.metadata
    colour, profile = _colour(frame, ("L", "RGB", "CMYK"))
    if frame.alpha is not None:
        colour = composite_on_white(colour, Image.fromarray(frame.alpha))
    comment = metadata.texts.get(COMMENT, "").encode("utf-8", "replace")
    tags: dict[str, Any] = {"exif": metadata.exif, "comment": comment}
    if metadata.dpi:
        tags |= {"dpi": tuple(round(value) for value in metadata.dpi)}
    subsampling = 0 if quality >= FULL_CHROMA_QUALITY else 2
    return _save(colour, "JPEG", quality=quality, subsampling=subsampling, xmp=xmp, icc_profile=profile, **tags)


def _png(painting: DecodedImage, quality: int, xmp: bytes) -> bytes:
    if painting.frames[0].pixels.dtype != np.uint8:
        file = png.encode_sixteen_bit(_samples(painting.frames[0]))
    else:
        pictures = [_picture(frame, ("1", "L", "RGB")) for frame in painting.frames]
        file = _save(pictures[0], "PNG", compress_level=png.COMPRESSION, **_animation(painting, pictures))
    return png.add_metadata(file, painting.metadata, xmp)


def _webp(painting: DecodedImage, quality: int, xmp: bytes) -> bytes:
    pictures = [_picture(frame, ("RGB",)) for frame in painting.frames]
    tags = {"xmp": xmp, "icc_profile": srgb_profile(), "exif": painting.metadata.exif[6:]}
    return _save(
        pictures[0], "WEBP", quality=quality, lossless=painting.lossless, **tags, **_animation(painting, pictures)
    )


def _avif(painting: DecodedImage, quality: int, xmp: bytes) -> bytes:
    pictures = [_picture(frame, ("L", "RGB")) for frame in painting.frames]
    options: dict[str, Any] = {"max_threads": 1}  # many files are written in parallel
    if pictures[0].mode != "L":
        subsampling = "4:4:4" if quality >= FULL_CHROMA_QUALITY else "4:2:0"
        options |= {"subsampling": subsampling, "icc_profile": srgb_profile()}
    if any(frame.alpha is not None for frame in painting.frames):
        options |= {"advanced": {"alpha:lossless": "1"}}
    tags = {"xmp": xmp, "exif": painting.metadata.exif}
    animation = _animation(painting, pictures)
    if animation:
        animation["duration"] = [round(frame.duration_ms) for frame in painting.frames]
    return avif.without_times(_save(pictures[0], "AVIF", quality=quality, **options, **tags, **animation))


def _gif(painting: DecodedImage, quality: int, xmp: bytes) -> bytes:
    stills = []
    for frame in painting.frames:
        colour = np.asarray(_colour(frame, ("RGB",))[0], dtype=np.uint8)
        stills.append(gif.GifFrame(colour, frame.alpha, frame.duration_ms))
    return gif.encode(stills, painting.plays, painting.metadata.texts.get(COMMENT, ""), xmp)


def _tiff(painting: DecodedImage, quality: int, xmp: bytes) -> bytes:
    pages = []
    for frame in painting.frames:
        if frame.pixels.dtype == np.uint8:
            picture, profile = _colour(frame, ("1", "L", "RGB", "CMYK"))
            mode = picture.mode
            samples = np.asarray(_with_alpha(picture, frame))
        else:
            samples, mode = _samples(frame), frame.mode
            profile = b"" if mode == "L" else srgb_profile()
        pages.append(tiff.Page(samples, mode, frame.alpha is not None, profile))
    return tiff.encode(pages, painting.metadata, xmp)


def _bmp(painting: DecodedImage, quality: int, xmp: bytes) -> bytes:
    picture = _picture(painting.frames[0], ("1", "L", "RGB"))
    dpi = painting.metadata.dpi or (96.0, 96.0)
    if painting.frames[0].alpha is None:
        return _save(picture, "BMP", dpi=dpi)
    return bmp.encode_with_alpha(np.asarray(picture.convert("RGBA")), dpi)


Writer = Callable[[DecodedImage, int, bytes], bytes]
WRITERS: dict[str, Writer] = {
    "jpeg": _jpeg, "png": _png, "webp": _webp, "avif": _avif, "gif": _gif, "tiff": _tiff, "bmp": _bmp
}  # fmt: skip


def _colour(frame: Frame, modes: Sequence[str]) -> tuple[Image.Image, bytes]:
    """The colours of an 8-bit frame in its own mode where the format has it, and their ICC profile.

    Grey frames stay grey, as RGB where the format has no grey mode. Grey needs no profile: it is b"".
    """
    colour, mode = Image.fromarray(frame.pixels), frame.mode
    if mode == "CMYK" and mode in modes:
        return to_cmyk(colour, frame.profile)
    if mode in ("1", "L"):
        colour = colour.convert("L")
        if mode == "1" and mode in modes and frame.alpha is None:
            colour = colour.convert("1")  # dithered
        elif "L" not in modes:
            colour = colour.convert("RGB")
    return colour, b"" if colour.mode in ("1", "L") else srgb_profile()


def _picture(frame: Frame, modes: Sequence[str]) -> Image.Image:
    """An 8-bit frame in a mode that the format has, with its alpha."""
    return _with_alpha(_colour(frame, modes)[0], frame)


def _with_alpha(picture: Image.Image, frame: Frame) -> Image.Image:
    if frame.alpha is not None:
        picture.putalpha(Image.fromarray(frame.alpha))
    return picture


def _samples(frame: Frame) -> sixteen_bit.Samples:
    """(H, W) or (H, W, C) samples of 16 bits: grey or RGB, then alpha."""
    colour = sixteen_bit.from_float(np.asarray(frame.pixels, dtype=np.float32), grey=frame.mode == "L")
    return colour if frame.alpha is None else np.dstack([colour, frame.alpha])


def _animation(painting: DecodedImage, pictures: list[Image.Image]) -> dict[str, Any]:
    """Pillow's options for an animation; none for one frame."""
    if len(pictures) == 1:
        return {}
    durations = [frame.duration_ms for frame in painting.frames]
    options = {"save_all": True, "append_images": pictures[1:], "loop": painting.plays, "duration": durations}
    return options | ({"default_image": True, "duration": durations[1:]} if painting.default_image else {})


def _save(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()
