"""Round trips: files of every kind are read, written without painting, and compared with the original."""

import io
import struct
import time
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageSequence

from atelier.tasks.images import codec, reader, writer
from atelier.tasks.images.codec import BadImage, ImageLimits, read_xmp
from atelier.tasks.images.color import srgb_profile
from atelier.tasks.images.reader import DecodedImage
from atelier.tasks.images.writer import WRITERS

H, W = 24, 32
Y, X = np.mgrid[:H, :W]
PHOTO = np.stack([X * 8, Y * 10, 255 - X * 4 - Y], axis=-1).astype(np.uint8)
OTHER = 255 - PHOTO
ALPHA = (X * 8).astype(np.uint8)
HOLE = np.where((X - 16) ** 2 + (Y - 12) ** 2 < 60, 0, 255).astype(np.uint8)
GREY16 = (np.arange(H * W, dtype=np.uint32) * 65535 // (H * W - 1)).astype(np.uint16).reshape(H, W)
RGB16 = np.stack([GREY16, GREY16[::-1], GREY16[:, ::-1]], axis=-1)
XMP = "<x:xmpmeta>é</x:xmpmeta>".encode()


def saved(picture: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def read(data: bytes, format: str, **options: int) -> DecodedImage:
    return reader.read(data, ImageLimits(), format, **{"max_frames": 10, **options})


def back(data: bytes, format: str, strip: bool = False, quality: int = 95, **options: int) -> bytes:
    """The file, read and written again without painting."""
    photograph = read(data, format, **options)
    unpainted = [frame.pixels for frame in photograph.frames]
    return writer.write(photograph, unpainted, format, quality=quality, xmp=XMP, strip=strip)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def frames(data: bytes) -> list[np.ndarray]:
    return [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


def near(a: np.ndarray, b: np.ndarray, most: float = 4) -> bool:
    return a.shape == b.shape and float(np.abs(a.astype(int) - b.astype(int)).mean()) < most


KINDS = {
    "grey jpeg": (saved(Image.fromarray(PHOTO).convert("L"), "JPEG", quality=95), "jpeg", "L"),
    "progressive jpeg": (saved(Image.fromarray(PHOTO), "JPEG", quality=95, progressive=True), "jpeg", "RGB"),
    "cmyk jpeg": (saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95), "jpeg", "CMYK"),
    "bilevel png": (saved(Image.fromarray(PHOTO).convert("1"), "PNG"), "png", "1"),
    "grey png": (saved(Image.fromarray(PHOTO).convert("L"), "PNG"), "png", "L"),
    "16 levels png": (saved(Image.fromarray(PHOTO).convert("L").quantize(16), "PNG", bits=4), "png", "RGB"),
    "palette png": (saved(Image.fromarray(PHOTO).quantize(64), "PNG"), "png", "RGB"),
    "webp": (saved(Image.fromarray(PHOTO), "WEBP", quality=95), "webp", "RGB"),
    "lossless webp": (saved(Image.fromarray(PHOTO), "WEBP", lossless=True), "webp", "RGB"),
    "gif": (saved(Image.fromarray(PHOTO), "GIF"), "gif", "P"),
    "bilevel tiff": (saved(Image.fromarray(PHOTO).convert("1"), "TIFF", compression="group4"), "tiff", "1"),
    "grey tiff": (saved(Image.fromarray(PHOTO).convert("L"), "TIFF"), "tiff", "L"),
    "tiff": (saved(Image.fromarray(PHOTO), "TIFF", compression="tiff_lzw"), "tiff", "RGB"),
    "cmyk tiff": (saved(Image.fromarray(PHOTO).convert("CMYK"), "TIFF"), "tiff", "CMYK"),
    "bilevel bmp": (saved(Image.fromarray(PHOTO).convert("1"), "BMP"), "bmp", "1"),
    "grey bmp": (saved(Image.fromarray(PHOTO).convert("L"), "BMP"), "bmp", "L"),
    "bmp": (saved(Image.fromarray(PHOTO), "BMP"), "bmp", "RGB"),
    "avif": (saved(Image.fromarray(PHOTO), "AVIF", quality=95), "avif", "RGB"),
}
LOSSY = ("jpeg", "webp", "gif", "avif")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_kind_comes_out(kind: str) -> None:
    data, format, mode = KINDS[kind]
    made = opened(back(data, format))
    assert made.format == format.upper()
    assert made.mode == mode
    before, after = (np.asarray(image.convert("RGB")) for image in (opened(data), made))
    if format in LOSSY and kind != "lossless webp":
        assert near(after, before)
    else:
        assert np.array_equal(after, before)


@pytest.mark.parametrize(
    ("format", "mode"),
    [("png", "RGBA"), ("png", "LA"), ("webp", "RGBA"), ("tiff", "RGBA"), ("tiff", "LA"), ("avif", "RGBA")],
)
def test_transparency_comes_back_byte_for_byte(format: str, mode: str) -> None:
    picture = Image.fromarray(PHOTO).convert(mode[:-1])
    picture.putalpha(Image.fromarray(ALPHA))
    data = saved(picture, format.upper(), **({"exact": True, "lossless": True} if format == "webp" else {}))
    made = opened(back(data, format, quality=60))
    assert made.mode == mode
    assert np.array_equal(np.asarray(made.getchannel("A")), np.asarray(opened(data).getchannel("A")))
    assert near(np.asarray(made.convert("RGB"))[ALPHA > 0], np.asarray(picture.convert("RGB"))[ALPHA > 0], 8)


def test_transparency_of_palettes_single_colours_and_bmp() -> None:
    palette = Image.fromarray(PHOTO).quantize(16)
    shown = np.asarray(palette)
    made = opened(back(saved(palette, "PNG", transparency=bytes([0, 77]) + bytes([255] * 14)), "png"))
    expected = np.where(shown == 0, 0, np.where(shown == 1, 77, 255))
    assert np.array_equal(np.asarray(made.getchannel("A")), expected)
    key = opened(back(saved(Image.fromarray(PHOTO), "PNG", transparency=tuple(PHOTO[3, 4].tolist())), "png"))
    assert np.asarray(key.getchannel("A"))[3, 4] == 0 < np.asarray(key.getchannel("A")).mean()

    hole = Image.fromarray(np.dstack([PHOTO, ALPHA]))
    made = opened(back(saved(hole, "PNG"), "bmp"))
    assert (made.format, made.mode) == ("BMP", "RGBA")
    again = opened(back(back(saved(hole, "PNG"), "bmp"), "bmp"))
    assert np.array_equal(np.asarray(made), np.asarray(hole))
    assert np.array_equal(np.asarray(again), np.asarray(hole))


def test_the_first_picture_of_an_mpo_file_is_read() -> None:
    data = saved(Image.fromarray(PHOTO), "MPO", save_all=True, append_images=[Image.fromarray(OTHER)], quality=95)
    assert opened(data).n_frames == 2
    made = opened(back(data, "jpeg"))
    assert made.format == "JPEG"
    assert near(np.asarray(made), PHOTO)


def test_jpeg_has_no_transparency_and_one_frame() -> None:
    data = saved(Image.fromarray(np.dstack([PHOTO, HOLE])), "PNG")
    made = np.asarray(opened(back(data, "jpeg")))
    assert made[HOLE == 0].min() > 235
    assert near(made[HOLE > 0], PHOTO[HOLE > 0], 8)
    data = saved(Image.fromarray(PHOTO), "GIF", save_all=True, append_images=[Image.fromarray(OTHER)])
    assert len(read(data, "jpeg", max_frames=1).frames) == 1
    assert near(np.asarray(opened(back(data, "jpeg"))), np.asarray(opened(data).convert("RGB")))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("transparent", [False, True])
def test_animations_keep_their_frames_times_and_transparency(format: str, transparent: bool) -> None:
    arrays = [PHOTO, OTHER, PHOTO[::-1]]
    holes = [HOLE, HOLE[:, ::-1], HOLE]
    pictures = [
        Image.fromarray(np.dstack(pair) if transparent else pair[0]) for pair in zip(arrays, holes, strict=True)
    ]
    options = {"loop": 3} if format != "AVIF" else {}
    data = saved(
        pictures[0], format, save_all=True, append_images=pictures[1:], duration=[70, 120, 70], disposal=2, **options
    )
    made_data = back(data, format.lower())
    before, made = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(made_data))
    assert (made.format, made.n_frames) == (format, 3)
    assert read_xmp(made_data) == XMP
    if format == "AVIF" and transparent:
        time.sleep(1.1)  # its encoder writes the time, in seconds, into two tracks
    assert made_data == back(data, format.lower())
    assert made.info.get("loop") == before.info.get("loop")
    for number in range(3):
        made.seek(number)
        made.load()
        assert made.info["duration"] == (70, 120, 70)[number]
    for was, now in zip(frames(data), frames(made_data), strict=True):
        assert np.array_equal(was[..., 3], now[..., 3])
        assert near(now[..., :3][was[..., 3] > 0], was[..., :3][was[..., 3] > 0], 8)


def test_the_default_image_of_an_animated_png_stays_outside_the_animation() -> None:
    still, *moving = (Image.fromarray(array) for array in (PHOTO[::-1], PHOTO, OTHER))
    data = saved(still, "PNG", save_all=True, append_images=moving, default_image=True, duration=[50, 60])
    made = Image.open(io.BytesIO(back(data, "png")))
    assert made.default_image
    assert all(np.array_equal(a, b) for a, b in zip(frames(back(data, "png")), frames(data), strict=True))
    assert len(frames(back(data, "webp"))) == 2


def test_pages_keep_their_order_size_mode_and_depth() -> None:
    pages = [
        Image.fromarray(PHOTO),
        Image.fromarray(GREY16),
        Image.fromarray(PHOTO[:9]).convert("1"),
        Image.fromarray(PHOTO).convert("L"),
    ]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    made = Image.open(io.BytesIO(back(data, "tiff")))
    assert made.n_frames == 4
    for number, page in enumerate(pages):
        made.seek(number)
        assert made.mode == page.mode
        assert np.array_equal(np.asarray(made), np.asarray(page))
    assert np.array_equal(np.asarray(opened(back(data, "png"))), PHOTO), "a PNG has no pages: the first counts"


@pytest.mark.parametrize(("format", "order"), [("PNG", "<"), ("TIFF", "<"), ("TIFF", ">")])
def test_16_bit_grey_comes_back_as_16_bit_grey(format: str, order: str) -> None:
    data = saved(Image.fromarray(GREY16.astype(f"{order}u2")), format)
    assert format == "PNG" or data.startswith(b"II" if order == "<" else b"MM")
    photograph = read(data, format.lower())
    (frame,) = photograph.frames
    assert (frame.pixels.dtype, frame.pixels.shape, frame.mode) == (np.float32, (H, W, 3), "L")
    assert (frame.pixels.min(), frame.pixels.max()) == (-1, 1)
    made = opened(back(data, format.lower()))
    assert (made.format, made.mode) == (format, "I;16")
    assert np.array_equal(np.asarray(made), GREY16)
    assert opened(back(data, "jpeg")).mode == "L"
    assert near(np.asarray(opened(back(data, "webp"))), np.repeat((GREY16 // 257)[..., None], 3, axis=2))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_16_bit_colour_keeps_every_bit(format: str, channels: int) -> None:
    samples = np.dstack([RGB16, GREY16.T.reshape(H, W)])[..., :channels]
    stored = np.ascontiguousarray(samples[..., [2, 1, 0, 3][:channels]])
    data = cv2.imencode(f".{format}", stored)[1].tobytes()
    made = back(data, format)
    assert np.array_equal(cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_UNCHANGED), stored)
    assert opened(made).mode == ("RGBA" if channels == 4 else "RGB")
    assert read_xmp(made) == XMP


def png_of(lines: np.ndarray, bits: int, colours: int, key: bytes = b"") -> bytes:
    """A PNG of packed lines, (H, bytes) or (H, samples) of 16 bits, with a transparent colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, bits, colours, 0, 0, 0))
    stored = b"".join(b"\0" + line.astype(line.dtype.newbyteorder(">")).tobytes() for line in lines)
    transparent = chunk(b"tRNS", key) if key else b""
    return b"\x89PNG\r\n\x1a\n" + head + transparent + chunk(b"IDAT", zlib.compress(stored)) + chunk(b"IEND", b"")


def test_16_bit_grey_with_transparency_and_pages_of_16_bit_colour() -> None:
    both = np.dstack([GREY16, GREY16[::-1]])
    data = png_of(both, 16, 4)
    (small,) = read(data, "webp").frames  # with 8 bits it is grey as well
    assert small.mode == "L"
    assert np.array_equal(small.pixels[..., 0], np.rint(GREY16 / 257))
    assert np.array_equal(small.alpha, np.rint(GREY16[::-1] / 257))
    made = back(data, "png")
    assert made[24:26] == bytes([16, 4])
    found = cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(found[..., [0, 3]], both)

    stored = [np.ascontiguousarray(RGB16), np.ascontiguousarray(RGB16[::-1])]
    data = cv2.imencodemulti(".tiff", stored)[1].tobytes()
    made = back(data, "tiff")
    _, pages = cv2.imdecodemulti(np.frombuffer(made, np.uint8), cv2.IMREAD_UNCHANGED)
    assert all(np.array_equal(page, was) for page, was in zip(pages, stored, strict=True))


def oriented(data: bytes, orientation: int) -> bytes:
    """A PNG with an EXIF block."""
    block = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHHI", 0x0112, 3, 1, orientation, 0, 0)
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png16 colour", "png16 grey", "tiff16 colour", "webp", "avif"])
def test_orientation_is_applied_once_and_reset(orientation: int, kind: str) -> None:
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    bgr = np.ascontiguousarray(RGB16[..., ::-1])
    format = kind.split()[0].removesuffix("16")
    if kind in ("jpeg", "webp", "avif"):
        data, source = saved(Image.fromarray(PHOTO), format.upper(), exif=exif, quality=95), PHOTO
    elif kind == "tiff16 colour":
        parameters = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
        data, source = cv2.imencode(".tiff", bgr, parameters)[1].tobytes(), RGB16
        data = with_tiff_orientation(data, orientation)
    elif kind == "png16 colour":
        data, source = oriented(cv2.imencode(".png", bgr)[1].tobytes(), orientation), RGB16
    else:
        data, source = oriented(saved(Image.fromarray(GREY16), "PNG"), orientation), GREY16
    expected = np.rot90(source, turns[orientation])
    if orientation in (2, 4, 5, 7):
        expected = expected[:, ::-1]
    made = back(data, format)
    assert opened(made).getexif().get(ExifTags.Base.Orientation, 1) == 1
    if source is PHOTO:
        assert near(np.asarray(opened(made)), expected)
    else:
        found = cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(found[..., ::-1] if found.ndim == 3 else found, expected)


def with_tiff_orientation(data: bytes, orientation: int) -> bytes:
    """A TIFF of one page whose directory is written again at the end, with an orientation."""
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(order + "I", data, 4)[0]
    count = struct.unpack_from(order + "H", data, at)[0]
    entries = [data[at + 2 + 12 * n : at + 14 + 12 * n] for n in range(count)]
    entries = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] != 274]
    entries.append(struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from(order + "H", entry)[0])
    data += b"\0" * (len(data) % 2)
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack(order + "I", len(data)) + data[8:] + directory


def test_interlaced_png_is_read() -> None:
    small = PHOTO[:8, :8]
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    lines = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in small[y::dy, x::dx])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 1))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    assert np.array_equal(np.asarray(opened(back(data, "png"))), small)


@pytest.mark.parametrize("format", sorted(WRITERS))
def test_equal_arguments_give_equal_bytes_and_the_packet_comes_back(format: str) -> None:
    data = saved(Image.fromarray(PHOTO), "PNG")
    made = back(data, format)
    assert made == back(data, format)
    assert read_xmp(made) == (None if format == "bmp" else XMP)
    assert opened(made).format == format.upper(), "the output's format is what was asked for, whatever came in"


def test_colours_are_converted_to_srgb_and_tagged() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    for format in ("jpeg", "webp", "tiff", "avif", "png"):
        made = opened(back(saved(red, format.upper(), icc_profile=swapped), format))
        assert np.asarray(made)[0, 0].argmax() == 2, format
        assert made.info.get("icc_profile") == (None if format == "png" else srgb_profile()), format
        if format == "png":
            assert made.info["srgb"] == 0
        grey = opened(back(saved(red.convert("L"), format.upper()), format))
        assert (grey.info.get("icc_profile") is None) == (grey.mode == "L" or format == "png"), format
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))).startswith("sRGB")


@pytest.mark.parametrize("gamma", [2.4, 1.8])
def test_16_bits_are_converted_by_the_profile_like_8_bits(gamma: float) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    fixed = struct.pack(">i", round(2.4 * 65536))
    assert fixed in swapped
    profile = swapped.replace(fixed, struct.pack(">i", round(gamma * 65536)))
    eight = codec.decode(saved(Image.fromarray((RGB16 // 257).astype(np.uint8)), "PNG", icc_profile=profile))
    bgr = np.ascontiguousarray(RGB16[..., ::-1] // 257 * 257)
    plain = cv2.imencode(".png", bgr)[1].tobytes()
    packed = b"icc\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(packed)) + b"iCCP" + packed + struct.pack(">I", zlib.crc32(b"iCCP" + packed))
    (frame,) = read(plain[:33] + chunk + plain[33:], "png").frames
    assert np.abs((frame.pixels + 1) * 127.5 - eight).max() < 1.5
    for useless in (b"no profile", profile[:200], profile):
        data = saved(Image.fromarray(GREY16), "PNG", icc_profile=useless)
        assert np.array_equal(np.asarray(opened(back(data, "png"))), GREY16)


def press_profile() -> bytes:
    """A CMYK profile with minimal tables: lightness falls with black, and the other inks have no effect."""

    def table(inputs: int, outputs: int, colours: list[list[int]]) -> bytes:
        head = b"mft1\0\0\0\0" + struct.pack(">BBBB9i", inputs, outputs, 2, 0, *(65536, 0, 0, 0) * 2, 65536)
        ramps = bytes(range(256))
        return head + ramps * inputs + bytes(value for colour in colours for value in colour) + ramps * outputs

    to_lab = table(4, 3, [[0 if number % 2 else 255, 128, 128] for number in range(16)])
    from_lab = table(3, 4, [[0, 0, 0, 255 if number < 4 else 0] for number in range(8)])
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text\0\0\0\0press\0\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 6) + b"press\0" + bytes(79)
    parts = {
        b"A2B0": to_lab,
        b"B2A0": from_lab,
        b"cprt": text,
        b"desc": name + b"\0" * (-len(name) % 4),
        b"wtpt": white,
    }
    at, entries = 128 + 4 + 12 * len(parts), b""
    for tag, content in parts.items():
        entries += struct.pack(">4sII", tag, at, len(content))
        at += len(content)
    head = struct.pack(">I4sI4s4s4s12x4s", at, b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    head = (head + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0")
    return head + struct.pack(">I", len(parts)) + entries + b"".join(parts.values())


@pytest.mark.parametrize("format", ["jpeg", "tiff"])
def test_cmyk_is_written_with_its_own_profile(format: str) -> None:
    inks = np.zeros((H, W, 4), np.uint8)
    inks[..., 3] = X * 4  # black, and cyan, which this profile ignores
    inks[..., 0] = 90
    press = press_profile()
    data = saved(Image.frombytes("CMYK", (W, H), inks.tobytes()), format.upper(), icc_profile=press)
    (frame,) = read(data, format).frames
    lightness = 100 * (1 - X * 4 / 255)
    assert np.ptp(frame.pixels.astype(int), axis=-1).max() <= 2
    grey = np.asarray(ImageCms.applyTransform(Image.fromarray(frame.pixels), to_lab()))[..., 0] / 2.55
    assert np.abs(grey - lightness).max() < 3
    made = opened(back(data, format))
    assert (made.mode, made.info["icc_profile"]) == ("CMYK", press)
    found = np.asarray(made)
    assert found[..., :3].max() <= 3
    assert near(found[..., 3], inks[..., 3])


def to_lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")


def test_16_bit_grey_in_linear_light_is_shown_brighter() -> None:
    head = bytes(16) + b"GRAYXYZ " + bytes(104) + struct.pack(">I4sII", 1, b"kTRC", 144, 16)
    linear = head + b"curv" + struct.pack(">IIHH", 0, 1, 256, 0)
    made = np.asarray(opened(back(saved(Image.fromarray(GREY16), "TIFF", icc_profile=linear), "tiff")))
    light = GREY16 / 65535
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(made / 65535 - expected).max() < 1e-4
    for wrong in (struct.pack(">IHHi", 0, 0, 0, -65536), struct.pack(">IHHi", 0, 9, 0, 65536)):
        data = saved(Image.fromarray(GREY16), "TIFF", icc_profile=head + b"para" + wrong)
        assert np.array_equal(np.asarray(opened(back(data, "tiff"))), GREY16), "no curve: taken for sRGB"


def test_metadata_is_kept_or_stripped() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "J\u00f6rg".encode()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.HostComputer] = "somebody's"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 400
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 65535
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] = 9999
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    data = saved(Image.fromarray(PHOTO), "JPEG", exif=exif, dpi=(300, 150), comment="by the sea", xmp=b"<theirs/>")
    for format in ("jpeg", "png", "webp", "tiff", "avif"):
        made = opened(back(back(data, format), format))  # a second round trip
        kept = made.getexif()
        assert kept[ExifTags.Base.Artist].encode("latin-1") == "J\u00f6rg".encode(), format
        assert ExifTags.Base.HostComputer not in kept
        assert kept.get(ExifTags.Base.Orientation, 1) == 1
        taking = kept.get_ifd(ExifTags.IFD.Exif)
        assert (taking[ExifTags.Base.ISOSpeedRatings], taking[ExifTags.Base.ColorSpace]) == (400, 1)
        assert ExifTags.Base.ExifImageWidth not in taking
        assert kept.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
        if format in ("jpeg", "png", "tiff"):
            assert [round(value) for value in made.info["dpi"]] == [300, 150], format
        assert read_xmp(back(data, format)) == XMP

        bare = back(data, format, strip=True)
        assert not {ExifTags.Base.Artist, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo} & set(opened(bare).getexif())
        assert "dpi" not in opened(bare).info or opened(bare).info["dpi"] == (1, 1)
        assert read_xmp(bare) == XMP
    for format in ("jpeg", "gif"):
        assert opened(back(data, format)).info["comment"] == b"by the sea"
        assert "comment" not in opened(back(data, format, strip=True)).info
    assert opened(back(data, "png")).text["Comment"] == "by the sea"
    assert [round(value) for value in opened(back(data, "bmp")).info["dpi"]] == [300, 150]
    assert opened(back(back(data, "png"), "jpeg")).info["comment"] == b"by the sea"


def test_size_is_the_longest_side_and_nothing_is_enlarged() -> None:
    data = saved(Image.fromarray(np.dstack([PHOTO, ALPHA])), "PNG")
    assert opened(back(data, "png", size=16)).size == (16, 12)
    assert opened(back(data, "png", size=1000)).size == (W, H)
    assert np.array_equal(np.asarray(opened(back(data, "png", size=W)))[..., 3], ALPHA)
    thin = saved(Image.fromarray(PHOTO[:1]), "PNG")
    assert opened(back(thin, "png", size=5)).size == (5, 1)
    deep = back(saved(Image.fromarray(GREY16), "PNG"), "png", size=16)
    assert (opened(deep).mode, opened(deep).size) == ("I;16", (16, 12))
    halved = GREY16.reshape(H // 2, 2, W // 2, 2).mean((1, 3))
    assert near(np.asarray(opened(deep)), halved, 50)


@pytest.mark.parametrize("deep", [False, True])
def test_transparent_pixels_give_no_colour_when_shrinking(deep: bool) -> None:
    red = np.zeros((64, 64, 4), np.uint8)
    red[:, 33:] = [255, 0, 0, 255]  # beside transparent black
    data = saved(Image.fromarray(red), "PNG")
    if deep:
        bgra = red[..., [2, 1, 0, 3]].astype(np.uint16) * 257
        data = cv2.imencode(".png", bgra)[1].tobytes()
    made = np.asarray(opened(back(data, "png", size=16)).convert("RGBA"))
    seen = made[made[..., 3] > 20]
    assert len(np.unique(seen[:, 3])) > 1
    assert seen[:, 0].min() > 240


def test_an_input_that_is_shrunk_may_be_above_the_limit_of_painting() -> None:
    smooth = np.asarray(Image.fromarray(PHOTO).resize((640, 480), Image.Resampling.BICUBIC))
    data = saved(Image.fromarray(smooth), "JPEG", quality=95)
    with pytest.raises(BadImage, match="640 × 480, has 307,200 pixels, more than the limit of 3,000"):
        reader.read(data, ImageLimits(max_pixels=3000), "jpeg")
    (frame,) = reader.read(data, ImageLimits(max_pixels=3000), "jpeg", size=60).frames
    assert near(frame.pixels, np.asarray(Image.fromarray(smooth).resize((60, 45), Image.Resampling.LANCZOS)))
    with pytest.raises(BadImage, match="4,800 pixels, more than the limit of 3,000"):
        reader.read(data, ImageLimits(max_pixels=3000), "jpeg", size=80)


def test_grey_and_cmyk_without_a_profile_keep_their_mode() -> None:
    painted = np.zeros((H, W, 3), np.uint8) + np.uint8([200, 40, 40])
    for data, format in ((KINDS["grey png"][0], "png"), (KINDS["grey jpeg"][0], "webp")):
        photograph = read(data, format)
        made = opened(writer.write(photograph, [painted], format, quality=95, xmp=XMP, strip=False))
        values = np.asarray(made.convert("RGB")).astype(int)
        assert np.ptp(values, axis=-1).max() <= 2, "a painting of a grey picture is grey"
    made = opened(back(KINDS["cmyk jpeg"][0], "png"))
    assert made.mode == "RGB"


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def huge_gif(frames: int) -> bytes:
    """A GIF of so many frames of one pixel."""
    frame = b"!\xf9\x04\0\x01\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
    return b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + frame * frames + b";"


def cyclic_tiff() -> bytes:
    data = bytearray(saved(Image.fromarray(PHOTO), "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    return bytes(data)


def png_with(kind: bytes, payload: bytes) -> bytes:
    data = saved(Image.fromarray(PHOTO), "PNG")
    chunk = struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
    return data[:33] + chunk + data[33:]


def endless_jpeg() -> bytes:
    """A progressive JPEG whose last scan comes a thousand times."""
    data = saved(Image.fromarray(PHOTO), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 1000 + data[-2:]


def jpeg_with(part: bytes) -> bytes:
    data = saved(Image.fromarray(PHOTO), "JPEG")
    return data[:2] + part + data[2:]


BOMB = zlib.compress(bytes(64 * 2**20), 9)
HOSTILE: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "a GIF of a million frames": (lambda: huge_gif(1_000_000), "gif", "more frames or pages than the limit of 10"),
    "an APNG that claims a million": (
        lambda: png_with(b"acTL", struct.pack(">II", 1_000_000, 0)),
        "png",
        "more frames or pages",
    ),
    "an APNG that holds less than it claims": (
        lambda: png_with(b"acTL", struct.pack(">II", 3, 0)),
        "png",
        "damaged",
    ),
    "zTXt that unpacks to 64 MB": (lambda: png_with(b"zTXt", b"Comment\0\0" + BOMB), "png", "decompression bomb"),
    "iCCP that unpacks to 64 MB": (lambda: png_with(b"iCCP", b"icc\0\0" + BOMB), "png", "decompression bomb"),
    "frames that are too many pixels together": (
        lambda: saved(
            Image.fromarray(noise(900, 900, 3)),
            "WEBP",
            save_all=True,
            append_images=[Image.fromarray(noise(900, 900))] * 2,
        ),
        "webp",
        "with all its frames or pages, has 1,620,000 pixels, more than the limit of 1,000,000",
    ),
    "a cut animation": (
        lambda: saved(
            Image.fromarray(noise(40, 40, 3)), "PNG", save_all=True, append_images=[Image.fromarray(noise(40, 40))]
        )[:-900],
        "png",
        "damaged",
    ),
    "a JPEG of a hundred thousand segments": (lambda: jpeg_with(b"\xff\xfe\0\x03A" * 100_000), "jpeg", "segments"),
    "a JPEG of large segments": (
        lambda: jpeg_with((b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)) * 500),
        "jpeg",
        "too many or too large segments",
    ),
    "a JPEG with a megabyte of fill bytes": (lambda: jpeg_with(b"\xff" * 2**20), "jpeg", "segments"),
    "a JPEG with a megabyte of junk": (lambda: jpeg_with(bytes(2**20)), "jpeg", "segments"),
    "a PNG of a million chunks": (
        lambda: png_with(b"aaAa", b"") + b"\0\0\0\0aaAa\0\0\0\0" * 200_000,
        "png",
        "chunks",
    ),
    "a picture of one column": (
        lambda: saved(Image.new("1", (1, 900_000)), "PNG"),
        "png",
        "1 × 900000, is longer than the limit of 250,000 pixels a side",
    ),
    "a JPEG of a thousand scans": (endless_jpeg, "jpeg", "more than 100 scans"),
    "32-bit floats": (lambda: saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "tiff", "8 or 16 bits"),
    "CIELAB": (lambda: saved(Image.new("LAB", (8, 8)), "TIFF"), "tiff", "LAB colours"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_with_a_reason(kind: str) -> None:
    make, format, reason = HOSTILE[kind]
    with pytest.raises(BadImage, match=reason) as caught:
        reader.read(make(), ImageLimits(max_pixels=1_000_000), format, max_frames=10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["GIF", "PNG"])
def test_a_damaged_frame_is_named_and_the_others_can_be_salvaged(format: str) -> None:
    pictures = [Image.fromarray(noise(40, 40, 3)[shift:, :]).resize((40, 40)) for shift in range(4)]
    data = saved(pictures[0], format, save_all=True, append_images=pictures[1:])
    cut = data[: len(data) * 6 // 10]
    with pytest.raises(BadImage, match=r"^frame 3 is damaged: "):
        read(cut, format.lower())
    found = reader.read(cut, ImageLimits(), format.lower(), max_frames=10, salvage=True).frames
    whole = read(data, format.lower()).frames[:2]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, whole, strict=True))
    with pytest.raises(BadImage, match="damaged"):
        reader.read(data[: len(data) // 9], ImageLimits(), format.lower(), max_frames=10, salvage=True)


def test_a_film_behind_a_jpeg_is_not_counted_as_scans() -> None:
    data = saved(Image.fromarray(PHOTO), "JPEG") + b"\xff\xda" * 1000
    assert opened(back(data, "jpeg")).size == (W, H)


def test_grey_with_alpha_is_converted_by_its_profile_as_grey_without() -> None:
    head = bytes(16) + b"GRAYXYZ " + bytes(104) + struct.pack(">I4sII", 1, b"kTRC", 144, 16)
    head = struct.pack(">I", 160) + head[4:8] + b"\2\x40\0\0mntr" + head[16:36] + b"acsp" + head[40:]
    head = head[:68] + struct.pack(">3i", 63190, 65536, 54061) + head[80:]
    linear = head + b"curv" + struct.pack(">IIHH", 0, 1, 256, 0)
    grey = Image.fromarray(PHOTO).convert("L")
    both = Image.merge("LA", [grey, Image.fromarray(ALPHA)])
    expected = read(saved(grey, "PNG", icc_profile=linear), "png").frames[0].pixels
    assert np.abs(expected.astype(int) - np.asarray(grey)[..., None]).mean() > 20
    for format in ("PNG", "TIFF"):
        (frame,) = read(saved(both, format, icc_profile=linear), format.lower()).frames
        assert np.array_equal(frame.pixels, expected)
        assert np.array_equal(frame.alpha, ALPHA)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_grey_of_few_bits_becomes_alpha(bits: int) -> None:
    samples = (GREY16 >> 16 - bits).astype(np.uint8)
    packed = np.packbits(np.unpackbits(samples[..., None], axis=2)[..., 8 - bits :].reshape(H, -1), axis=1)
    for key in {0, 1, 2**bits - 1}:
        (frame,) = read(png_of(packed, bits, 0, struct.pack(">H", key)), "png").frames
        assert np.array_equal(frame.pixels[..., 0], samples * (255 // (2**bits - 1)))
        assert np.array_equal(frame.alpha, np.where(samples == key, 0, 255)), key


def test_a_transparent_colour_of_16_bits_becomes_alpha() -> None:
    for samples, kind in ((GREY16, 0), (RGB16, 2)):
        key = np.atleast_1d(samples[5, 7]).astype(">u2").tobytes()
        data = png_of(samples, 16, kind, key)
        (frame,) = read(data, "png").frames
        hit = (np.atleast_3d(samples) == samples[5, 7]).all(axis=-1)
        assert frame.alpha is not None
        assert np.array_equal(frame.alpha, np.where(hit, 0, 65535))
        assert np.array_equal(read(data, "webp").frames[0].alpha, np.where(hit, 0, 255))


def test_a_tiff_whose_pages_form_a_cycle_ends() -> None:
    assert len(read(cyclic_tiff(), "tiff").frames) == 1


def test_metadata_that_is_damaged_or_too_long_is_left_out() -> None:
    broken = saved(Image.fromarray(PHOTO), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert not opened(back(broken, "jpeg")).getexif()
    # one directory of thousands of tags that all claim the same megabyte
    claims = b"".join(struct.pack("<HHII", 40000 + n, 7, 2**20, 8) for n in range(5000))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 5000) + claims + bytes(4) + bytes(2**20)
    assert not opened(back(png_with(b"eXIf", block), "png")).getexif()
    long = Image.Exif()
    long[ExifTags.Base.ImageDescription] = "x" * 61_000
    assert not opened(back(saved(Image.fromarray(PHOTO), "PNG", exif=long), "jpeg")).getexif()


def test_what_cannot_be_written_is_a_clear_error() -> None:
    photograph = read(saved(Image.fromarray(PHOTO), "PNG"), "png")
    with pytest.raises(ValueError, match="svg cannot be written here: choose one of"):
        writer.write(photograph, [PHOTO], "svg", quality=95, xmp=XMP, strip=False)
    wide = read(saved(Image.new("RGB", (17_000, 1)), "PNG"), "webp")
    with pytest.raises(ValueError, match="cannot encode 17000 × 1 pixels as webp"):
        writer.write(wide, [wide.frames[0].pixels], "webp", quality=95, xmp=XMP, strip=False)
    with pytest.raises(ValueError, match="65,535 px"):
        back(saved(Image.new("1", (65_536, 1)), "PNG"), "gif")
