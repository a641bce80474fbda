"""JPEG 2000, PSD, PPM, TGA, HEIF and JPEG XL: in, by their content; out as PNG."""

import struct
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

from atelier.tasks.images import codec, reader
from atelier.tasks.images.codec import BadImage, ImageLimits
from atelier.tasks.images.formats import output_format
from tests.tasks.images.test_exif import KEPT, block, contains, tags_of
from tests.tasks.images.test_reader import ALPHA, GREY16, PHOTO, RGB16, H, W, back, opened, read, saved

GREY = np.asarray(Image.fromarray(PHOTO).convert("L"))


def psd(*, merged: bool = True, layers: int = -1, channels: int = 4) -> bytes:
    """A PSD with a flattened picture, its first alpha being its opacity where the number of layers is negative."""
    version = struct.pack(">IB", 1, merged)
    resource = b"8BIM" + struct.pack(">HHI", 1057, 0, len(version)) + version + b"\0"
    records = struct.pack(">h", layers) + bytes(2)
    layer_part = struct.pack(">I", len(records)) + records
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, H, W, 8, 3)
    parts = struct.pack(">I", 0) + struct.pack(">I", len(resource)) + resource
    parts += struct.pack(">I", len(layer_part)) + layer_part
    planes = np.moveaxis(np.dstack([PHOTO, ALPHA]), -1, 0)[:channels]
    return head + parts + b"\0\0" + planes.tobytes()


def pnm(kind: int, array: np.ndarray, white: int) -> bytes:
    head = f"P{kind}\n# made by a test\n{W} {H}\n{white}\n".encode()
    if kind < 4:
        return head + " ".join(map(str, array.ravel().tolist())).encode()
    return head + array.astype(">u2" if white > 255 else np.uint8).tobytes()


