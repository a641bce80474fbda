"""Destinations: the files that remain after a failing disk or a killed process."""

import errno
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.local_folder import LocalFolder
from atelier.tasks.storage.location import absolute
from atelier.tasks.storage.open_destination import open_destination


def _failing(step: str, code: int) -> type[LocalFolder]:
    """A folder on a disk that fails at one step of a commit."""

    def fail(self: LocalFolder, *_: Any) -> None:
        raise OSError(code, os.strerror(code))

    return type("Failing", (LocalFolder,), {step: fail})


@pytest.mark.parametrize("step", ["_fill", "_rename"])
def test_a_failed_commit_changes_nothing(tmp_path: Path, step: str) -> None:
    LocalFolder(tmp_path).write("a/b", b"before")
    with pytest.raises(OSError, match="Input/output error"):
        _failing(step, errno.EIO)(tmp_path).commit("a/b", b"after", "1")
    assert LocalFolder(tmp_path).read("a/b") == b"before"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_commit_whose_name_cannot_be_made_durable_is_not_silent(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        _failing("_sync_folder", errno.EIO)(tmp_path).write("b", b"after")


def test_a_target_that_is_a_folder_keeps_no_temporary(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        LocalFolder(tmp_path).commit("a", b"x", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("sub/picture.png", b"x")
    for name in ("sub/.atelier-3-abc-0.tmp", ".atelier-3-abc-0.tmp", "sub/.atelier.tmp", "other/.atelier-3-abc-0.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    assert folder.remove_leftovers(["", "sub", "gone"]) == 2
    assert folder.remove_leftovers() == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".atelier.tmp", "other", "picture.png", "sub"]


def test_files_by_their_names(tmp_path: Path) -> None:
    folder = open_destination(tmp_path / "a" / "b")
    assert folder.names() == []
    folder.create()
    folder.write("x/y.png", b"123")
    (folder / "x").write_unsynced("z", b"1")
    assert (folder / "x").names() == ["y.png", "z"]
    assert folder.sizes(["x/y.png", "none", "x/z", "x/none"]) == [3, -1, 1, -1]
    folder.remove(["x/y.png", "none", "x/none"])
    assert (folder / "x").names() == ["z"]
    with pytest.raises(FileNotFoundError):
        folder.read("x/y.png")


LEAVING = ("", "/x", "../x", "a/../../x", "a/..", "..", "..\\x", "C:/x", "C:\\x", "c:", "a\0b")
STAYING = ("a..b", "..a", "a../b", "x:y", "a b/c.png", "é/[1]*?.png", "CC:/x")


def refused_everywhere(folder: Destination) -> None:
    """No operation takes a name that leads out of the folder, and every one takes the others."""
    for name in LEAVING:
        calls: list[Callable[[], Any]] = [
            lambda name=name: folder.read(name),
            lambda name=name: folder.commit(name, b"x", "1"),
            lambda name=name: folder.write_unsynced(name, b"x"),
            lambda name=name: folder.remove([name]),
            lambda name=name: folder / name,
            lambda name=name: folder.lock(name).__enter__(),
        ]
        for call in calls:
            with pytest.raises(OSError, match="does not stay below") as error:
                call()
            assert error.value.errno == errno.EINVAL
        assert folder.sizes([name]) == [-1]
    for name in STAYING:
        folder.write(name, name.encode())
    assert [folder.read(name).decode() for name in STAYING] == list(STAYING)
    folder.remove([STAYING[-2]])
    assert [size for size in folder.sizes(STAYING) if size < 0] == [-1]


def test_names_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    refused_everywhere(LocalFolder(tmp_path / "in"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_links_below_it_lead_nowhere_else(tmp_path: Path) -> None:
    """The folder itself may be a link, and links within it too; one that leaves it is refused by every operation."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside / "real"):
        folder.mkdir(parents=True)
    (outside / "mine").write_text("mine")
    (outside / ".atelier-1-x.tmp").write_text("mine")
    for name, target in {
        "out": outside,
        "near": inside / "real",
        "gone": tmp_path / "none",
        "file": outside / "mine",
    }.items():
        (inside / name).symlink_to(target)
    (tmp_path / "linked").symlink_to(inside)
    folder = LocalFolder(tmp_path / "linked")
    folder.write("near/a", b"1")
    assert (inside / "real" / "a").read_bytes() == b"1"
    calls: list[Callable[[], Any]] = [
        lambda: folder.commit("out/mine", b"x", "1"),
        lambda: folder.commit("out/deeper/x", b"x", "1"),
        lambda: folder.commit("gone/x", b"x", "1"),
        lambda: folder.remove(["out/mine"]),
        lambda: folder.read("out/mine"),
        lambda: (folder / "out").names(),
        lambda: (folder / "out").create(),
        lambda: (folder / "out").remove(["mine"]),
        lambda: (folder / "out").write_unsynced("mine", b""),
        lambda: folder.write_unsynced("file", b""),
        lambda: folder.lock("out/lock").__enter__(),
        lambda: folder.lock("file").__enter__(),
        lambda: folder.remove_leftovers(["out"]),
    ]
    for call in calls:
        with pytest.raises(OSError, match=r"leads out of the destination|symbolic links"):
            call()
    folder.remove_leftovers()
    folder.commit("file", b"replaced", "1")
    folder.remove(["file"])
    assert sorted(path.name for path in outside.iterdir()) == [".atelier-1-x.tmp", "mine"]
    assert (outside / "mine").read_text() == "mine"
    assert not (tmp_path / "none").exists()


def test_urls_of_other_schemes_are_no_destination() -> None:
    for url, reason in (("ftp://host/a", "scheme ftp"), ("simplecache::s3://b/c", "chained"), ("s3://", "bucket")):
        with pytest.raises(ValueError, match=reason):
            open_destination(url)


def _hold(path: Path, held: Any) -> None:
    with LocalFolder(path).lock("books/lock"):
        held.set()
        multiprocessing.Event().wait()


def test_the_lock_refuses_a_second_process_and_ends_with_a_killed_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held))
    holder.start()
    lock: Callable[[], Any] = lambda: LocalFolder(tmp_path).lock("books/lock")  # noqa: E731
    try:
        assert held.wait(60)
        with pytest.raises(BlockingIOError), lock():
            pass
    finally:
        holder.kill()
        holder.join()
    with lock() as still:
        assert still()


def test_a_full_disk_changes_nothing(small_disk: Path) -> None:
    folder = LocalFolder(small_disk)
    folder.write("a", b"before")
    with pytest.raises(OSError, match="No space left"):
        folder.commit("a", bytes(2 * 2**20), "1")
    assert folder.names() == ["a"]
    assert folder.read("a") == b"before"
    folder.write("b", bytes(2**19))  # the space is free again


def test_a_location_that_goes_up_leads_where_the_file_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there/below"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "here/link").symlink_to(tmp_path / "there/below")
    (tmp_path / "here/loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path / "here")
    assert absolute("../out") == str(tmp_path / "out")
    assert absolute("link/../out") == str(tmp_path / "there/out")
    assert absolute("link") == str(tmp_path / "here/link"), "what does not go up keeps its name"
    assert absolute("loop/../out").startswith(str(tmp_path))
    assert absolute("s3://bucket/../out") == "s3://bucket/../out"
