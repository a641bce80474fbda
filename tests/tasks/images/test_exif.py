"""EXIF comes out with the types and bytes that it had, in every format; what is no longer true does not."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from atelier.tasks.images import exif
from atelier.tasks.images.exif import Exif, Value
from atelier.tasks.images.metadata import MAX_BYTES
from tests.tasks.images.test_reader import PHOTO, back, opened, saved

FORMATS = ("jpeg", "png", "webp", "tiff", "avif")
THUMBNAIL = saved(Image.fromarray(PHOTO[::2, ::2].copy()), "JPEG")
KEPT = {
    "image": {
        0x10E: (2, b"by the sea \xe9\0"),
        0x10F: (2, b"MakerCo\0"),
        0x11A: (5, struct.pack("<II", 300, 1)),
        0x132: (2, b"2024:06:01 10:11:12\0"),
        0x9C9B: (1, "Ein Titel".encode("utf-16-le") + b"\0\0"),
    },
    "taking": {
        0x829A: (5, struct.pack("<II", 1, 250)),
        0x9000: (7, b"0232"),
        0x9003: (2, b"2024:05:31 18:00:01\0"),
        0x9011: (2, b"+02:00\0"),
        0x9204: (10, struct.pack("<ii", -1, 3)),
        0x9286: (7, b"UNICODE\0" + "See".encode("utf-16-le")),
        0x8827: (3, struct.pack("<HH", 400, 0)),
        0xA434: (2, b"50mm F1.8\0"),
    },
    "place": {
        1: (2, b"N\0"),
        2: (5, struct.pack("<6I", 52, 1, 30, 1, 15, 1)),
        5: (1, b"\0"),
        0x1B: (7, b"ASCII\0\0\0GPS"),
    },
}
UNTRUE: dict[str, dict[int, tuple[int, bytes]]] = {
    "image": {0x112: (3, struct.pack("<H", 6)), 0x13C: (2, b"somebody's\0")},
    "taking": {
        0x927C: (7, b"maker" * 40),
        0xA002: (4, struct.pack("<I", 9999)),
        0x9214: (3, struct.pack("<4H", 5, 6, 7, 8)),
        0xEA1C: (7, bytes(2000)),
    },
    "place": {},
}


def block(*parts: dict[str, dict[int, tuple[int, bytes]]], order: str = "<", odd: bytes = b"") -> bytes:
    """An EXIF block with a thumbnail; `odd` are further entries of its first directory, as they are."""
    merged = {
        name: {
            tag: Value(type, in_order(type, data, order)) for part in parts for tag, (type, data) in part[name].items()
        }
        for name in ("image", "taking", "place")
    }
    whole = bytearray(exif.write(Exif(order, **merged)))
    count = struct.unpack_from(order + "H", whole, 8)[0]
    end = 8 + 2 + 12 * count
    if odd:  # behind the others, in a copy of the directory at the end
        entries = bytes(whole[10:end])
        struct.pack_into(order + "I", whole, 4, len(whole))
        whole += struct.pack(order + "H", count + len(odd) // 12) + entries + odd + bytes(4)
        end = len(whole) - 4
    struct.pack_into(order + "I", whole, end, len(whole))  # the next directory, of the thumbnail
    place = len(whole) + 2 + 2 * 12 + 4
    whole += struct.pack(order + "HHHIIHHIII", 2, 0x201, 4, 1, place, 0x202, 4, 1, len(THUMBNAIL), 0) + THUMBNAIL
    return exif.HEAD + bytes(whole)


def in_order(type: int, data: bytes, order: str) -> bytes:
    size = {3: 2, 4: 4, 5: 4, 10: 4}.get(type, 1)
    return data if order == "<" else np.frombuffer(data, f"<u{size}").byteswap().tobytes()


def tags_of(data: bytes) -> dict[str, dict[int, tuple[int, bytes]]]:
    """Types and bytes, little-endian, of a file's EXIF, read by a few lines of this test's own."""
    found = opened(data).info.get("exif", b"").removeprefix(exif.HEAD) or data
    order = "<" if found[:2] == b"II" else ">"

    def directory(at: int) -> dict[int, tuple[int, bytes]]:
        values = {}
        for n in range(struct.unpack_from(order + "H", found, at)[0]):
            tag, type, count = struct.unpack_from(order + "HHI", found, at + 2 + 12 * n)
            size = count * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}[type]
            place = at + 10 + 12 * n
            place = place if size <= 4 else struct.unpack_from(order + "I", found, place)[0]
            values[tag] = (type, in_order(type, found[place : place + size], order))
        return values

    image = directory(struct.unpack_from(order + "I", found, 4)[0])
    below = (struct.unpack("<I", image.pop(tag)[1])[0] if tag in image else 0 for tag in (0x8769, 0x8825))
    return {
        "image": image,
        **{name: directory(at) if at else {} for name, at in zip(("taking", "place"), below, strict=True)},
    }


def contains(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    return all(found[name].get(tag) == value for name, part in expected.items() for tag, value in part.items())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_tag_keeps_its_type_and_its_bytes(format: str, order: str) -> None:
    data = saved(Image.fromarray(PHOTO), "JPEG", exif=block(KEPT, UNTRUE, order=order))
    made = back(data, format)
    for one in (made, back(made, "jpeg"), back(back(made, "tiff"), format)):
        found = tags_of(one)
        assert contains(found, KEPT)
        assert not any(tag in found[name] for name, part in UNTRUE.items() for tag in part)
        assert THUMBNAIL[:200] not in one
        assert opened(one).getexif().get(0x112, 1) == 1
        assert opened(one).size == (PHOTO.shape[0], PHOTO.shape[1]), "turned by the orientation"
    assert opened(made).getexif().get_ifd(0x8769)[0x9003] == "2024:05:31 18:00:01"
    assert "exif" not in opened(back(data, format, strip=True)).info


def test_a_rotation_that_an_avif_states_outside_of_exif_changes_no_type() -> None:
    from PIL import _avif

    turned = Image.fromarray(PHOTO)
    encoder = _avif.AvifEncoder(
        turned.size, "4:4:4", 95, 6, 1, "auto", "full", 0, 0, False, True, b"", block(KEPT)[6:], 6, b"", ()
    )
    encoder.add(turned.tobytes(), 0, turned.size, "RGB", True)
    data = encoder.finish()
    assert contains(tags_of(back(data, "jpeg")), KEPT)
    assert opened(back(data, "jpeg")).size == PHOTO.shape[:2]


ODD = {
    "text for a number": struct.pack("<HHI4s", 0x11B, 2, 4, b"72d\0"),
    "an unknown type": struct.pack("<HHII", 0x131, 99, 1, 7),
    "a place behind the end": struct.pack("<HHII", 0x131, 2, 100, 2**31),
    "four billion values": struct.pack("<HHII", 0x131, 5, 2**32 - 1, 8),
    "no value": struct.pack("<HHII", 0x131, 2, 0, 8),
    "a directory that is the first": struct.pack("<HHII", 0x14A, 4, 1, 8),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_tag_costs_only_itself(kind: str) -> None:
    data = saved(Image.fromarray(PHOTO), "JPEG", exif=block(KEPT, UNTRUE, odd=ODD[kind]))
    found = tags_of(back(data, "jpeg"))
    assert contains(found, KEPT)
    assert 0x131 not in found["image"]
    assert opened(back(data, "jpeg")).size == PHOTO.shape[1::-1][::-1], "the orientation is read all the same"


def test_a_long_tag_costs_only_itself() -> None:
    long = {"image": {}, "taking": {0x9286: (7, b"ASCII\0\0\0" + b"x" * 59_900)}, "place": {}}
    made = back(saved(Image.fromarray(PHOTO), "PNG", exif=block(KEPT, long)), "jpeg")
    found = tags_of(made)
    assert 0x9286 not in found["taking"]
    assert found["taking"][0x9003] == KEPT["taking"][0x9003]
    assert len(opened(made).info["exif"]) < MAX_BYTES


def test_a_block_of_other_programs_in_a_png_text_is_read() -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    raw = block(KEPT)
    text.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=True)
    assert contains(tags_of(back(saved(Image.fromarray(PHOTO), "PNG", pnginfo=text), "png")), KEPT)


def test_any_bytes_are_parsed_without_an_error() -> None:
    whole, draw = block(KEPT, UNTRUE), np.random.default_rng(0)
    for _ in range(500):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[draw.integers(6, 300, 4)] = draw.integers(0, 256, 4)
        exif.write(exif.parse(damaged.tobytes()))
    assert exif.parse(io.BytesIO(b"II").getvalue()) == Exif()
