"""Files beside pictures, links and lists: the same for sources of every kind, each counted once."""

import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from atelier.tasks.bulk.inputs import count_by_kind, list_inputs
from atelier.tasks.images.codec import encode
from atelier.tasks.storage.companion_files import kind_of
from atelier.tasks.storage.open_source import list_entries, list_files, read
from atelier.tasks.storage.source_limits import SourceLimits

PNG = encode(np.full((8, 8, 3), 90, np.uint8), "png")
KINDS = {
    "sidecar": "a.xmp a.jpg.xmp a.AAE a.pp3 a.dop a.on1 a.THM a.nksc a.cos",
    "video": "a.MOV a.mp4 a.m4v a.MTS a.3gp a.wmv a.mpg a.LRV",
    "sound": "voice.m4a a.wav",
    "catalogue": "c.lrcat c.lrcat-data c.lrcat-wal",
    "thumbnails": "@eaDir/a.jpg/X_THUMB_XL.jpg .thumbnails/1.png .@__thumb/a.jpg c.lrdata/1/2.jpg @eaDir "
    "x/@EADIR/a.jpg",
    "recycle bin": "#recycle/a.jpg $RECYCLE.BIN/S-1/a.jpg .trash/a.jpg .Trash-1000/files/a.jpg .Trashes/1/a.jpg "
    "@Recycle/a.jpg RECYCLER/a.jpg .dtrash/a.jpg .trashed-1700000000-a.jpg",
    "snapshot": "#snapshot/d/a.jpg .zfs/snapshot/a.jpg @Recently-Snapshot/a.jpg @GMT-2024.01.01/a.jpg",
    "AppleDouble": "._a.jpg x/._a.jpg __MACOSX/x/a.jpg",
    "version control": ".git/a.png .svn/b.png .dvc/cache/a.jpg",
    "system file": "Icon\r .DS_Store Thumbs.db desktop.ini .picasa.ini Picasa.ini lost+found/#1 lost+found .nomedia "
    "System\tVolume\tInformation/a.jpg .fseventsd/0 .nextcloudsync.log",
    "hidden file": ".a.jpg .cache/a.jpg ...a.jpg x/..a/b.jpg",
    "job state": "_atelier/lock old/_atelier/running",
    "archive": "more.zip a.7z",
    "data": "a.json a.csv photos.db track.gpx",
    "text or document": "a.txt read.me.md a.pdf a.html",
    "": "a.jpg a unknown a.foo ./a.jpg ../a.jpg #1.jpg eaDir/a.jpg Icons/a.jpg a.. _atelier/a.png x@eaDir/a.jpg "
    "icon.jpg trash/a.jpg a/./b.jpg DCIM/100APPLE/IMG_1.JPG a.cr2 a.heic git/a.jpg",
}


def test_kinds_by_name() -> None:
    for kind, names in KINDS.items():
        for name in names.split(" "):
            assert kind_of(name.replace("\t", " ")) == kind, name


def _tree(root: Path) -> dict[str, int]:
    """A folder as cameras, NAS and operating systems leave it, and its files by kind."""
    for n in range(10):
        for suffix in (".JPG", ".xmp", ".JPG.AAE", ".LRV"):
            _put(root / f"2024/IMG_{n}{suffix}")
        _put(root / f"2024/@eaDir/IMG_{n}.JPG/SYNOPHOTO_THUMB_XL.jpg")
    for name in ("IMG_1.CR2", "IMG_2.dng", "alone.NEF", "IMG_1.HEIC", "film.MOV"):
        _put(root / "2024" / name)
    for name in ("#recycle/old.jpg", ".DS_Store", "2024/._IMG_0.JPG", ".hidden.jpg", "Icon\r", "lost+found/x"):
        _put(root / name)
    return {
        "": 13,  # with a video, which bulk jobs paint
        "sidecar": 20,
        "video": 10,
        "thumbnails": 10,
        "raw file of a picture": 2,
        "system file": 3,
        "AppleDouble": 1,
        "hidden file": 1,
        "recycle bin": 1,
    }


def _put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PNG)


