import contextlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from atelier.tasks.bulk import ledger as ledger_module
from atelier.tasks.bulk.crash_markers import CrashMarkers
from atelier.tasks.bulk.ledger import Ledger, LedgerRow


def _states(ledger: Ledger) -> dict[str, str]:
    rows = ledger.read()
    return dict(zip(rows["input"].to_pylist(), rows["state"].to_pylist(), strict=True))


def test_parts_add_up_and_the_latest_attempt_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.read().num_rows == 0
    ledger.append([LedgerRow("a", "quarantined", attempt=1), LedgerRow("b", "done", attempt=1)])
    ledger.append([LedgerRow("a", "done", "a.png", attempt=2)])
    ledger.append(
        [LedgerRow("b", "quarantined", attempt=1)]
    )  # a row that was worked on twice: that it was done once counts
    ledger.append([])
    assert _states(ledger) == {"a": "done", "b": "done"}
    assert ledger.attempts == 2


def test_compacting_changes_no_row_and_leaves_one_part_that_any_tool_reads(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for index in range(5):
        ledger.append(
            [LedgerRow(f"{4 - index}", "done", attempt=index + 1), LedgerRow("x", "skipped", attempt=index + 1)]
        )
    before = ledger.read().sort_by("input")
    ledger.compact()
    assert ledger.read().sort_by("input").equals(before)
    parts = list((tmp_path / "ledger").iterdir())
    assert len(parts) == 1
    assert pq.read_table(parts[0]).sort_by("input").equals(before)
    ledger.compact()
    assert list((tmp_path / "ledger").iterdir()) == parts  # nothing to compact changes nothing


def test_a_compaction_killed_before_it_removed_the_parts_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.append([LedgerRow("a", "done")])
    ledger.append([LedgerRow("b", "done")])

    def killed(path: Path, missing_ok: bool) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            ledger.compact()
    assert _states(ledger) == {"a": "done", "b": "done"}
    ledger.compact()
    assert ledger.read().num_rows == 2


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(ValueError, match=r"x\.parquet is damaged: delete it"):
        Ledger(tmp_path).read()


def test_parts_that_are_full_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path)
    ledger.append([LedgerRow(f"{index}", "done", reason=f"{index}" * 9) for index in range(5000)])
    (full,) = tmp_path.iterdir()
    monkeypatch.setattr(ledger_module, "FULL_BYTES", full.stat().st_size)
    for index in range(4):
        ledger.append([LedgerRow(f"{index}", "quarantined", attempt=index + 2)])
    before = ledger.read().sort_by("input")
    ledger.compact()
    assert len(list(tmp_path.iterdir())) == 2
    assert full.exists()
    assert ledger.read().sort_by("input").equals(before)
    assert sorted(before["attempt"].to_pylist())[-5:] == [1, 2, 3, 4, 5]


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append([LedgerRow("a", "quarantined", "x", attempt=1), LedgerRow("b", "done", "y", attempt=1)])
    ledger.append([LedgerRow("a", "done", "z", attempt=2)])
    rows = ledger.read(["output"])
    assert rows.column_names == ["input", "output", "state", "attempt"]
    assert sorted(rows["output"].to_pylist()) == ["y", "z"]


class Died(Exception):  # noqa: N818
    """What a kill does to a worker."""


def die(markers: CrashMarkers, names: Sequence[str], victim: str, stage: str) -> list[str]:
    """Work on a block until one input kills the worker at a stage; what had ended by then."""
    ended: list[str] = []

    def work(rows: list[LedgerRow]) -> list[str]:
        for row in rows:
            if row.input == victim:
                with markers.step(stage, victim):
                    raise Died
        return [row.input for row in rows]

    def crashed(row: LedgerRow, stage: str, exceeded: str) -> str:
        return f"{row.input} crashed at {stage}"

    with contextlib.suppress(Died):
        for end in markers.process([LedgerRow(name, "") for name in names], work, crashed):
            ended.append(end)
    return ended


def test_markers_name_the_inputs_of_a_worker_that_crashed(tmp_path: Path) -> None:
    markers, after = CrashMarkers(tmp_path / "inflight"), CrashMarkers(tmp_path / "inflight")
    other = CrashMarkers(tmp_path / "inflight", "stylize")
    markers.clear()
    assert die(markers, "ab", "b", "decode") == []
    assert die(after, "cd", "", "") == ["c", "d"], "another block"
    assert die(other, "ab", "", "") == ["a", "b"], "another stage of it"
    assert die(after, "ab", "b", "stylize") == ["a"], "alone, and dead again"
    assert die(markers, "ab", "b", "") == ["a", "b crashed at stylize"]
    assert list((tmp_path / "inflight").iterdir()) == []
    assert die(markers, "ab", "", "") == ["a", "b"], "markers of finished inputs are removed"
    assert die(markers, "ab", "b", "decode") == []
    markers.clear()
    assert list((tmp_path / "inflight").iterdir()) == []
