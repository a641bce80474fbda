import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from atelier.tasks import archives
from atelier.tasks.images import BadImage, decode, encode
from atelier.tasks.sources import Entry, list_entries, read

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
    return target


def names(entries: list[Entry]) -> list[str]:
    return [entry.name for entry in entries]


def problems(entries: list[Entry]) -> dict[str, str]:
    return {entry.name: entry.problem for entry in entries if entry.problem}


@pytest.mark.parametrize("kind", ["folder", "p.zip", "p.tar", "p.tar.gz", "p.tgz"])
def test_every_kind_lists_the_same_pictures(folder: Path, kind: str) -> None:
    source = folder if kind == "folder" else packed(folder, kind)
    entries = list(list_entries(source.name, source.parent))
    assert sorted(names(entries)) == ["b.png", "b/1.png", "b/2.jpg", "unknown", "z.png"]
    if not kind.endswith("gz"):
        assert names(entries) == sorted(names(entries))
    assert all(read(entry) == PNG + entry.name.encode() for entry in entries)
    assert all(read(entry) == PNG + entry.name.encode() for entry in reversed(entries))
    assert all(entry.size == len(PNG) + len(entry.name) and entry.source == source.name for entry in entries)
    assert entries == list(list_entries(source.name, source.parent))


def test_one_picture_is_a_source(folder: Path) -> None:
    (entry,) = list_entries("z.png", folder)
    assert (entry.name, read(entry)[: len(PNG)]) == ("z.png", PNG)


def test_a_list_stays_in_its_folder(folder: Path) -> None:
    (folder.parent / "secret.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    lines = ["# comment", "", "z.png", "b/../b/1.png", "z.png", "../secret.png", "/etc/passwd", "gone.png"]
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


def test_links_and_pipes_are_reported_and_never_followed(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(PNG)
    (folder / "inside.png").symlink_to("z.png")
    (folder / "leaves.png").symlink_to(outside / "secret.png")
    (folder / "tree").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    entries = list(list_entries(str(folder), Path("/")))
    assert problems(entries) == {
        "leaves.png": "a link that leads out of the source",
        "tree": "a link that leads out of the source",
        "dangling.png": "a link to nothing",
        "pipe.png": "a pipe, socket or device, not a file",
    }
    assert "inside.png" in names(entries)
    for entry in entries:
        if entry.problem:
            with pytest.raises(BadImage):
                read(entry)


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
    assert found.pop("good.png") == "another member of the archive has the same name"
    assert found.pop("locked.png") == "encrypted in its archive"
    assert set(found) == {"../up.png", "/abs.png", "C:/win.png"}
    assert [e.name for e in entries if not e.problem] == ["dir/win.png", "good.png"]
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


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 5_000_000)
    with tarfile.open(tmp_path / "bomb.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("a.png")
        info.size = 5_000_000
        archive.addfile(info, io.BytesIO(b"\0" * info.size))
    header = tarfile.TarInfo("a")
    header.type, header.size = tarfile.XHDTYPE, 50_000_000
    (tmp_path / "header.tgz").write_bytes(gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 50_000_000))
    for name, reason in (("bomb.zip", "refused"), ("bomb.tgz", "refused"), ("header.tgz", "header of")):
        with pytest.raises(ValueError, match=reason):
            list(list_entries(name, tmp_path))
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", PNG)
    with pytest.raises(ValueError, match="more than 2 files"):
        list(list_entries("many.zip", tmp_path))


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
def test_tars_that_end_early_or_hold_rubbish_are_damaged(folder: Path, cut: int) -> None:
    data = packed(folder, "p.tar").read_bytes()
    (folder.parent / "cut.tar").write_bytes(data[:cut] if cut > 0 else data[:1024] + b"x" * 512 + data[1536:])
    with pytest.raises(ValueError, match=r"cut.tar is damaged"):
        list(list_entries("cut.tar", folder.parent))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_what_is_no_archive_says_so(tmp_path: Path, name: str) -> None:
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


def test_sources_without_pictures_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    (tmp_path / "none.txt").write_text("\n")
    zipfile.ZipFile(tmp_path / "none.zip", "w").close()
    for spec in ("empty", "texts", "none.txt", "none.zip"):
        with pytest.raises(ValueError, match="holds no pictures"):
            list(list_entries(spec, tmp_path))


def test_archives_are_read_in_one_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed(folder, "p.tgz")
    entries = list(list_entries("p.tgz", folder.parent))
    opened = []
    real = gzip.GzipFile

    class Counting(real):
        def rewind(self) -> None:
            opened.append("rewound")
            super().rewind()

    monkeypatch.setattr(gzip, "GzipFile", Counting)
    archives._open_tgz.cache_clear()
    for entry in entries:
        read(entry)
    archives._open_tgz.cache_clear()
    assert not opened
    assert [entry.offset for entry in entries] == sorted(entry.offset for entry in entries)
