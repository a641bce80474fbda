import errno
import multiprocessing
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from atelier.tasks import ledger
from atelier.tasks.ledger import Ledger, Marks, Row


def _states(book: Ledger) -> dict[str, str]:
    rows = book.read()
    return dict(zip(rows["input"].to_pylist(), rows["state"].to_pylist(), strict=True))


def test_parts_add_up_and_the_latest_attempt_counts(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "ledger")
    assert book.read().num_rows == 0
    book.append([Row("a", "quarantined", attempt=1), Row("b", "done", attempt=1)])
    book.append([Row("a", "done", "a.png", attempt=2)])
    book.append([Row("b", "quarantined", attempt=1)])  # a row that was worked on twice: that it was done once counts
    book.append([])
    assert _states(book) == {"a": "done", "b": "done"}
    assert book.attempts == 2


def test_compacting_changes_no_row_and_leaves_one_part_that_any_tool_reads(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "ledger")
    for index in range(5):
        book.append([Row(f"{4 - index}", "done", attempt=index + 1), Row("x", "skipped", attempt=index + 1)])
    before = book.read().sort_by("input")
    assert book.compact().sort_by("input").equals(before)
    parts = list((tmp_path / "ledger").iterdir())
    assert len(parts) == 1
    assert pq.read_table(parts[0]).sort_by("input").equals(before)
    book.compact()
    assert list((tmp_path / "ledger").iterdir()) == parts  # nothing to compact changes nothing


def test_a_compaction_killed_before_it_removed_the_parts_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Ledger(tmp_path / "ledger")
    book.append([Row("a", "done")])
    book.append([Row("b", "done")])

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            book.compact()
    assert _states(book) == {"a": "done", "b": "done"}
    assert book.compact().num_rows == 2


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(ValueError, match=r"x\.parquet is damaged: delete it"):
        Ledger(tmp_path).read()


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_failing_write_leaves_neither_a_target_nor_a_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            ledger.write_durably(tmp_path / "a", b"x")
    else:
        with pytest.raises(TypeError):
            ledger.write_durably(tmp_path / "a", "not bytes")
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "picture.png").write_bytes(b"x")
    ledger.write_beside(tmp_path / "sub" / "other.png", b"half", "3-abc")
    assert ledger.remove_leftovers(tmp_path) == 1
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["picture.png"]


def test_marks_remember_what_was_entered_until_it_is_left(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "inflight")
    marks.clear()
    marks.enter("a/b.png", "decode")
    marks.enter("a/b.png", "stylize")
    assert Marks(tmp_path / "inflight").history("a/b.png") == ["decode", "stylize"]
    assert marks.history("other") == []
    marks.leave("a/b.png")
    marks.leave("a/b.png")
    assert marks.history("a/b.png") == []
    marks.enter("c", "decode")
    marks.clear()
    assert marks.history("c") == []


def _hold(path: Path, held: "multiprocessing.synchronize.Event") -> None:
    with ledger.locked(path):
        held.set()
        multiprocessing.Event().wait()


def test_the_lock_refuses_a_second_process_and_ends_with_a_killed_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "lock", held))
    holder.start()
    try:
        assert held.wait(60)
        with pytest.raises(BlockingIOError), ledger.locked(tmp_path / "lock"):
            pass
    finally:
        holder.kill()
        holder.join()
    with ledger.locked(tmp_path / "lock"):
        pass