KINDS: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "JPEG 2000": (lambda: saved(Image.fromarray(PHOTO), "JPEG2000"), PHOTO),
    "16-bit JPEG 2000": (lambda: saved(Image.fromarray(GREY16), "JPEG2000"), GREY16),
    "PSD": (psd, np.dstack([PHOTO, ALPHA])),
    "PSD with a selection": (lambda: psd(layers=1), PHOTO),
    "TGA": (lambda: saved(Image.fromarray(PHOTO), "TGA"), PHOTO),
    "packed TGA": (lambda: saved(Image.fromarray(PHOTO), "TGA", compression="tga_rle"), PHOTO),
    "TGA with alpha": (lambda: saved(Image.fromarray(np.dstack([PHOTO, ALPHA])), "TGA"), np.dstack([PHOTO, ALPHA])),
    "PPM": (lambda: pnm(6, PHOTO, 255), PHOTO),
    "plain PPM": (lambda: pnm(3, PHOTO, 255), PHOTO),
    "16-bit PPM": (lambda: pnm(6, RGB16, 65535), RGB16),
    "12-bit PGM": (lambda: pnm(5, GREY16 // 16, 4095), np.rint(GREY16 // 16 * (65535 / 4095)).astype(np.uint16)),
    "plain PGM": (lambda: pnm(2, GREY, 255), GREY),
    "plain PBM": (
        lambda: b"P1\n2 2\n# 11 is no sample\n0 1\n10 # nor 1\n",
        np.array([[True, False], [False, True]]),
    ),
    "PBM": (lambda: saved(Image.fromarray(GREY > 127), "PPM"), GREY > 127),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_that_were_written(kind: str) -> None:
    make, expected = KINDS[kind]
    data = make()
    (frame,) = read(data, "png").frames
    colour = expected[..., :3] if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    white = {"bool": 1, "uint8": 255, "uint16": 65535}[expected.dtype.name]
    values = frame.pixels / 255 if frame.pixels.dtype == np.uint8 else (frame.pixels + 1) / 2
    assert np.abs(values - colour / white).max() < 1e-4
    assert (frame.alpha is not None) == (expected.shape[2:] == (4,))
    if frame.alpha is not None:
        assert np.array_equal(frame.alpha, ALPHA)
    assert opened(back(data, "png")).size == expected.shape[1::-1]
    assert codec.decode(data).shape == (*expected.shape[:2], 3)


def test_outputs_of_formats_that_are_only_read_are_png() -> None:
    for suffix in ("heic", "jxl", "jp2", "psd", "ppm", "tga", "nef", "dng"):
        assert output_format(f"a.{suffix}", "keep") == "png"


def test_the_profile_and_the_exif_block_of_jpeg_2000_are_read() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    data = saved(Image.new("RGB", (8, 8), (255, 0, 0)), "JPEG2000")
    at = data.index(b"colr") - 4
    size = struct.unpack_from(">I", data, at)[0]
    colour = struct.pack(">I4sBBB", 11 + len(swapped), b"colr", 2, 0, 0) + swapped
    head = data.index(b"jp2h") - 4
    grown = struct.pack(">I", struct.unpack_from(">I", data, head)[0] + len(colour) - size)
    data = data[:head] + grown + data[head + 4 : at] + colour + data[at + size :]
    content = b"JpgTiffExif->JP2" + block(KEPT).removeprefix(b"Exif\0\0")
    end = data.index(b"jp2c") - 4
    data = data[:end] + struct.pack(">I4s", 8 + len(content), b"uuid") + content + data[end:]
    assert codec.decode(data)[0, 0].argmax() == 2
    assert contains(tags_of(back(data, "png")), KEPT)


NONE = "not a picture in a supported format|damaged"
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "layers alone": (lambda: psd(merged=False), "only layers"),
    "cut PPM": (lambda: pnm(6, PHOTO, 255)[:-9], "damaged"),
    "cut plain PGM": (lambda: pnm(2, GREY, 255)[:-90], "damaged"),
    "a white of 70,000": (lambda: pnm(5, GREY, 70_000), "brightest value"),
    "a PPM of a billion pixels": (lambda: b"P6 100000 100000 255\n" + bytes(100), "pixels, more than"),
    "zeros": (lambda: bytes(5000), NONE),
    "text": (lambda: b"\x01\x01\x01 some text that begins like a picture" * 9, NONE),
    "cut TGA": (lambda: saved(Image.fromarray(PHOTO), "TGA")[:-99], NONE),
    "a large JPEG XL": (lambda: b"\xff\x0a" + (0b1110 | (2**30 - 1) << 3).to_bytes(12, "little"), "pixels"),
    "no width": (lambda: b"P5 0 8 255\n", "has no pixels"),
    "multichannel PSD": (lambda: psd().replace(struct.pack(">HH", 8, 3), struct.pack(">HH", 8, 7), 1), "multichannel"),
    "floats": (lambda: b"Pf\n8 8\n-1.0\n" + bytes(256), NONE),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_files_without_a_right_value_are_refused(kind: str) -> None:
    make, reason = REFUSED[kind]
    if "XL" in kind:
        pytest.importorskip("pillow_jxl")
    with pytest.raises(BadImage, match=reason):
        reader.read(make(), ImageLimits(), "png")


@pytest.mark.parametrize(
    ("begin", "module", "extra"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pillow_heif", "heif"),
        (b"\xff\x0a\xff\xff", "pillow_jxl", "jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "pillow_jxl", "jxl"),
    ],
)
def test_the_extra_that_is_missing_is_named(
    begin: bytes, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BadImage, match=rf"install atelier\[{extra}\] to read it"):
        codec.decode(begin + bytes(200))


def test_heif_and_jpeg_xl_are_read_with_their_metadata() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pytest.importorskip("pillow_jxl")
    pillow_heif.register_heif_opener()
    for format, options in (("HEIF", {"quality": -1}), ("JXL", {"lossless": True})):
        data = saved(Image.fromarray(PHOTO), format, exif=block(KEPT), **options)
        (frame,) = read(data, "png").frames
        assert np.abs(frame.pixels.astype(int) - PHOTO).mean() < 3, format
        assert contains(tags_of(back(data, "png")), KEPT), format
