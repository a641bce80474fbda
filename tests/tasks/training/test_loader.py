"""The pictures of a training: each once an epoch, a window in memory, the same whatever happened before."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from atelier.models.configs.loop import LoopConfig
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.configs.translation import StarganConfig
from atelier.models.methods.base import Batch
from atelier.tasks.dataset.labels import check_labels, labels_of
from atelier.tasks.dataset.shards import SCHEMA, Card, fold_of, read_card, read_rows, split_of, write_card, write_shard
from atelier.tasks.images import codec
from atelier.tasks.training.loader import BatchLoader, Stream, row_groups
from atelier.tasks.training.plan import TrainingPlan

pytestmark = pytest.mark.long

ROWS = {"photos": (600, 300, 256, 700), "paintings": (300, 260)}  # of each shard: groups of 256 rows and their rests
WINDOW = 512
FOLDS = 5


def said(domain: str, number: int) -> dict[str, object]:
    """As CelebA's list has it, as folders of classes, as CSV, and as COCO's categories."""
    if domain == "photos":
        return {"Male": number % 2 == 0, "Young": number % 3 == 0, "sky": str(int(number % 5 == 0))}
    return {"class": ("monet", "goya", "dix")[number % 3], "categories": ["boat"] if number % 4 == 0 else []}


def make_set(folder: Path, shards: dict[str, tuple[int, ...]]) -> Path:
    """Pictures of 4 × 4 pixels, all different: three of each parent, as augmentation leaves them."""
    written = []
    for domain, counts in shards.items():
        number = 0
        for count in counts:
            rows = []
            for _ in range(count):
                pixels = np.zeros((4, 4, 3), np.uint8)
                pixels[0, 0] = number // 256, number % 256, domain == "photos"
                content, parent = codec.encode(pixels, "png"), hashlib.sha256(f"{domain}{number // 3}".encode())
                rows.append({
                    "id": f"{domain}{number}", "group": parent.hexdigest(), "domain": domain, "split": "train",
                    "image": {"bytes": content, "path": f"{number}.png"}, "width": 4, "height": 4, "source": "sample",
                    "attributes": json.dumps(said(domain, number)),
                })  # fmt: skip
                number += 1
            written.append(write_shard(folder, pa.Table.from_pylist(rows, SCHEMA), domain, "train"))
    write_card(folder, Card(1, tuple(written), {}))
    return folder


def make_plan(folder: Path, **changes: object) -> TrainingPlan:
    loop = LoopConfig(steps=1000, batch_size=48, seed=3)
    plan = TrainingPlan(CpganConfig(), loop, "", folder, "photos", "paintings", None, folder, None, {}, WINDOW)
    return replace(plan, **changes)  # type: ignore[arg-type]


def numbers(pictures: torch.Tensor) -> list[int]:
    """Which pictures these are."""
    corner = pictures[:, :, 0, 0].int()  # (B, 3)
    return (corner[:, 0] * 256 + corner[:, 1]).tolist()


def read(plan: TrainingPlan, steps: range | list[int], rank: int = 0, world_size: int = 1) -> list[Batch]:
    with BatchLoader(plan, rank, world_size) as batches:
        return [batches(step) for step in steps]


def assert_equal(found: list[Batch], expected: list[Batch]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.content, b.content)
        assert torch.equal(a.style, b.style)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("augmented"), ROWS)


@pytest.fixture(scope="module")
def whole(data: Path) -> list[Batch]:
    """Two epochs of the photos, six of the paintings."""
    return read(make_plan(data), range(78))


def test_each_picture_comes_once_an_epoch(whole: list[Batch]) -> None:
    for name, domain in (("content", "photos"), ("style", "paintings")):
        stream = [number for batch in whole for number in numbers(getattr(batch, name))]
        size = sum(ROWS[domain])
        epochs = [stream[start : start + size] for start in range(0, len(stream) - size + 1, size)]
        assert len(epochs) == len(stream) // size >= 2
        assert all(Counter(epoch) == Counter(range(size)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == len(epochs), "each epoch has an order of its own"
    assert {batch.content[0, 2, 0, 0].item() for batch in whole} == {1}
    assert {batch.style[0, 2, 0, 0].item() for batch in whole} == {0}
    assert all(batch.content.shape == (48, 3, 4, 4) and batch.content.dtype == torch.uint8 for batch in whole)
    assert whole[0].content.is_contiguous()


def test_variants_of_one_parent_are_spread_over_the_window(whole: list[Batch]) -> None:
    parents = [number // 3 for batch in whole[:38] for number in numbers(batch.content)]
    neighbours = sum(a == b for a, b in itertools.pairwise(parents))
    assert neighbours < 0.02 * len(parents)  # 2 of some 500 others are of the same parent


def test_two_windows_are_in_memory_and_no_more(data: Path) -> None:
    held = []
    with BatchLoader(make_plan(data), 0, 1) as batches:
        streams = (batches.content, batches.style)
        for step in range(78):
            batches(step)
            held.append([stream.rows_held() for stream in streams])
            for stream in streams:
                wait(stream._held.values())  # as if training took its time
                window = stream.order.window(step * 48)
                for position in (window.start, window.stop, step * 48 + 48):
                    assert _is_read(stream, position), "no step waits for a window"
    # what the batches that are decoded ahead reach over may be short windows at the end of an epoch
    assert max(content for content, _ in held) <= 2 * WINDOW + 5 * 48 < sum(ROWS["photos"])


def _is_read(stream: Stream, position: int) -> bool:
    groups = stream.order.window(position).groups.tolist()
    return all(group in stream._held and stream._held[group].done() for group in groups)


def test_a_small_domain_is_read_once(tmp_path: Path) -> None:
    plan = make_plan(make_set(tmp_path, {"photos": (7, 5), "paintings": (1,)}))
    with BatchLoader(plan, 0, 1) as batches:
        first = batches(0)
        held = dict(batches.content._held)
        later = [batches(step) for step in range(1, 20)]
        assert batches.content._held == held, "no epoch reads it again"
        assert batches.content.rows_held() == 12
    epochs = [numbers(batch.content)[start : start + 12] for batch in [first, *later] for start in range(0, 48, 12)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)


def test_a_batch_is_a_function_of_its_step(data: Path, whole: list[Batch]) -> None:
    plan = make_plan(data)
    steps = [70, 3, 4, 5, 0, 41, 40, 39, 2, 2, 77, 76]
    assert_equal(read(plan, steps), [whole[step] for step in steps])
    for start in (1, 33, 64):  # a training that begins again there
        assert_equal(read(plan, range(start, start + 4)), whole[start : start + 4])
    other = read(replace(plan, loop=replace(plan.loop, seed=4)), [0])[0]
    assert not torch.equal(other.content, whole[0].content)
    far = 10**9
    assert_equal(read(plan, [far]), read(plan, [far - 1, far])[1:])


@pytest.mark.parametrize("world_size", [2, 5])
def test_ranks_share_the_batch_that_one_worker_sees(data: Path, whole: list[Batch], world_size: int) -> None:
    steps = range(9, 14)
    ranks = [read(make_plan(data), steps, rank, world_size) for rank in range(world_size)]
    for index, step in enumerate(steps):
        parts = [rank[index] for rank in ranks]
        assert torch.equal(torch.cat([part.content for part in parts]), whole[step].content)
        assert torch.equal(torch.cat([part.style for part in parts]), whole[step].style)


def test_folds_are_disjoint_complete_and_keep_parents_together(data: Path) -> None:
    kept = []
    for k in range(FOLDS):
        plan = make_plan(data, fold=(k, FOLDS))
        with BatchLoader(plan, 0, 1) as batches:
            size = batches.content.order.size
            epoch = [n for step in range(-(-size // 48)) for n in numbers(batches(step).content)][:size]
        assert len(set(epoch)) == size
        kept.append(set(epoch))
    total = sum(ROWS["photos"])
    left_out = [set(range(total)) - pictures for pictures in kept]
    assert sum(len(pictures) for pictures in left_out) == total
    assert set().union(*left_out) == set(range(total))
    assert len({number // 3 for pictures in left_out for number in pictures}) == sum(
        len({number // 3 for number in pictures}) for pictures in left_out
    ), "no parent is on both sides"


def test_folds_do_not_follow_the_split() -> None:
    held_out = [group for group in map(str, range(4000)) if split_of(group, 0.25) == "holdout"]
    counts = Counter(fold_of(group, 4) for group in held_out)
    assert counts.keys() == {0, 1, 2, 3}
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_examples_come_from_all_over_the_domain(data: Path) -> None:
    with BatchLoader(make_plan(data), 0, 1) as batches:
        assert numbers(batches.examples) == [i * 1856 // 8 for i in range(8)]
    with BatchLoader(make_plan(data, content="paintings", fold=(0, FOLDS)), 0, 1) as batches:
        shown = numbers(batches.examples)
        assert len(set(shown)) == 8
        groups = batches.content.groups
    rows = {number for group in groups for number in _numbers_of(group.path, group.index, group.rows)}
    assert set(shown) <= rows


def _numbers_of(path: Path, index: int, rows: object) -> Iterator[int]:
    table = pq.ParquetFile(path).read_row_group(index).to_pylist()
    for row in rows:  # type: ignore[attr-defined]
        yield int(Path(table[row]["image"]["path"]).stem)


def test_a_domain_without_pictures_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no pictures of frescoes"):
        BatchLoader(make_plan(data, style="frescoes"), 0, 1)
    single = make_set(tmp_path, {"photos": (3,), "paintings": (3,)})
    (parent,) = set(read_rows(single, read_card(single), "photos")["group"].to_pylist())
    with pytest.raises(ValueError, match=r"no pictures of photos outside fold \d of 2: use fewer folds") as raised:
        BatchLoader(make_plan(single, fold=(fold_of(parent, 2), 2)), 0, 1)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="batch_size 48 is too small for 49 workers"):
        BatchLoader(make_plan(data), 0, 49)


def test_a_damaged_picture_is_one_clear_line(tmp_path: Path) -> None:
    folder = make_set(tmp_path, {"photos": (300, 20), "paintings": (20,)})
    (group, *_) = row_groups(folder, read_card(folder), "photos")
    content = group.path.read_bytes()
    middle = content.index(b"IDAT")
    group.path.write_bytes(content[:middle] + b"\xff" * 8 + content[middle + 8 :])
    said = rf"{group.path.name} is damaged: row 0 of row group 0: .*`atelier augment`"
    with pytest.raises(ValueError, match=said) as raised:
        read(make_plan(folder), range(8))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_or_cut_shard_is_one_clear_line(tmp_path: Path, missing: bool) -> None:
    folder = make_set(tmp_path, {"photos": (600, 600), "paintings": (20,)})
    plan = make_plan(folder)
    error, said = (FileNotFoundError, "is missing") if missing else (ValueError, "cannot be read")

    def lose() -> None:
        for shard in read_card(folder).shards:
            if missing:
                (folder / shard.file).unlink()
            else:
                (folder / shard.file).write_bytes(b"PAR1")

    def go_on(batches: BatchLoader) -> None:
        for step in range(1, 30):
            batches(step)

    with BatchLoader(plan, 0, 1) as batches:
        batches(0)
        lose()
        with pytest.raises(error, match=rf"parquet {said}.*`atelier augment`") as raised:
            go_on(batches)
    assert "\n" not in str(raised.value)
    with pytest.raises(error, match=rf"parquet {said}"):
        BatchLoader(plan, 0, 1)


def test_the_time_spent_waiting_is_a_share(data: Path) -> None:
    with BatchLoader(make_plan(data), 0, 1) as batches:
        batches(0)
        assert 0 < batches.waited_share() <= 1
        assert batches.waited_share() == 0, "counted from the last call on"


NAMES = ("Young", "Male", "sky", "monet", "boat", "paintings")


def truth(domain: str, number: int) -> list[float]:
    if domain == "photos":
        return [float(number % 3 == 0), float(number % 2 == 0), float(number % 5 == 0), 0, 0, 0]
    return [0, 0, 0, float(number % 3 == 0), float(number % 4 == 0), 1]


def test_labels_come_with_their_pictures(data: Path, whole: list[Batch]) -> None:
    plan = make_plan(data, method_config=StarganConfig(attributes=NAMES))
    batches = read(plan, [0, 40, 3])
    assert_equal(batches, [whole[0], whole[40], whole[3]])
    for batch in batches:
        for domain, pictures, labels in (
            ("photos", batch.content, batch.content_labels),
            ("paintings", batch.style, batch.style_labels),
        ):
            assert labels is not None
            assert labels.dtype == torch.float32
            assert labels.tolist() == [truth(domain, number) for number in numbers(pictures)]
    fold = read(replace(plan, fold=(1, FOLDS)), [2])[0]
    assert fold.content_labels is not None
    assert fold.content_labels.tolist() == [truth("photos", number) for number in numbers(fold.content)]
    ranks = [read(plan, [9], rank, 2)[0] for rank in range(2)]
    one = read(plan, [9])[0]
    assert torch.equal(torch.cat([part.style_labels for part in ranks]), one.style_labels)  # type: ignore[arg-type, misc]


def test_other_methods_get_no_labels(data: Path, whole: list[Batch]) -> None:
    assert whole[0].content_labels is None
    assert whole[0].style_labels is None
    with BatchLoader(make_plan(data), 0, 1) as batches:
        batches(0)
        assert all(held.result().labels is None for held in batches.content._held.values())


def test_attributes_that_no_picture_has_are_named_with_those_there_are(data: Path) -> None:
    card = read_card(data)
    check_labels(data, card, ("photos", "paintings"), NAMES)
    with pytest.raises(ValueError, match="no picture has the attribute 'Bald': there are ") as raised:
        check_labels(data, card, ("photos", "paintings"), ("Male", "Bald"))
    there = {"Male", "Young", "boat", "dix", "goya", "monet", "paintings", "photos", "sky"}
    assert str(raised.value).endswith(": there are " + ", ".join(sorted(there)))
    with pytest.raises(ValueError, match="no picture has the attribute 'monet': there are Male, Young, photos, sky"):
        check_labels(data, card, ("photos",), ("monet",))
    with pytest.raises(ValueError, match="no attributes are named that the model shall learn: choose from Male,"):
        check_labels(data, card, ("photos",), ())


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ('{"a": true, "b": false, "c": 1, "d": 0, "e": -1, "f": null, "g": 0.5}', {"a", "c"}),
        ('{"a": "1", "b": "0", "c": "-1", "d": "true", "e": "No", "f": "", "g": "red"}', {"a", "d", "red"}),
        ('{"class": "monet", "categories": ["boat", "sky"]}', {"monet", "boat", "sky"}),
        ("{}", set()),
    ],
)
def test_what_is_true_of_a_picture(text: str, true: set[str]) -> None:
    names = sorted({*"abcdefg", "red", "monet", "boat", "sky", "class", "elsewhere"})
    (row,) = labels_of([text], names, "here").tolist()
    assert {name for name, value in zip(names, row, strict=True) if value} == true
    assert labels_of([text], ("here",), "here").tolist() == [[1.0]]
    assert labels_of([], names, "here").shape == (0, len(names))
