"""EXIF blocks, which are TIFF structures: parsed strictly, and written again with each tag's own type.

Pillow guesses types when it writes a block, so that dates turn into numbers. Here the bytes of a value are copied as
they are, in the byte order of their file. One tag that is damaged costs only itself.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

HEAD = b"Exif\0\0"  # before the TIFF structure in a JPEG, and in `Metadata.exif`
EXIF_POINTER, GPS_POINTER = 0x8769, 0x8825
ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7
_SIZES = {1: 1, ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, 6: 1, UNDEFINED: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 129: 1}
_POINTERS = {LONG: "I", 13: "I", 16: "Q", 17: "Q", 18: "Q"}  # types of places in a file; all but LONG are never written
_LARGEST_VALUE = 60_000  # bytes
_LARGEST_DIRECTORY = 2000  # tags; cameras write up to a hundred


Order = Literal["<", ">"]


class Value(NamedTuple):
    """A tag's value, of a type of `_SIZES`."""

    type: int  # of the TIFF specification
    data: bytes  # in the byte order of its block


Directory = Mapping[int, Value]  # by tag


@dataclass(frozen=True)
class Exif:
    """The directories of a block that are about its picture."""

    order: Order = "<"  # byte order of all values, as in `struct`
    image: Directory = field(default_factory=dict)
    taking: Directory = field(default_factory=dict)  # the Exif directory: exposure, lens, dates
    place: Directory = field(default_factory=dict)  # the GPS directory


def parse(block: bytes) -> Exif:
    """The EXIF block, with or without `HEAD`; a TIFF or BigTIFF file is one too. What is damaged is left out."""
    block = block.removeprefix(HEAD)
    orders: dict[bytes, Order] = {b"II": "<", b"MM": ">"}
    order = orders.get(block[:2])
    if order is None:
        return Exif()
    try:
        (version,) = struct.unpack_from(f"{order}H", block, 2)
        big = version == 43  # of TIFF; cameras have other numbers for the usual structure
        (first,) = struct.unpack_from(order + ("Q" if big else "I"), block, 8 if big else 4)
        image = dict(_values(block, first, order, big))
        taking, place = (
            dict(_values(block, _offset(image[tag], order), order, big)) if tag in image else {}
            for tag in (EXIF_POINTER, GPS_POINTER)
        )
    except struct.error:
        return Exif()
    return Exif(order, *(_without_pointers(part) for part in (image, taking, place)))


def number(directory: Directory, tag: int, order: str) -> float | None:
    """The only or first number of a tag, None where it is absent or of another type."""
    value = directory.get(tag, Value(0, b""))
    try:
        if value.type == RATIONAL:
            above, below = struct.unpack_from(f"{order}II", value.data)
            return float(above / below)
        return float(struct.unpack_from(order + {1: "B", SHORT: "H", LONG: "I"}[value.type], value.data)[0])
    except (KeyError, struct.error, ZeroDivisionError):
        return None


def write(exif: Exif) -> bytes:
    """The block, without `HEAD`; it may begin at any offset of 0 in its own structure."""
    mark = b"II*\0" if exif.order == "<" else b"MM\0*"
    return mark + struct.pack(f"{exif.order}I", 8) + write_directories(exif, 8)


def write_directories(exif: Exif, at: int, following: int = 0) -> bytes:
    """The three directories for a place in a TIFF file: first that of the image, which names the others.

    Args:
        at: place of the result in the file, an even number of bytes from its start.
        following: place of the file's next page, 0 for none.
    """
    parts = {tag: part for tag, part in ((EXIF_POINTER, exif.taking), (GPS_POINTER, exif.place)) if part}
    pointers = {tag: Value(LONG, bytes(4)) for tag in parts}
    place = at + len(_directory({**exif.image, **pointers}, at, exif.order, following))
    behind = b""
    for tag, part in parts.items():
        pointers[tag] = Value(LONG, struct.pack(f"{exif.order}I", place + len(behind)))
        behind += _directory(part, place + len(behind), exif.order, 0)
    return _directory({**exif.image, **pointers}, at, exif.order, following) + behind


def _directory(values: Directory, at: int, order: str, following: int) -> bytes:
    entries, behind = [struct.pack(f"{order}H", len(values))], bytearray()
    place = at + 2 + 12 * len(values) + 4
    for tag, (type, data) in sorted(values.items()):
        entries.append(struct.pack(f"{order}HHI", tag, type, len(data) // _SIZES[type]))
        if len(data) <= 4:
            entries.append(data.ljust(4, b"\0"))
        else:
            entries.append(struct.pack(f"{order}I", place + len(behind)))
            behind += data + bytes(len(data) % 2)
    return b"".join([*entries, struct.pack(f"{order}I", following), behind])


def _values(block: bytes, at: int, order: str, big: bool) -> Iterator[tuple[int, Value]]:
    """The values of a directory that lie within the block and have a known type and a sensible size."""
    head, entry, inline = (f"{order}Q", f"{order}HHQ", 8) if big else (f"{order}H", f"{order}HHI", 4)
    if at + struct.calcsize(head) > len(block):
        return
    (count,) = struct.unpack_from(head, block, at)
    at += struct.calcsize(head)
    step = struct.calcsize(entry) + inline
    for place in range(at, min(at + step * min(count, _LARGEST_DIRECTORY), len(block) - step + 1), step):
        tag, type, many = struct.unpack_from(entry, block, place)
        size = many * (_SIZES.get(type) or struct.calcsize(_POINTERS.get(type, "")))
        if not 0 < size <= _LARGEST_VALUE:
            continue
        start = place + step - inline
        if size > inline:
            (start,) = struct.unpack_from(order + ("Q" if big else "I"), block, start)
        if start + size <= len(block):
            yield tag, Value(type, block[start : start + size])


def _without_pointers(directory: Directory) -> Directory:
    """The values that may lie in another file."""
    pointers = (EXIF_POINTER, GPS_POINTER)
    return {tag: value for tag, value in directory.items() if tag not in pointers and value.type in _SIZES}


def _offset(pointer: Value, order: str) -> int:
    """The place of a directory; 2**63, which is in no block, where the pointer is damaged."""
    kind = _POINTERS.get(pointer.type)
    if kind is None or len(pointer.data) != struct.calcsize(kind):
        return 2**63
    return int(struct.unpack(order + kind, pointer.data)[0])
