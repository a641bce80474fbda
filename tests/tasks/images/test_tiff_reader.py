"""TIFF files of every layout: the values that come out are those that were written."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from atelier.tasks.images import codec, reader
from atelier.tasks.images.codec import BadImage, ImageLimits
from atelier.tasks.images.reader import Frame
from tests.tasks.images.test_reader import PHOTO, H, W, saved

GREY = np.asarray(Image.fromarray(PHOTO).convert("L"))
DEEP = PHOTO.astype(np.uint16) * 257
ALPHA = np.tile(np.linspace(0, 255, W).astype(np.uint8), (H, 1))
LIMITS = ImageLimits(max_pixels=10_000_000)


def tiff(*pages: np.ndarray, big: bool = False, order: str = "<", **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
        for page in pages:
            writer.write(page, **{"photometric": "rgb" if page.shape[-1:] == (3,) else "minisblack", **options})
    return file.getvalue()


def grey_of(bits: int, inverted: bool = False) -> bytes:
    """Grey of any number of bits, each row packed to whole bytes, written tag by tag."""
    white = 2**bits - 1
    values = np.rint(GREY / 255 * white).astype(np.uint32)
    values = white - values if inverted else values
    planes = (values[..., None] >> np.arange(bits)[::-1]) & 1  # (H, W, bits), highest first
    data = np.packbits(planes.reshape(H, -1).astype(np.uint8), axis=1).tobytes()
    numbers = {256: W, 257: H, 258: bits, 259: 1, 262: 0 if inverted else 1, 273: 0, 277: 1, 278: H, 279: len(data)}
    numbers[273] = 8 + 2 + 12 * len(numbers) + 4
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little") for tag, value in numbers.items()
    )
    if bits == 16:
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
    return b"II*\0\x08\0\0\0" + len(numbers).to_bytes(2, "little") + entries + bytes(4) + data


def premultiplied(samples: np.ndarray, white: int) -> np.ndarray:
    share = ALPHA[..., None] / 255
    return np.dstack([np.rint(samples * share), share * white]).astype(samples.dtype)


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF whose first directory has another value of a tag that is there."""
    at = int.from_bytes(data[4:8], "little") + 2
    while int.from_bytes(data[at : at + 2], "little") != tag:
        at += 12
    return data[: at + 8] + value.to_bytes(4, "little") + data[at + 12 :]


PLANES = np.moveaxis(DEEP, -1, 0).copy()
INKS = np.asarray(Image.fromarray(PHOTO).convert("CMYK"))
KINDS: dict[str, tuple[Callable[[], bytes], np.ndarray, float]] = {
    **{f"{b}-bit grey": (lambda b=b: grey_of(b), GREY, 128 / (2**b - 1)) for b in (2, 4, 6, 8, 10, 12, 14, 16)},
    **{f"{b}-bit inverted": (lambda b=b: grey_of(b, True), GREY, 128 / (2**b - 1)) for b in (4, 8, 12, 16)},
    "1-bit inverted": (lambda: grey_of(1, True), np.where(GREY > 127, 255, 0), 0),
    "planes": (lambda: tiff(PLANES, planarconfig="separate", photometric="rgb"), PHOTO, 0),
    "planes in tiles": (
        lambda: tiff(PLANES, planarconfig="separate", photometric="rgb", tile=(16, 16), compression="lzw", predictor=2),
        PHOTO,
        0,
    ),
    "tiles, big endian": (lambda: tiff(DEEP, tile=(16, 16), order=">"), PHOTO, 0),
    "BigTIFF": (lambda: tiff(DEEP, big=True), PHOTO, 0),
    **{
        f"{name} {array.dtype}": (lambda n=name, a=array: tiff(a, compression=n, predictor=2), PHOTO, 0)
        for name in ("lzw", "zlib", "zstd", "lzma")
        for array in (PHOTO, DEEP)
    },
    "JPEG": (lambda: saved(Image.fromarray(PHOTO), "TIFF", compression="jpeg", quality=98), PHOTO, 6),
    "fax": (lambda: saved(Image.fromarray(GREY > 127), "TIFF", compression="group4"), np.where(GREY > 127, 255, 0), 0),
    "CMYK 16": (
        lambda: tiff(INKS.astype(np.uint16) * 257, photometric="separated"),
        np.asarray(Image.fromarray(PHOTO)),
        1,
    ),
    "premultiplied 8": (
        lambda: tiff(premultiplied(PHOTO, 255), extrasamples=["assocalpha"], photometric="rgb"),
        PHOTO,
        9,
    ),
    "premultiplied 16": (
        lambda: tiff(premultiplied(DEEP, 65535), extrasamples=["assocalpha"], photometric="rgb"),
        PHOTO,
        1,
    ),
    "alpha after another sample": (
        lambda: tiff(np.dstack([PHOTO, GREY, ALPHA]), extrasamples=["unspecified", "unassalpha"], photometric="rgb"),
        PHOTO,
        0,
    ),
    "grey and alpha 16": (
        lambda: tiff(np.dstack([GREY, ALPHA]).astype(np.uint16) * 257, extrasamples=["unassalpha"]),
        GREY,
        0,
    ),
}  # fmt: skip


