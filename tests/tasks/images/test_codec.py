import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from atelier.tasks.images.codec import BadImage, ImageLimits, decode, encode, load, read_xmp, resize


@pytest.fixture
def photo() -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 4, y * 5, 255 - x * 2 - y], axis=-1).astype(np.uint8)


def saved(picture: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP"])
def test_lossless_formats_come_back_as_they_were(photo: np.ndarray, format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    assert np.array_equal(decode(saved(Image.fromarray(photo), format, **options)), photo)


@pytest.mark.parametrize("format", ["JPEG", "AVIF", "GIF"])
def test_lossy_formats_come_back_similar(photo: np.ndarray, format: str) -> None:
    decoded = decode(saved(Image.fromarray(photo), format))
    assert decoded.shape == photo.shape
    assert np.abs(decoded.astype(int) - photo).mean() < 8


def test_first_frame_of_an_animation(photo: np.ndarray) -> None:
    frames = [Image.fromarray(np.full_like(photo, value)) for value in (40, 200)]
    for format in ("GIF", "WEBP", "TIFF", "PNG"):
        data = saved(frames[0], format, save_all=True, append_images=frames[1:])
        assert abs(int(decode(data).mean()) - 40) <= 1, format


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(photo: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(saved(Image.fromarray(photo), "PNG", exif=exif))
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}
    expected = np.rot90(photo, turns[orientation])
    if orientation in (2, 4, 5, 7):
        expected = expected[:, ::-1]
    assert np.array_equal(decoded, expected)


def test_damaged_exif_is_no_reason_to_refuse(photo: np.ndarray) -> None:
    data = saved(Image.fromarray(photo), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert decode(data).shape == photo.shape


def test_transparency_is_composited_on_white() -> None:
    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 128), (0, 0, 4, 8))
    decoded = decode(saved(picture, "PNG"))
    assert decoded[0, 7].tolist() == [255, 255, 255]
    assert np.abs(decoded[0, 0].astype(int) - [127, 127, 255]).max() <= 1
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert decode(saved(palette, "PNG", transparency=1)).min() == 255


def test_grey_bilevel_cmyk_and_palette_become_rgb() -> None:
    assert decode(saved(Image.new("L", (8, 8), 77), "PNG"))[0, 0].tolist() == [77, 77, 77]
    assert decode(saved(Image.new("1", (8, 8), 1), "PNG")).min() == 255
    assert decode(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"))[0, 0].tolist() == [255, 0, 0]
    assert decode(saved(Image.new("RGB", (8, 8), (10, 200, 30)).convert("P"), "PNG")).shape == (8, 8, 3)


def test_16_bit_grey_is_scaled_not_cut() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    decoded = decode(saved(Image.fromarray(ramp), "PNG"))
    assert np.abs(decoded[..., 0].ravel() - ramp.ravel() / 257).max() <= 0.5


def test_samples_without_agreed_white_are_refused() -> None:
    with pytest.raises(BadImage, match="8 or 16 bits"):
        decode(saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"))


def test_colour_profile_is_converted(photo: np.ndarray) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = decode(saved(Image.fromarray(photo), "PNG", icc_profile=srgb))
    assert np.abs(same.astype(int) - photo).max() <= 2
    # swap the primaries of red and blue
    swapped = srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    red = np.zeros((4, 4, 3), np.uint8) + np.uint8([255, 0, 0])
    assert decode(saved(Image.fromarray(red), "PNG", icc_profile=swapped))[0, 0].argmax() == 2
    for useless in (b"no profile", srgb[:200], lab):
        assert np.array_equal(decode(saved(Image.fromarray(photo), "PNG", icc_profile=useless)), photo)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_truncated_files_are_refused(photo: np.ndarray, format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, photo.shape, dtype=np.uint8)
    data = saved(Image.fromarray(noise), format)
    with pytest.raises(BadImage):
        decode(data[: len(data) * 2 // 3])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "supported format"),
        (b"\x89PNG\r\n\x1a\n", "supported format|damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "supported format"),
    ],
)
def test_other_files_are_no_pictures(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason) as caught:
        decode(data)
    assert "\n" not in str(caught.value)
    assert "BytesIO" not in str(caught.value)


@pytest.mark.parametrize("path", ["/proc/kmsg", "/proc/self/pagemap", "/dev/zero", "/dev/tty"])
def test_files_that_wait_or_have_no_end_are_not_read(path: str) -> None:
    with pytest.raises((BadImage, FileNotFoundError), match=r"the file is empty|is no file|does not exist"):
        load(Path(path))


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (101, 100)])
def test_bombs_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage, match=r"pixels, more than|more pixels"):
        decode(png_header(*size), ImageLimits(max_pixels=10_000))


def test_bytes_are_limited(photo: np.ndarray) -> None:
    data = encode(photo, "png")
    assert decode(data, ImageLimits(max_bytes=len(data))).shape == photo.shape
    with pytest.raises(BadImage, match="more than the limit"):
        decode(data, ImageLimits(max_bytes=len(data) - 1))


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_encoded_pictures_carry_their_packet(photo: np.ndarray, format: str) -> None:
    packet = "<x:xmpmeta>é</x:xmpmeta>".encode()
    data = encode(photo, format, xmp=packet)
    assert data == encode(photo, format, xmp=packet)
    assert read_xmp(data) == packet
    assert read_xmp(encode(photo, format)) is None
    assert np.abs(decode(data).astype(int) - photo).mean() < 3
    with pytest.raises(BadImage):
        read_xmp(b"nothing")


def test_what_cannot_be_encoded_is_a_clear_error(photo: np.ndarray) -> None:
    with pytest.raises(ValueError, match="png, jpeg or webp"):
        encode(photo, "bmp")
    with pytest.raises(ValueError, match="uint8"):
        encode(photo.astype(np.float32), "png")
    with pytest.raises(ValueError, match="17000 × 1"):
        encode(np.zeros((1, 17_000, 3), np.uint8), "webp")


def test_shrinking_does_not_alias() -> None:
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    small = resize(np.repeat(checks[..., None], 3, axis=2).astype(np.uint8), 16, 8)
    assert small.shape == (8, 16, 3)
    assert np.abs(small.astype(int) - 127.5).max() < 16