@pytest.mark.parametrize("kind", ["folder", "a.zip", "a.tar", "a.tgz", "a.txt"])
def test_every_kind_of_source_counts_the_same(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "in"
    expected = _tree(root)
    files = [path for path in sorted(root.rglob("*"), reverse=True) if path.is_file()]
    if kind == "a.zip":
        with zipfile.ZipFile(tmp_path / kind, "w") as archive:
            for path in files:
                archive.write(path, path.relative_to(root).as_posix())
    elif kind in ("a.tar", "a.tgz"):
        with tarfile.open(tmp_path / kind, "w:gz" if kind == "a.tgz" else "w") as packed:
            packed.add(root, ".")
    elif kind == "a.txt":  # a name with a line break cannot be in a list
        files.remove(root / "Icon\r")
        expected["system file"] -= 1
        (tmp_path / kind).write_text("\n".join(str(path) for path in files))
    table = list_inputs(["in" if kind == "folder" else kind], tmp_path)
    found = count_by_kind(table["skipped"])
    assert found | {"": table.num_rows - sum(found.values())} == expected
    assert not any(table["problem"].to_pylist())
    assert len(set(table["input"].to_pylist())) == table.num_rows == len(files)


def test_odd_names_of_a_folder_are_each_counted_once(tmp_path: Path) -> None:
    for name in (
        b"a.png",
        b"A.PNG",
        b"latin\xe9.png",
        b"new\nline.png",
        b"caf\xc3\xa9.png",
        b"cafe\xcc\x81.png",
        b"-rf.png",
    ):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/in")).mkdir(exist_ok=True)
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/" + name)).write_bytes(PNG)
    deep = tmp_path / "in" / "/".join(["d" * 100] * 30)
    deep.mkdir(parents=True)
    (deep / "deep.png").write_bytes(PNG)
    entries = list(list_files("in", tmp_path))
    assert len(entries) == 8
    assert sum(not entry.problem for entry in entries) == 6
    assert all(read(entry) == PNG for entry in entries if not entry.problem)


def _hub(root: Path) -> Path:
    """A cache as huggingface_hub makes it."""
    snapshot = root / "datasets--a--b" / "snapshots" / "0123abc"
    (root / "datasets--a--b" / "blobs").mkdir(parents=True)
    (snapshot / "train").mkdir(parents=True)
    for n in range(4):
        (root / f"datasets--a--b/blobs/{n:040x}").write_bytes(PNG)
        (snapshot / f"train/{n}.png").symlink_to(f"../../../blobs/{n:040x}")
    return snapshot


def test_a_link_into_a_cache_is_called_as_the_link(tmp_path: Path) -> None:
    snapshot = _hub(tmp_path)
    blobs = snapshot.parents[1] / "blobs"
    with zipfile.ZipFile(blobs / "a0", "w") as archive:
        archive.writestr("packed.png", PNG)
    (blobs / "a1").write_text("train/2.png\n")
    for blob, name in (("a0", "data.zip"), ("a1", "some.txt")):
        (snapshot / name).symlink_to(blobs / blob)
    for name, picture in (("data.zip", "packed.png"), ("some.txt", "train/2.png"), ("train/1.png", "1.png")):
        entries = list(list_entries(str(snapshot / name), tmp_path))
        assert [(entry.name, read(entry)) for entry in entries] == [(picture, PNG)], name


def test_links_below_declared_folders(tmp_path: Path) -> None:
    snapshot = _hub(tmp_path / "hub")
    for source in (snapshot, snapshot / "train"):
        entries = list(list_entries(str(source), tmp_path))
        assert [(Path(entry.name).name, read(entry)) for entry in entries] == [(f"{n}.png", PNG) for n in range(4)]
    (snapshot / "train/out.png").symlink_to("/etc/passwd")
    (snapshot.parents[1] / "blobs/evil").symlink_to("/etc/passwd")
    (snapshot / "train/twice.png").symlink_to("../../../blobs/evil")
    found = [(entry.name, entry.problem) for entry in list_entries(str(snapshot), tmp_path) if entry.problem]
    assert found == [(f"train/{name}.png", "a link that leads out of the source") for name in ("out", "twice")]

    store, source = tmp_path / "store", tmp_path / "in"
    for name in ("a/1.png", "a/b/2.png", "c/3.png"):
        _put(store / name)
    source.mkdir()
    for name, target in {
        "x.jpg": store / "a/1.png",  # the output is called as the link
        "tree": store / "a",
        "again": store / "a",
        "inner": store / "a/b",
        "all": store,
        "home": source,
        "gone.png": store / "gone.png",
        "secret": tmp_path / "hub",
    }.items():
        (source / name).symlink_to(target)
    (store / "a/up").symlink_to("..")
    (store / "a/back").symlink_to(source)
    (store / "c/out.png").symlink_to("/etc/passwd")
    out, listed = "a link that leads out of the source", "link to a folder that is listed"
    without = {entry.name: entry.problem or entry.skipped for entry in list_files("in", tmp_path)}
    assert without == dict.fromkeys(("x.jpg", "tree", "again", "inner", "all", "secret"), out) | {
        "home": listed,
        "gone.png": "a link to nothing",
    }
    limits = SourceLimits(follow_links=("store",))
    entries = list(list_files("in", tmp_path, limits))
    assert {entry.name: entry.problem or entry.skipped for entry in entries} == {
        **dict.fromkeys(("again/1.png", "again/b/2.png", "again/up/c/3.png", "x.jpg"), ""),
        **dict.fromkeys(("again/up/a", "again/back", "all", "home", "inner", "tree"), listed),
        **dict.fromkeys(("again/up/c/out.png", "secret"), out),
        "gone.png": "a link to nothing",
    }
    assert all(read(entry) == PNG for entry in entries if not (entry.problem or entry.skipped))
    with pytest.raises(ValueError, match="links cannot be followed to nowhere"):
        list_files("in", tmp_path, SourceLimits(follow_links=("nowhere",)))
    (source / "list.txt").write_text("x.jpg\nsecret/x\ntree/1.png\n")
    lists = {entry.name: entry.problem for entry in list_files("in/list.txt", tmp_path, limits)}
    assert (lists["x.jpg"], lists["tree/1.png"]) == ("", "")


def test_lines_of_a_list(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a.png", "#1.png", "# 2.png", "two words.png", " padded.png", "d/b.png", "'q'.png", "d/é.png"):
        _put(root / name)
    lines = [
        *("a.png", "./a.png", f"{root}/a.png", "a.png/", "a.png"),  # one picture
        *("#1.png", "# 2.png", "# a comment", "#", "#gone.png"),
        *("", "   ", "  two words.png  ", '"two words.png"', " padded.png", "'q'.png"),
        *("d\\b.png", "d/é.png", "d//b.png", "d/../../out.png", "C:\\gone.png"),
    ]
    expected = {
        **dict.fromkeys(("a.png", "#1.png", "# 2.png", "two words.png", " padded.png", "'q'.png"), ""),
        **dict.fromkeys(("d/b.png", "d/é.png"), ""),
        **dict.fromkeys(("# a comment", "#"), "comment"),
        "../out.png": "outside the folder of its list",
        **dict.fromkeys(("#gone.png", "C:\\gone.png"), "no such file"),
    }
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        for end in ("\n", "\r\n", "\r"):
            (root / "list.lst").write_bytes(end.join(lines).encode(encoding))
            entries = list(list_files("in/list.lst", tmp_path))
            assert len(entries) == len(expected)
            assert {entry.name: entry.problem or entry.skipped for entry in entries} == expected, (encoding, end)
    for data in ("a.png\n".encode("utf-16-le"), b"caf\xe9.png\n", "a.png".encode("utf-32")):
        (root / "list.lst").write_bytes(data)
        with pytest.raises(ValueError, match=r"list in/list.lst is not text in UTF-8"):
            list(list_files("in/list.lst", tmp_path))
    other = tmp_path / "other"
    other.symlink_to(root)
    (root / "list.lst").write_text(f"{other}/a.png\n{other}/../secret.png\n")  # the folder by another way
    assert next((entry.name, entry.problem) for entry in list_files("in/list.lst", tmp_path)) == ("a.png", "")
