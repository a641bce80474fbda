"""Totals of archives are what is there, or an error: archives as programs write them, and seeded damage to them."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from atelier.tasks.bulk.inputs import list_inputs
from atelier.tasks.images.codec import BadImage
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.open_source import list_files, read

DATA = b"picture " * 4
Members = list[tuple[bytes, bytes]]


def raw_zip(
    members: Members, *, flags: int = 0, extra: Callable[[bytes], bytes] = lambda name: b"", count: int = -1
) -> bytes:
    """A zip of stored members, field by field."""
    out, directory = bytearray(), bytearray()
    for name, data in members:
        head = (20, flags, 0, 0, 0x5821, zlib.crc32(data), len(data), len(data), len(name), len(extra(name)))
        directory += struct.pack("<4sH5H3L5H2L", b"PK\1\2", 0x031E, *head, 0, 0, 0, 0o100644 << 16, len(out))
        directory += name + extra(name)
        out += struct.pack("<4s5H3L2H", b"PK\3\4", *head) + name + extra(name) + data
    count = len(members) % 2**16 if count < 0 else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(out), 0)
    return bytes(out + directory + end)


def unicode_path(name: str, crc: int | None = None) -> Callable[[bytes], bytes]:
    """Info-ZIP's field with the name in UTF-8."""
    text = name.encode()
    return lambda raw: struct.pack("<2HBL", 0x7075, 5 + len(text), 1, zlib.crc32(raw) if crc is None else crc) + text


def listed(path: Path) -> list[Entry]:
    return list(list_files(path.name, path.parent))


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged or no") as caught:
        listed(path)
    return str(caught.value)


ONE: Members = [(b"a.png", DATA)]
NAMES = [
    (raw_zip([("Fotos/Köln – 夕焼け.jpg".encode(), DATA)]), "Fotos/Köln – 夕焼け.jpg"),  # macOS: UTF-8 without the flag
    (raw_zip([("Köln.jpg".encode(), DATA)], flags=0x800), "Köln.jpg"),
    (raw_zip([("Bär.jpg".encode("cp437"), DATA)]), "Bär.jpg"),
    (raw_zip([(b"B\x84r.jpg", DATA)], extra=unicode_path("Bär – 1.jpg")), "Bär – 1.jpg"),
    (
        raw_zip([(b"B\x84r.jpg", DATA)], extra=unicode_path("other.jpg", crc=1)),
        "Bär.jpg",
    ),  # of an older name
    (raw_zip([(b"B\x84r.jpg", DATA)], extra=lambda raw: struct.pack("<2H", 0x7075, 99)), "Bär.jpg"),
    (raw_zip([(b"dir\\sub\\a.jpg", DATA)]), "dir/sub/a.jpg"),
    (raw_zip([(b"dir/", b""), (b"win\\", b""), *ONE]), "a.png"),
]


@pytest.mark.parametrize(("data", "name"), NAMES)
def test_names_of_a_zip(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    assert [(entry.name, entry.problem, read(entry)) for entry in listed(tmp_path / "a.zip")] == [(name, "", DATA)]


def test_a_count_that_wrapped_hides_nothing(tmp_path: Path) -> None:
    number = 2**16 + 40
    (tmp_path / "a.zip").write_bytes(raw_zip([(b"%06d.png" % n, b"") for n in range(number)]))
    assert len(listed(tmp_path / "a.zip")) == number
    assert "its end names 3 members, its directory 2" in refused(tmp_path / "b.zip", raw_zip(ONE * 2, count=3))


def _zip64(data: bytes, **changed: int) -> bytes:
    """The zip with a 64-bit end, of which fields may be wrong."""
    _, _, _, _, count, size, offset, _ = struct.unpack("<4s4H2LH", data[-22:])
    fields = {"count": count, "size": size, "offset": offset, "disks": 1} | changed
    wide = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, fields["count"], fields["size"], fields["offset"]
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, fields["disks"])
    return data[:-22] + wide + locator + data[-22:]


