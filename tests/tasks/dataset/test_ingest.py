import csv
import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from atelier.tasks.dataset import screening_pool
from atelier.tasks.dataset.ingest import IngestConfig, IngestSummary, ingest, scan
from atelier.tasks.dataset.layouts import SourceConfig
from atelier.tasks.dataset.screening import DuplicateIndex, Prepared, ScreenConfig, prepare
from atelier.tasks.dataset.screening_pool import prepare_all
from atelier.tasks.dataset.shards import read_card, read_rows, split_of
from atelier.tasks.images.codec import decode, encode, resize
from atelier.tasks.runtime.progress import Progress, silent
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.open_source import list_entries
from atelier.tasks.storage.sample_images import list_crops

pytestmark = pytest.mark.usefixtures("ray_cluster")
DOMAINS = {"photos": ("photos",), "paintings": ("paintings",)}
CONFIG = IngestConfig(domains=DOMAINS, size_px=16, min_px=12, holdout_share=0.4)


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Large random patches: no two are similar."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return resize(noise, width, height)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for domain, first in (("photos", 0), ("paintings", 100)):
        (tmp_path / domain).mkdir()
        for seed in range(first, first + 12):
            (tmp_path / domain / f"{seed:03}.png").write_bytes(encode(picture(seed), "png"))
    return tmp_path


def run(workspace: Path, config: IngestConfig = CONFIG, out: str = "out") -> IngestSummary:
    scan(config, workspace, workspace / "sources.lock")
    summary = ingest(config, workspace, workspace / "sources.lock", workspace / out)
    rows = sum(sum(splits.values()) for splits in summary.rows.values())
    assert summary.files == rows + sum(summary.screened.values()) + summary.quarantined
    assert rows == summary.kept + summary.added
    assert rows == read_card(workspace / out).rows()
    return summary


