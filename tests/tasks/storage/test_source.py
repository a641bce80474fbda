import gzip
import io
import os
import socket
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atelier.tasks.images.codec import BadImage, decode, encode
from atelier.tasks.storage.archive import _open_compressed
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.location import DecompressedStream
from atelier.tasks.storage.open_source import list_entries, read, source_class
from atelier.tasks.storage.source_limits import SourceLimits

PNG = encode(np.full((8, 8, 3), 90, np.uint8), "png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    (root / "b").mkdir(parents=True)
    for name in ("z.png", "b/2.jpg", "b/1.png", "b.png", "unknown"):
        (root / name).write_bytes(PNG + name.encode())
    for name in ("notes.txt", "b/labels.json", ".hidden.png", "Thumbs.db"):
        (root / name).write_text("no picture")
    (root / ".git").mkdir()
    (root / ".git" / "a.png").write_bytes(PNG)
    return root


def packed(folder: Path, name: str) -> Path:
    target = folder.parent / name
    files = [path for path in sorted(folder.rglob("*"), reverse=True) if path.is_file()]
    if name.endswith(".zip"):
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(folder).as_posix())
    else:
        with tarfile.open(target, "w:gz" if name.endswith("gz") else "w") as archive:
            for path in files:
                archive.add(path, path.relative_to(folder).as_posix())
        if name.endswith("zst"):
            target.write_bytes(pa.Codec("zstd").compress(target.read_bytes()).to_pybytes())
    return target


def names(entries: list[Entry]) -> list[str]:
    return [entry.name for entry in entries]


def problems(entries: list[Entry]) -> dict[str, str]:
    return {entry.name: entry.problem for entry in entries if entry.problem}


@pytest.mark.parametrize("kind", ["folder", "p.zip", "p.tar", "p.tar.gz", "p.tgz", "p.tar.zst", "p.tzst"])
def test_every_kind_lists_the_same_pictures(folder: Path, kind: str) -> None:
    source = folder if kind == "folder" else packed(folder, kind)
    entries = list(list_entries(source.name, source.parent))
    assert sorted(names(entries)) == ["b.png", "b/1.png", "b/2.jpg", "unknown", "z.png"]
    assert names(entries) == (sorted if kind == "folder" else list)(["z.png", "unknown", "b.png", "b/2.jpg", "b/1.png"])
    assert all(read(entry) == PNG + entry.name.encode() for entry in entries)
    assert all(read(entry) == PNG + entry.name.encode() for entry in reversed(entries))
    assert all(entry.size == len(PNG) + len(entry.name) and entry.source == source.name for entry in entries)
    assert entries == list(list_entries(source.name, source.parent))
    unpacked = kind.endswith(("gz", "zst"))  # each member only after all before it: that may take its time
    assert all((source_class(entry).bytes_before(entry) > 0) == unpacked for entry in entries)


def test_one_picture_is_a_source(folder: Path) -> None:
    (entry,) = list_entries("z.png", folder)
    assert (entry.name, read(entry)[: len(PNG)]) == ("z.png", PNG)


def test_a_list_stays_in_its_folder(folder: Path) -> None:
    (folder.parent / "secret.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    lines = [
        "# comment",
        "",
        "z.png",
        "b/../b/1.png",
        "z.png",
        f"../{folder.name}/z.png",
        "../secret.png",
        "/etc/passwd",
        "gone.png",
    ]
    lines += ["file:///etc/passwd", "link.png", str(folder / "b.png"), "b", "notes.txt"]
    (folder / "some.lst").write_text("\n".join(lines))
    entries = list(list_entries("pictures/some.lst", folder.parent))
    assert [e.name for e in entries if not e.problem] == ["b.png", "b/1.png", "z.png"]
    found = problems(entries)
    assert found["../secret.png"] == found["/etc/passwd"] == "outside the folder of its list"
    assert found["gone.png"] == "no such file"
    assert "URL" in found["file:///etc/passwd"]
    assert "out of the source" in found["link.png"]
    assert found["b"] == "a folder"