def test_ends_of_a_zip_that_do_not_agree_are_errors(tmp_path: Path) -> None:
    two, path = raw_zip([(b"a.png", DATA), (b"b.png", DATA)]), tmp_path / "a.zip"
    sound = [two, _zip64(two), b"#!stub\n" * 90 + two, b"MZ" * 99 + _zip64(two)]
    sound.append(two[:-2] + struct.pack("<H", 30) + b"PK\5\6 is the mark of an end......")  # a comment
    for data in sound:
        path.write_bytes(data)
        assert [read(entry) for entry in listed(path)] == [DATA, DATA], data[-60:]
    one = raw_zip(ONE)
    for data in (raw_zip([(b"in.zip", one), *ONE]), raw_zip([*ONE, (b"in.zip", one)]), one + b"\n", b"x" + one + b"\n"):
        path.write_bytes(data)
        assert [read(entry) for entry in listed(path) if not entry.skipped] == [DATA]
    bad = {
        "two ends name different": _zip64(two, count=1),
        "part of an archive of several": _zip64(two, disks=2),
        "of several files": two[:-18] + b"\1\0" + two[-16:],
        "several zip directories": one[:-2] + struct.pack("<H", len(two)) + two,  # an archive in another's comment
        "does not name": one[: one.index(b"PK\1\2")] + two,  # members of another archive before it
    }
    for reason, data in bad.items():
        assert reason in refused(path, data)


def test_a_member_that_the_directory_leaves_out_is_an_error(tmp_path: Path) -> None:
    three = raw_zip([(b"%d.png" % n, DATA) for n in range(3)])
    _, _, _, _, _, size, offset, _ = struct.unpack("<4s4H2LH", three[-22:])
    entries = [three[offset + n * size // 3 : offset + (n + 1) * size // 3] for n in range(3)]
    for left_out in range(3):
        rest = b"".join(entry for n, entry in enumerate(entries) if n != left_out)
        data = three[:offset] + rest + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(rest), offset, 0)
        assert "holds a member that its directory does not name" in refused(tmp_path / "a.zip", data)


def test_an_archive_above_4_gib_of_a_program_without_zip64(tmp_path: Path) -> None:
    """macOS's archiver: sizes and offsets modulo 2**32. The large member is a hole in a sparse file."""
    hole = 2**32 + 100
    small = raw_zip([(b"a.png", DATA)])
    local = small[: small.index(b"PK\1\2")]
    big = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, hole % 2**32, hole % 2**32, 5, 0) + b"b.mov"
    places = [0, len(local), (len(local) + len(big) + hole) % 2**32]
    directory = b""
    for place, name, size in zip(places, (b"a.png", b"b.mov", b"a.png"), (len(DATA), hole, len(DATA)), strict=True):
        crc, size = (zlib.crc32(DATA) if name == b"a.png" else 0), size % 2**32
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 0x31E, 20, 0, 0, 0, 0, crc, size, size, 5, 0, 0, 0, 0, 0, place
        )
        directory += name
    with (tmp_path / "a.zip").open("wb") as file:
        file.write(local + big)
        file.seek(len(local) + len(big) + hole)
        file.write(local)
        at = file.tell()
        file.write(directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, len(directory), at % 2**32, 0))
    first, movie, second = listed(tmp_path / "a.zip")
    assert (read(first), movie.skipped, read(second)) == (DATA, "video", DATA)


def _tar(path: Path, *members: tuple[str, object], **options: int) -> Path:
    """A tar of files (bytes), links (text, `hard:` before the target of a hard one) and folders (None)."""
    with tarfile.open(path, "w", **options) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            elif content is None:
                info.type = tarfile.DIRTYPE
            else:
                text = str(content)
                info.type = tarfile.LNKTYPE if text.startswith("hard:") else tarfile.SYMTYPE
                info.linkname = text.removeprefix("hard:")
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def _contents(path: Path) -> dict[str, bytes | str]:
    return {entry.name: entry.skipped or entry.problem or read(entry) for entry in listed(path)}