def paths(out: Path) -> dict[str, str]:
    table = read_rows(out, read_card(out), columns=["image", "split", "domain"]).to_pylist()
    return {f"{row['domain']}/{row['image']['path']}": row["split"] for row in table}


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def listed(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_pictures_become_rows(workspace: Path) -> None:
    seen: list[Progress] = []
    scan(CONFIG, workspace, workspace / "sources.lock")
    summary = ingest(CONFIG, workspace, workspace / "sources.lock", workspace / "out", seen.append)
    assert (summary.files, summary.added, summary.kept, summary.screened, summary.quarantined) == (24, 24, 0, {}, 0)
    assert [(p.done, p.total, p.unit) for p in seen] == [(i, 24, "images") for i in range(25)]
    card = read_card(workspace / "out")
    assert card.id == summary.dataset_id
    for row in read_rows(workspace / "out", card).to_pylist():
        original = workspace / row["domain"] / row["image"]["path"]
        assert row["id"] == row["group"] == hashlib.sha256(original.read_bytes()).hexdigest()
        assert row["split"] == split_of(row["group"], 0.4)
        assert (row["width"], row["height"], row["source"], row["attributes"]) == (21, 16, row["domain"], "{}")
        assert np.array_equal(decode(row["image"]["bytes"]), resize(decode(original.read_bytes()), 21, 16))


def test_pictures_of_the_package_become_rows(workspace: Path) -> None:
    summary = run(workspace, IngestConfig(domains={"photos": ("sample://photos",)}, size_px=16, min_px=12))
    assert (summary.files, summary.quarantined) == (len(list_crops("sample://photos")), 0)


def test_what_is_left_out_is_counted_and_listed(workspace: Path) -> None:
    photos = workspace / "photos"
    (photos / "a-small.png").write_bytes(encode(picture(50, 11, 30), "png"))
    (photos / "b-flat.png").write_bytes(encode(np.full((30, 30, 3), 128, np.uint8), "png"))
    shutil.copy(photos / "003.png", photos / "c-copy.png")
    (photos / "d-near.jpg").write_bytes(encode(picture(4), "jpeg", quality=90))
    (photos / "=cmd|calc.png").write_bytes(b"no picture")
    (photos / "e-cut.png").write_bytes((photos / "001.png").read_bytes()[:200])
    os.mkfifo(photos / "f-pipe.png")
    summary = run(workspace)
    assert summary.screened == {"duplicate": 1, "flat": 1, "near-duplicate": 1, "too small": 1}
    assert summary.quarantined == 3
    assert {(row["path"], row["state"]) for row in listed(workspace / "out" / "screened.csv")} == {
        ("a-small.png", "too small"),
        ("b-flat.png", "flat"),
        ("c-copy.png", "duplicate"),
        ("d-near.jpg", "near-duplicate"),
    }
    quarantine = {row["path"]: row["reason"] for row in listed(workspace / "out" / "quarantine.csv")}
    assert set(quarantine) == {"'=cmd|calc.png", "e-cut.png", "f-pipe.png"}
    assert "pipe" in quarantine["f-pipe.png"]
    assert read_card(workspace / "out").facts["screened"] == summary.screened
    lenient = IngestConfig(domains=DOMAINS, size_px=16, min_px=1, flat_std=0, near_duplicate_bits=0, holdout_share=0.4)
    everything = run(workspace, lenient, "all")
    assert everything.screened == {"duplicate": 1}


def test_the_lock_changes_only_with_the_sources(workspace: Path) -> None:
    lock = workspace / "sources.lock"
    first = scan(CONFIG, workspace, lock)
    assert (first.domains, first.files, first.changed) == ({"photos": 12, "paintings": 12}, 24, True)
    before = (lock.read_bytes(), lock.stat().st_mtime_ns)
    (workspace / "photos" / "notes.txt").write_text("no picture")
    assert not scan(CONFIG, workspace, lock).changed
    assert (lock.read_bytes(), lock.stat().st_mtime_ns) == before
    os.utime(workspace / "photos" / "001.png", ns=(1, 1))
    assert scan(CONFIG, workspace, lock).changed
    assert str(workspace) not in lock.read_text()


def test_ingest_makes_what_the_lock_names(workspace: Path) -> None:
    scan(CONFIG, workspace, workspace / "sources.lock")
    (workspace / "photos" / "late.png").write_bytes(encode(picture(60), "png"))
    (workspace / "photos" / "002.png").write_bytes(encode(picture(61), "png"))
    (workspace / "photos" / "003.png").unlink()
    summary = ingest(CONFIG, workspace, workspace / "sources.lock", workspace / "out", silent)
    assert (summary.added, summary.quarantined) == (22, 1)
    assert "changed after the scan" in listed(workspace / "out" / "quarantine.csv")[0]["reason"]
    with pytest.raises(FileNotFoundError, match="--scan"):
        ingest(CONFIG, workspace, workspace / "gone.lock", workspace / "out")
    other = IngestConfig(domains={"photos": ("photos", "paintings")})
    with pytest.raises(ValueError, match="does not know source paintings of photos"):
        ingest(other, workspace, workspace / "sources.lock", workspace / "out")
    (workspace / "sources.lock").write_text("{}")
    with pytest.raises(ValueError, match="damaged"):
        ingest(CONFIG, workspace, workspace / "sources.lock", workspace / "out")


def test_new_files_go_to_new_shards_and_known_ones_are_not_read(workspace: Path) -> None:
    first = run(workspace)
    before, splits = contents(workspace / "out"), paths(workspace / "out")
    for path in (workspace / "photos").iterdir():  # whoever reads them again finds nothing
        facts = path.stat()
        path.write_bytes(b"x" * facts.st_size)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    for seed in range(30, 38):
        (workspace / "photos" / f"{seed:03}.png").write_bytes(encode(picture(seed), "png"))
    (workspace / "photos" / "copy.png").write_bytes(encode(picture(5), "png"))
    second = run(workspace)
    assert (second.kept, second.added, second.dropped, second.quarantined) == (24, 8, 0, 0)
    assert second.screened == {"duplicate": 1}
    after = contents(workspace / "out")
    shards = {name for name in before if name.endswith("parquet") and not name.startswith("_")}
    assert all(after[name] == before[name] for name in shards)
    assert paths(workspace / "out").items() >= splits.items()
    assert first.dataset_id != second.dataset_id
    third = run(workspace)
    assert (third.added, third.dataset_id) == (0, second.dataset_id)
    assert contents(workspace / "out") == after


def test_rows_of_files_that_are_gone_are_dropped(workspace: Path) -> None:
    shutil.copy(workspace / "photos" / "003.png", workspace / "photos" / "copy.png")
    run(workspace)
    before, splits = contents(workspace / "out"), paths(workspace / "out")
    (workspace / "photos" / "001.png").unlink()
    (workspace / "photos" / "003.png").unlink()  # now its copy is the original
    summary = run(workspace)
    assert (summary.kept, summary.added, summary.dropped, summary.screened) == (22, 1, 2, {})
    expected = {name: split for name, split in splits.items() if name not in ("photos/001.png", "photos/003.png")}
    assert paths(workspace / "out") == expected | {"photos/copy.png": splits["photos/003.png"]}
    untouched = {name for name in before if name.startswith("paintings")}
    assert untouched
    assert all(contents(workspace / "out")[name] == before[name] for name in untouched)


def test_a_touched_file_changes_no_shard(workspace: Path) -> None:
    first = run(workspace)
    os.utime(workspace / "photos" / "001.png", ns=(1, 1))
    second = run(workspace)
    assert (second.dataset_id, second.added, second.dropped) == (first.dataset_id, 0, 0)


def test_changed_attributes_make_the_row_anew(workspace: Path) -> None:
    config = IngestConfig(
        domains={"photos": (SourceConfig("photos", attributes="said.csv"),), "paintings": ("paintings",)},
        size_px=16,
        min_px=12,
        holdout_share=0.4,
    )
    for year in ("1880", "1890"):
        (workspace / "said.csv").write_text(f"file,year\n001.png,{year}\n")
        summary = run(workspace, config)
        rows = read_rows(workspace / "out", read_card(workspace / "out"), "photos", columns=["image", "attributes"])
        assert {"year": year} in [json.loads(text) for text in rows["attributes"].to_pylist()]
    assert (summary.added, summary.dropped, summary.kept) == (1, 1, 23)


def test_changed_parameters_make_everything_anew(workspace: Path) -> None:
    run(workspace)
    config = IngestConfig(domains=DOMAINS, size_px=12, min_px=12, holdout_share=0.4)
    assert run(workspace, config).added == 24
    card = read_card(workspace / "out")
    assert set(read_rows(workspace / "out", card)["height"].to_pylist()) == {12}
    assert len(list((workspace / "out").glob("*.parquet"))) == len(card.shards) + 1


def test_a_damaged_dataset_is_made_anew(workspace: Path) -> None:
    first = run(workspace)
    shard = workspace / "out" / read_card(workspace / "out").shards[0].file
    shard.unlink()
    assert run(workspace).dataset_id == first.dataset_id
    assert shard.exists()


def test_equal_sources_give_equal_bytes_however_the_work_is_divided(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "photos" / "bad.png").write_bytes(b"bad")
    run(workspace, out="one")
    monkeypatch.setattr(screening_pool, "BLOCK_ROWS", 1)
    run(workspace, out="two")
    assert contents(workspace / "one") == contents(workspace / "two")


def test_an_ingest_that_fails_leaves_the_dataset_as_it_was(workspace: Path) -> None:
    run(workspace)
    before = contents(workspace / "out")
    (workspace / "photos" / "040.png").write_bytes(encode(picture(40), "png"))
    (workspace / "photos" / "041.png").write_bytes(encode(picture(41), "png"))
    scan(CONFIG, workspace, workspace / "sources.lock")

    def stop(progress: Progress) -> None:
        if progress.done == 26:
            raise KeyboardInterrupt

    config = IngestConfig(domains=DOMAINS, size_px=16, min_px=12, holdout_share=0.4)
    with pytest.raises(KeyboardInterrupt):
        ingest(config, workspace, workspace / "sources.lock", workspace / "out", stop)
    assert contents(workspace / "out") == before
    (workspace / "out" / ".photos-train-1.tmp").write_bytes(b"left by a run that was killed")
    (workspace / "out" / "photos-train-0123.parquet").write_bytes(b"left too")
    assert run(workspace).added == 2
    assert len(list((workspace / "out").glob("*.parquet"))) == len(read_card(workspace / "out").shards) + 1
    assert not list((workspace / "out").glob(".*"))


def test_a_domain_without_held_out_or_training_pictures_says_so(workspace: Path) -> None:
    for share, role in ((0.000001, "held-out"), (0.999999, "training")):
        config = IngestConfig(domains=DOMAINS, size_px=16, min_px=12, holdout_share=share)
        scan(config, workspace, workspace / "sources.lock")
        with pytest.raises(ValueError, match=rf"domain photos has no {role} pictures \(12 good\)"):
            ingest(config, workspace, workspace / "sources.lock", workspace / "out")
        assert not list((workspace / "out").glob("*.parquet"))
    strict = IngestConfig(domains=DOMAINS, min_px=500)
    with pytest.raises(ValueError, match="12 too small"):
        ingest(strict, workspace, workspace / "sources.lock", workspace / "out")


def test_wrong_sources_are_refused(workspace: Path) -> None:
    lock = workspace / "sources.lock"
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        scan(IngestConfig(domains={"photos": ("nowhere",)}), workspace, lock)
    (workspace / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        scan(IngestConfig(domains={"photos": ("empty",)}), workspace, lock)
    for domains, reason in (({}, "no domain"), ({"a": ()}, "has no sources"), ({"../a": ("photos",)}, "letters")):
        with pytest.raises(ValueError, match=reason):
            scan(IngestConfig(domains=domains), workspace, lock)
    assert not lock.exists()


def test_parameters_are_checked_where_they_are_read() -> None:
    adapter = TypeAdapter(IngestConfig)
    config = adapter.validate_python({"domains": {"faces": [{"path": "f.zip", "layout": "cifar"}, "g"]}, "size_px": 32})
    assert config.sources == {"faces": (SourceConfig("f.zip", "cifar"), SourceConfig("g"))}
    for wrong in ({"size": 3}, {"size_px": 0}, {"holdout_share": 1}, {"domains": {"a": [{"path": "b", "x": 1}]}}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


@pytest.mark.parametrize(
    ("number", "timeout_s", "reason"),
    [(signal.SIGSEGV, 100.0, "crashed"), (signal.SIGSTOP, 3.0, "took longer than 3 s")],
)
def test_a_picture_that_kills_or_stops_its_worker_is_unreadable_and_stops_nothing(
    workspace: Path, number: int, timeout_s: float, reason: str
) -> None:
    def deadly(entry: Entry, config: ScreenConfig) -> Prepared:
        if entry.name == "003.png":
            os.kill(os.getpid(), number)
        return prepare(entry, config)

    entries = list(list_entries("photos", workspace))
    prepared = list(prepare_all(entries, CONFIG, deadly, timeout_s))
    assert [p.state for p in prepared] == ["unreadable" if e.name == "003.png" else "" for e in entries]
    assert reason in prepared[3].reason


def test_similar_pictures_are_found_and_different_ones_are_not() -> None:
    seen = DuplicateIndex(bits=4)
    hashes = [int(h) for h in np.random.default_rng(0).integers(0, 2**63, 3000)]
    for number, hash in enumerate(hashes):
        assert seen.copy_of(str(number), hash) == ("", "")
        seen.add(str(number), hash)
    assert seen.copy_of("new", hashes[2000] ^ 0b1111) == ("near-duplicate", "2000")
    assert seen.copy_of("new", hashes[2000] ^ 0b11111) == ("", "")
    assert seen.copy_of("17", 0) == ("duplicate", "17")
    assert DuplicateIndex(bits=0).copy_of("a", 0) == ("", "")


def test_denoising_removes_noise(tmp_path: Path) -> None:
    smooth = picture(1, 96, 128)
    noisy = np.clip(smooth + np.random.default_rng(0).normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(encode(noisy, "png"))
    (entry,) = list_entries(".", tmp_path)
    raw, denoised = (
        decode(prepare(entry, ScreenConfig(size_px=96, min_px=8, denoise=strength)).png) for strength in (0.0, 12.0)
    )
    assert np.abs(denoised.astype(int) - smooth).mean() < 0.7 * np.abs(raw.astype(int) - smooth).mean()