def read(data: bytes, format: str = "tiff", **options: Any) -> tuple[Frame, ...]:
    return reader.read(data, LIMITS, format, **{"max_frames": 10, **options}).frames


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_that_were_written(kind: str) -> None:
    make, expected, most = KINDS[kind]
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    data = make()
    for format in ("tiff", "jpeg"):
        (frame,) = read(data, format)
        values = frame.pixels if frame.pixels.dtype == np.uint8 else (frame.pixels + 1) * 127.5
        seen = slice(None) if frame.alpha is None else ALPHA > 20
        assert np.abs(values.astype(float) - expected)[seen].max() <= most + 0.51, format
        assert (frame.alpha is not None) == ("alpha" in kind or "premultiplied" in kind)
        if frame.alpha is not None:
            white = np.iinfo(frame.alpha.dtype).max
            assert np.abs(frame.alpha / white * 255 - ALPHA).max() <= 1
    decoded = codec.decode(data)
    assert decoded.shape == (H, W, 3)
    if "alpha" not in kind and "premultiplied" not in kind:
        assert np.abs(decoded.astype(float) - expected).max() <= most + 0.51


def test_thumbnails_and_masks_are_no_pages_and_a_picture_may_lie_below_one() -> None:
    small = PHOTO[::4, ::4].copy()
    assert [frame.pixels.shape[0] for frame in read(tiff(PHOTO, small, subfiletype=0))] == [H, H // 4]
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(small, photometric="rgb", subfiletype=1, subifds=1)
        writer.write(PHOTO, photometric="rgb", subfiletype=0)
    (frame,) = read(file.getvalue())
    assert np.array_equal(frame.pixels, PHOTO)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page, kind in ((PHOTO, 0), (small, 1), (DEEP, 0)):
            writer.write(page, photometric="rgb", subfiletype=kind)
    assert [frame.pixels.dtype.name for frame in read(file.getvalue())] == ["uint8", "float32"]


@pytest.mark.parametrize(("photometric", "brand"), [(32803, b""), (34892, b""), (2, b"CR\2\0")])
def test_raw_files_are_recognised_by_their_content(
    photometric: int, brand: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    data = tiff(GREY.astype(np.uint16) * 16, photometric="minisblack")
    data = with_tag(data, 262, photometric)
    if brand:
        data = data[:8] + brand + data[12:]
    for name in ("tiff", "png"):
        with pytest.raises(BadImage, match=r"a camera's raw file: install atelier\[raw\]"):
            read(data, name)
    for begin in (b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIU\0\x18\0\0\0", b"\0\0\0\x18ftypcrx \0\0\0\1"):
        with pytest.raises(BadImage, match="raw file"):
            codec.decode(begin + bytes(100))


def _samples_first(samples: np.ndarray, order: str) -> bytes:
    """A grey TIFF whose samples follow the head, as many programs write them."""
    height, width = samples.shape
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: samples.size}
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + samples.size)
    return head + samples.tobytes() + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(("order", "begin"), [("<", b"IIII"), (">", b"MMMM"), ("<", b"CR\0\0"), (">", b"MMMMRa")])
def test_samples_that_begin_like_a_raw_file_are_samples(order: str, begin: bytes) -> None:
    samples = np.full((8, 8), 90, np.uint8)
    samples[0, : len(begin)] = list(begin)
    (frame,) = read(_samples_first(samples, order))
    assert np.array_equal(frame.pixels[..., 0], samples)


def test_a_raw_file_is_developed_where_rawpy_is_installed() -> None:
    pytest.importorskip("rawpy")
    y, x = np.mgrid[:200, :300]
    mosaic = np.where((y % 2 == 0) & (x % 2 == 0), 40_000, np.where((y % 2 == 1) & (x % 2 == 1), 10_000, 20_000))
    matrix = [(value, 10_000) for value in (10_000, 0, 0, 0, 10_000, 0, 0, 0, 10_000)]
    tags = [
        (50706, 1, 4, (1, 4, 0, 0), True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, (0, 1, 1, 2), True),
        (50708, 2, None, "MakerCo Cam", True),
        (50721, 10, 9, tuple(number for pair in matrix for number in pair), True),
    ]
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(np.zeros((40, 60, 3), np.uint8), photometric="rgb", subfiletype=1, subifds=1)
        writer.write((mosaic * x / 300).astype(np.uint16), photometric="cfa", subfiletype=0, extratags=tags)
    (frame,) = read(file.getvalue(), "png")
    assert (frame.pixels.shape, frame.pixels.dtype) == ((200, 300, 3), np.float32)
    red, green, blue = frame.pixels[20:-20, 20:-20].mean((0, 1))
    assert red > green > blue
    assert codec.decode(file.getvalue()).shape == (200, 300, 3)


CUT = tiff(PHOTO, DEEP, PHOTO)
DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "floats": (lambda: tiff((GREY / 255).astype(np.float32)), "floating-point samples have no agreed white"),
    "signed": (lambda: tiff(GREY.astype(np.int8)), "signed samples"),
    "a cut file": (lambda: CUT[: len(CUT) // 2], "damaged|cut"),
    "a cut file whose directory was at its end": (
        lambda: saved(Image.fromarray(PHOTO), "TIFF", compression="tiff_lzw")[:-300],
        "cut",
    ),
    "cut fax": (lambda: KINDS["fax"][0]()[:-30] , "cut|damaged"),
    "cut JPEG": (lambda: tiff(PHOTO, compression="jpeg")[:-100], "cut|damaged"),
    "a strip that is a larger picture": (
        lambda: with_tag(with_tag(tiff(np.zeros((900, 64), np.uint8), compression="jpeg"), 257, 8), 278, 8),
        "larger than the page",
    ),
    "a billion pixels": (lambda: with_tag(tiff(PHOTO), 256, 2**27), "pixels, more than"),
    "no strips": (lambda: with_tag(tiff(PHOTO), 279, 0), "missing|damaged"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_files_without_a_right_value_are_refused(kind: str) -> None:
    make, reason = DAMAGED[kind]
    with pytest.raises(BadImage, match=reason):
        read(make())


def test_a_damaged_page_is_named_and_the_others_can_be_salvaged() -> None:
    pages = [np.random.default_rng(n).integers(0, 256, (H, W, 3), dtype=np.uint8) for n in range(3)]
    data = bytearray(tiff(*pages, compression="zlib", metadata=None))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[1].dataoffsets[0]
    data[at : at + 60] = bytes(60)
    with pytest.raises(BadImage, match="page 2 is damaged"):
        read(bytes(data))
    found = read(bytes(data), salvage=True)
    assert [np.array_equal(frame.pixels, page) for frame, page in zip(found, pages[::2], strict=True)] == [True, True]