@pytest.mark.parametrize("packed", [False, True])
def test_links_of_a_tar_are_files(tmp_path: Path, packed: bool) -> None:
    path = _tar(
        tmp_path / "a.tar",
        ("later.png", "x/a.png"),
        ("x", None),
        ("./x/a.png", b"A" * 700),
        ("x/hard.png", "hard:x/a.png"),
        ("y/soft.png", "../x/a.png"),
        ("y/chain.png", "soft.png"),
        ("y/dir", "../x"),
        ("y/through.png", "dir/a.png"),
        ("up.png", "../../etc/passwd"),
        ("root.png", "/etc/passwd"),
        ("gone.png", "hard:nothing"),
        ("loop.png", "pool.png"),
        ("pool.png", "loop.png"),
        ("self.png", "self.png"),
        ("early.png", "hard:x/late.png"),
        ("x/late.png", b"L"),
        ("x/a.png", b"B" * 600),  # `tar -u` writes a changed file again
        ("x/hard2.png", "hard:x/a.png"),
    )
    if packed:
        (tmp_path / "a.tgz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.tgz"
    no_file = "a link that leads to no file of its archive"
    new, old = b"B" * 600, b"A" * 700
    assert _contents(path) == {
        "./x/a.png": old,
        "x/late.png": b"L",
        "x/a.png": new,
        **dict.fromkeys(("later.png", "y/soft.png", "y/chain.png", "y/through.png", "x/hard2.png"), new),
        "x/hard.png": old,
        "y/dir": "link to a folder that is listed",
        **dict.fromkeys(("up.png", "root.png", "gone.png", "loop.png", "pool.png", "self.png", "early.png"), no_file),
    }
    table = list_inputs([path.name], tmp_path).to_pylist()
    replaced = {row["input"] for row in table if row["skipped"] == "older member of the same name"}
    assert (len(table), replaced) == (17, {"./x/a.png"})


def test_tars_of_every_format_and_appended_ones(tmp_path: Path) -> None:
    long = "/".join(["folder" * 8] * 4) + "/ä.png"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert _contents(_tar(tmp_path / "a.tar", (long, b"1"), ("b.png", b"2"), format=form)) == {
            long: b"1",
            "b.png": b"2",
        }
    old = bytearray(_tar(tmp_path / "a.tar", ("v7.png", b"7"), format=tarfile.USTAR_FORMAT).read_bytes())
    old[257:345] = bytes(88)  # v7 has no fields after the link's name
    old[148:156] = b"%06o\0 " % (sum(old[:148]) + 8 * 32 + sum(old[156:512]))
    first, second = bytes(old), _tar(tmp_path / "b.tar", ("b.png", b"2")).read_bytes()
    (tmp_path / "c.tar").write_bytes(first + second)
    (tmp_path / "c.tgz").write_bytes(gzip.compress(first[:700]) + gzip.compress(first[700:]) + gzip.compress(second))
    label = tarfile.TarInfo("label")
    label.type = b"V"
    (tmp_path / "d.tar").write_bytes(label.tobuf() + first + second)
    (tmp_path / "d.tgz").write_bytes(gzip.compress(first + second) + bytes(2000))  # as a tape pads it
    for name in ("c.tar", "c.tgz", "d.tar", "d.tgz"):
        assert _contents(tmp_path / name) == {"v7.png": b"7", "b.png": b"2"}


def test_a_tar_that_is_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    whole = _tar(tmp_path / "a.tar", *((f"{n}.png", b"x" * 300 * n) for n in range(6))).read_bytes()
    end = max(place for place in range(0, len(whole), 512) if whole[place : place + 512].strip(b"\0")) + 512
    for cut in range(1, end, 171):
        assert "damaged" in refused(tmp_path / "a.tar", whole[:cut])
    assert "without an end mark" in refused(tmp_path / "a.tar", whole[:end])
    assert "unreadable header" in refused(tmp_path / "a.tar", whole[:end] + b"x" * 512)
    refused(tmp_path / "a.tar", whole + b"garbage" * 99)
    (tmp_path / "a.tar").write_bytes(whole[: end + 512])
    assert len(listed(tmp_path / "a.tar")) == 6


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_seeded_damage_never_loses_a_member_silently(tmp_path: Path, kind: str) -> None:
    """Bytes changed at random: every member is listed, or the source is an error; contents are right or refused."""
    contents = {f"{n}.png": bytes([n]) * (50 + 40 * n) for n in range(8)}
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz" if kind == "tgz" else "w") as packed:
            for name, content in contents.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                packed.addfile(info, io.BytesIO(content))
    whole, rng, errors = path.read_bytes(), np.random.default_rng(5), 0
    for _ in range(250):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data[: rng.integers(len(data) // 2, len(data))] if rng.random() < 0.3 else data)
        try:
            entries = listed(path)
        except ValueError:
            errors += 1
            continue
        assert len(entries) >= len(contents) or kind != "zip"
        for entry in entries:
            try:
                content = b"" if entry.skipped else read(entry)
            except BadImage:
                continue
            if kind == "zip" and content:
                assert content in contents.values()
    assert errors > 25