def test_links_and_pipes_are_reported_and_never_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(PNG)
    (folder / "inside.png").symlink_to("z.png")
    (folder / "leaves.png").symlink_to(outside / "secret.png")
    (folder / "tree").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "round.png").symlink_to("about.png")
    (folder / "about.png").symlink_to("round.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "to_pipe.png").symlink_to("pipe.png")
    with socket.socket(socket.AF_UNIX) as listener, monkeypatch.context() as patch:
        patch.chdir(folder)  # the path of a socket is short
        listener.bind("socket.png")
    entries = list(list_entries(str(folder), Path("/")))
    pipe = "a pipe, socket or device, not a file"
    assert problems(entries) == {
        "socket.png": pipe,
        "to_pipe.png": pipe,
        **dict.fromkeys(("itself.png", "round.png", "about.png"), "a link that leads to itself"),
        "leaves.png": "a link that leads out of the source",
        "tree": "a link that leads out of the source",
        "dangling.png": "a link to nothing",
        "pipe.png": pipe,
    }
    assert "inside.png" in names(entries)
    for entry in entries:
        if entry.problem:
            with pytest.raises(BadImage):
                read(entry)
    (folder / "all.txt").write_text("\n".join(entry.name for entry in entries))
    listed = problems(list(list_entries("all.txt", folder)))
    assert listed == problems(entries)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that every user can read, and a user without root's right to read everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield Path(folder)
        os.seteuid(user)


def test_unreadable_files_are_listed_and_do_not_hide_the_rest(as_nobody: Path) -> None:
    for name in ("a.png", "closed/a.png", "secret.png", "unsearched/a.png"):
        (as_nobody / name).parent.mkdir(exist_ok=True)
        (as_nobody / name).write_bytes(PNG)
    (as_nobody / "secret.png").chmod(0)
    (as_nobody / "closed").chmod(0)
    (as_nobody / "unsearched").chmod(0o400)
    entries = list(list_entries(str(as_nobody), Path("/")))
    assert problems(entries) == {
        "closed": "the folder cannot be read: Permission denied",
        "unsearched/a.png": "cannot be read: Permission denied",
    }
    assert names(entries) == ["a.png", "closed", "secret.png", "unsearched/a.png"]
    with pytest.raises(BadImage, match="the file cannot be read: Permission denied"):
        read(entries[2])
    for name in ("closed", "unsearched"):
        (as_nobody / name).chmod(0o700)


def test_a_file_that_becomes_a_pipe_or_link_is_not_opened(folder: Path) -> None:
    (entry,) = list_entries("z.png", folder)
    (folder / "z.png").unlink()
    with pytest.raises(BadImage, match="gone"):
        read(entry)
    os.mkfifo(folder / "z.png")
    with pytest.raises(BadImage, match="pipe"):
        read(entry)
    (folder / "z.png").unlink()
    (folder / "z.png").symlink_to("/etc/passwd")
    with pytest.raises(BadImage, match="cannot be read"):
        read(entry)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that cannot be read needs Linux")
def test_a_read_error_is_a_reason() -> None:
    with pytest.raises(BadImage, match="the file cannot be read: Input/output error"):
        read(Entry("a.png", "", size=1, path=f"/proc/{os.getpid()}/mem"))  # its first page is never mapped


def test_odd_names_are_shown_and_stored_safely(folder: Path) -> None:
    (folder / "new\nline.png").write_bytes(PNG)
    Path(os.fsdecode(os.fsencode(folder) + b"/latin\xe9.png")).write_bytes(PNG)
    found = problems(list(list_entries(str(folder), folder)))
    assert found == {"new\\x0aline.png": "its name has control characters", "latin\\udce9.png": "its name is not UTF-8"}


def test_hostile_members_of_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../up.png", "/abs.png", "C:/win.png", "good.png", "dir\\win.png", "__MACOSX/x.png", ".h/x.png"):
            archive.writestr(name, PNG)
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("good.png", PNG)
        locked = zipfile.ZipInfo("locked.png")
        archive.writestr(locked, PNG)
        locked.flag_bits |= 1
    entries = list(list_entries("a.zip", tmp_path))
    found = problems(entries)
    assert found.pop("link.png") == "a link or device in an archive"
    assert found.pop("locked.png") == "encrypted in its archive"
    assert set(found) == {"../up.png", "/abs.png", "C:/win.png"}
    assert [e.name for e in entries if not e.problem] == ["good.png", "dir/win.png", "good.png"]
    assert all(decode(read(e)).shape == (8, 8, 3) for e in entries if not e.problem)


def test_hostile_members_of_a_tar(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (
            ("../up.png", tarfile.REGTYPE),
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("device.png", tarfile.CHRTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
            ("good.png", tarfile.REGTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(PNG) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(PNG))
    entries = list(list_entries("a.tar", tmp_path))
    assert [e.name for e in entries if not e.problem] == ["good.png"]
    assert len(problems(entries)) == 5
    assert read(next(e for e in entries if not e.problem)) == PNG


def test_bombs_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 5_000_000)
    with tarfile.open(tmp_path / "bomb.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("a.png")
        info.size = 5_000_000
        archive.addfile(info, io.BytesIO(b"\0" * info.size))
    header = tarfile.TarInfo("a")
    header.type, header.size = tarfile.XHDTYPE, 50_000_000
    (tmp_path / "header.tgz").write_bytes(gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 50_000_000))
    tight = SourceLimits(free_bytes=10**6)
    for name, reason in (("bomb.zip", "refused"), ("bomb.tgz", "refused"), ("header.tgz", "header of")):
        with pytest.raises(ValueError, match=reason):
            list(list_entries(name, tmp_path, tight))
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", PNG)
    (tmp_path / "many.txt").write_text("a.png\nb.png\nc.png\n")
    for name, reason in (("many.zip", "more than 2 files"), ("many.txt", "more than 2 entries")):
        with pytest.raises(ValueError, match=reason):
            list(list_entries(name, tmp_path, SourceLimits(max_members=2)))


def test_a_member_with_a_wrong_size_is_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 1000)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    (entry,) = list_entries("a.zip", tmp_path)
    assert entry.size == 10
    with pytest.raises(BadImage, match="size or checksum"):
        read(entry)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_of_every_size_and_method(tmp_path: Path, method: int) -> None:
    rng = np.random.default_rng(0)
    contents = [rng.integers(0, 256, size, dtype=np.uint8).tobytes() for size in (0, 1, 70_000)] + [b"\0" * 50_000]
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for index, content in enumerate(contents):
            archive.writestr(f"bä{index}.png", content)
        with archive.open("wide.png", "w", force_zip64=True) as file:  # sizes in an extra field
            file.write(PNG)
        archive.comment = b"PK at the end"
    # data before the archive, as in self-extracting ones
    (tmp_path / "a.zip").write_bytes(b"#!" * 500 + (tmp_path / "a.zip").read_bytes())
    entries = list(list_entries("a.zip", tmp_path))
    assert names(entries) == ["bä0.png", "bä1.png", "bä2.png", "bä3.png", "wide.png"]
    if method == zipfile.ZIP_LZMA:
        with pytest.raises(BadImage, match="compressed by method 14, which is not read"):
            read(entries[2])
    else:
        assert [read(entry) for entry in entries] == [*contents, PNG]


def test_any_damage_to_a_zip_is_reported_as_damage(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.png", "b/c.png"):
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(PNG)
    whole = (tmp_path / "a.zip").read_bytes()
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(400):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            data[place] = rng.choice([0, 1, 127, 255])
        (tmp_path / "a.zip").write_bytes(data)
        try:
            for entry in list_entries("a.zip", tmp_path):
                read(entry)
        except (ValueError, BadImage):
            told += 1
    assert told > 200


def test_a_directory_of_more_than_65535_members(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(66_000):
            archive.writestr(zipfile.ZipInfo(f"{number}.png"), b"")
    entries = list(list_entries("a.zip", tmp_path))
    assert len(entries) == 66_000
    assert entries[-1].name == "65999.png"


def test_members_larger_than_the_limit_or_damaged_are_not_read(folder: Path) -> None:
    path = packed(folder, "p.zip")
    entries = list(list_entries("p.zip", folder.parent))
    with pytest.raises(BadImage, match="more than the limit"):
        read(entries[0], max_bytes=10)
    data = bytearray(path.read_bytes())
    data[40:60] = bytes(20)
    path.write_bytes(data)
    reasons = []
    for entry in entries:
        try:
            read(entry)
        except BadImage as error:
            reasons.append(str(error))
    assert len(reasons) == 1
    assert "damaged" in reasons[0]


@pytest.mark.parametrize("cut", [600, 1500, -1024])
def test_tars_that_end_early_or_have_bad_headers_are_damaged(folder: Path, cut: int) -> None:
    data = packed(folder, "p.tar").read_bytes()
    (folder.parent / "cut.tar").write_bytes(data[:cut] if cut > 0 else data[:1024] + b"x" * 512 + data[1536:])
    with pytest.raises(ValueError, match=r"cut.tar is damaged"):
        list(list_entries("cut.tar", folder.parent))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_other_files_are_no_archives(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PNG * 50)
    with pytest.raises(ValueError, match="damaged or no") as caught:
        list(list_entries(name, tmp_path))
    assert "\n" not in str(caught.value)


def test_missing_sources_fail_at_once(tmp_path: Path) -> None:
    for spec in ("nowhere", "nowhere.zip", "sample://nothing"):
        with pytest.raises(FileNotFoundError, match="does not exist"):
            list_entries(spec, tmp_path)
    (tmp_path / "a.csv").write_text("x")
    for spec in ("https://example.org/a.zip", "a.csv"):
        with pytest.raises(ValueError, match=r"URL|neither"):
            list_entries(spec, tmp_path)


def test_sources_without_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    (tmp_path / "none.txt").write_text("\n")
    zipfile.ZipFile(tmp_path / "none.zip", "w").close()
    for spec in ("empty", "texts", "none.txt", "none.zip"):
        with pytest.raises(ValueError, match="holds no pictures"):
            list(list_entries(spec, tmp_path))


@pytest.mark.parametrize("name", ["p.tgz", "p.tzst"])
def test_compressed_tars_are_read_in_one_pass(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    packed(folder, name)
    entries = list(list_entries(name, folder.parent))
    begun = []
    real = DecompressedStream._begin

    def begin(stream: DecompressedStream) -> None:
        begun.append(stream)
        real(stream)

    monkeypatch.setattr(DecompressedStream, "_begin", begin)
    _open_compressed.cache_clear()
    for entry in entries:
        read(entry)
    _open_compressed.cache_clear()
    assert len(begun) == 1
    assert [entry.offset for entry in entries] == sorted(entry.offset for entry in entries)


def _parquet_list(path: Path, paths: list[str | None], column: str = "path") -> None:
    pq.write_table(pa.table({"other": list(range(len(paths))), column: paths}), path)


def test_a_parquet_list_names_what_a_text_list_names(folder: Path) -> None:
    lines = ["z.png", "b/1.png", "z.png", "../secret.png", "s3://bucket/a.png", "gone.png"]
    (folder / "a.txt").write_text("\n".join(lines))
    _parquet_list(folder / "a.parquet", [*lines, None])

    def listed(name: str) -> list[Entry]:
        return [replace(entry, source="") for entry in list_entries(name, folder)]

    assert listed("a.parquet") == listed("a.txt")
    assert [entry.name for entry in listed("a.txt") if not entry.problem] == ["b/1.png", "z.png"]
    assert "none may be opened" in problems(listed("a.txt"))["s3://bucket/a.png"]


def test_other_files_are_no_parquet_lists(tmp_path: Path) -> None:
    _parquet_list(tmp_path / "other.parquet", ["a"], "file")
    (tmp_path / "text.parquet").write_text("a.png\n")
    pq.write_table(pa.table({"path": [1, 2]}), tmp_path / "numbers.parquet")
    for name, reason in (("other", "`path` of text: it has other .*, file"), ("text", "damaged"), ("numbers", "int64")):
        with pytest.raises(ValueError, match=reason):
            list(list_entries(f"{name}.parquet", tmp_path))


def test_a_list_may_have_another_root(folder: Path) -> None:
    (folder.parent / "lists").mkdir()
    (folder.parent / "lists/beside.png").write_bytes(PNG)
    (folder.parent / "lists/a.txt").write_text("z.png\nb/1.png\n../lists/beside.png\n")
    entries = list(list_entries("lists/a.txt", folder.parent, SourceLimits(list_root="pictures")))
    assert [entry.name for entry in entries if not entry.problem] == ["b/1.png", "z.png"]
    assert problems(entries) == {"../lists/beside.png": "outside the folder of its list"}
    with pytest.raises(ValueError, match="list root nowhere is no folder"):
        list(list_entries("lists/a.txt", folder.parent, SourceLimits(list_root="nowhere")))


def test_urls_of_a_list_need_an_allowed_scheme_and_are_never_chained(folder: Path) -> None:
    lines = ["file:///etc/passwd", "zip://a.png::s3://bucket/a.zip", "s3://", "filecache::s3://bucket/a.png"]
    (folder / "a.txt").write_text("\n".join(lines))
    found = problems(list(list_entries("a.txt", folder, SourceLimits(schemes=("s3",)))))
    assert found["file:///etc/passwd"] == "a URL of the scheme file://, of which only s3:// may be opened"
    assert found["s3://"] == "a URL without a bucket"
    assert all("chained" in found[line] for line in lines if "::" in line)
