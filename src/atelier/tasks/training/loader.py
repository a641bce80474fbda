"""The data loader of training: pictures streamed from the training set's Parquet shards.

The order of pictures is a function of the seed (`atelier.models.sampler`). A window of encoded pictures of each domain
is in memory and the next one is read behind it; batches are decoded before they are asked for.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from atelier.models.distributed import rank_places
from atelier.models.methods.base import Batch
from atelier.models.sampler import Order
from atelier.tasks.dataset import shards
from atelier.tasks.dataset.labels import Labels, labels_of
from atelier.tasks.images import codec
from atelier.tasks.training.plan import TrainingPlan

_AHEAD = 4  # batches that are decoded before they are asked for
_EXAMPLES = 8  # pictures that show how the training goes


@dataclass(frozen=True)
class Encoded:
    """The encoded pictures of a row group, in memory."""

    files: Any  # pyarrow's ChunkedArray of image files: compact, and copied only when decoded
    labels: Labels | None  # (N, A) of all its rows, where they are needed


@dataclass(frozen=True)
class RowGroup:
    """A Parquet row group: pictures that are read at once."""

    path: Path  # of the shard
    index: int  # in the shard
    rows: Sequence[int]  # those that are used
    domain: str
    names: tuple[str, ...] = ()  # of the labels that are read with the pictures

    def read(self) -> Encoded:
        """The encoded pictures of all its rows, with their labels where any are needed.

        Raises:
            FileNotFoundError: the shard is gone.
            ValueError: the shard is damaged.
        """
        attributes = _column(self.path, self.index, "attributes").to_pylist() if self.names else []
        labels = labels_of(attributes, self.names, self.domain) if self.names else None
        return Encoded(_column(self.path, self.index, "image.bytes"), labels)

    def decode(self, encoded: Encoded, row: int) -> codec.Pixels:
        """The picture (H, W, 3) at a place in `rows`, of what `read` returned.

        Raises:
            ValueError: it is damaged.
        """
        try:
            return codec.decode(encoded.files[self.rows[row]].as_py())
        except codec.BadImage as error:
            where = f"row {self.rows[row]} of row group {self.index}"
            raise ValueError(f"{self.path} is damaged: {where}: {error}: run `atelier augment` again") from error


def row_groups(
    folder: Path,
    card: shards.Card,
    domain: str,
    fold: tuple[int, int] | None = None,
    names: tuple[str, ...] = (),
    split: str = "train",
) -> list[RowGroup]:
    """The row groups of a domain, in the card's order, none without a picture.

    Args:
        fold: (k, K) leaves out the pictures whose group falls in fold k of K.

    Raises:
        FileNotFoundError: a shard is missing.
        ValueError: a shard is damaged, or no picture is left.
    """
    groups = []
    for shard in shards.select(card.shards, domain, split):
        path = folder / shard.file
        for index, count in enumerate(_row_counts(path)):
            rows: Sequence[int] = range(count)
            if fold:
                k, folds = fold
                parents = _column(path, index, "group").to_pylist()
                rows = [row for row in rows if shards.fold_of(parents[row], folds) != k]
            if rows:
                groups.append(RowGroup(path, index, rows, domain, names))
    if not groups:
        left = f" outside fold {fold[0]} of {fold[1]}: use fewer folds" if fold else ""
        left = left or ("" if split == "train" else ", held out: set augment.held_out to true")
        raise ValueError(f"{folder} has no pictures of {domain}{left}")
    return groups


class Stream:
    """The pictures of one domain, read window by window by a thread of its own."""

    def __init__(self, groups: Sequence[RowGroup], order: Order) -> None:
        self.groups, self.order = groups, order
        self._reader = ThreadPoolExecutor(1, "read")
        self._held: dict[int, Future[Encoded]] = {}

    def hold(self, positions: range) -> None:
        """Keep the windows of these positions in memory, and read one window ahead; drop the windows before them."""
        wanted: dict[int, None] = {}
        position, windows = positions.start, 0
        while (windows < 2 or position < positions.stop) and len(wanted) < len(self.groups):
            window = self.order.window(position)
            wanted |= dict.fromkeys(window.groups.tolist())
            position, windows = window.stop, windows + 1
        for group in self._held.keys() - wanted.keys():
            self._held.pop(group).cancel()
        for group in wanted:
            if group not in self._held:
                self._held[group] = self._reader.submit(self.groups[group].read)

    def pictures(self, positions: range) -> list[tuple[RowGroup, Future[Encoded], int]]:
        """For each position that is held: the row group, its encoded pictures, and the row."""
        return [(self.groups[group], self._held[group], row) for group, row in self.order.pictures(positions)]

    def rows_held(self) -> int:
        """Encoded pictures in memory, or on their way to it."""
        return sum(len(self.groups[group].rows) for group in self._held)

    def close(self) -> None:
        """Stop reading."""
        self._reader.shutdown(cancel_futures=True)


class BatchLoader:
    """The batch of a step: a function of (seed, step, place in the global batch); a rank decodes its own places.

    Args:
        device: where the training computes; batches for a GPU are pinned, so that copying them does not wait.

    Raises:
        FileNotFoundError: the training set or one of its shards is missing.
        ValueError: a shard is damaged, a domain has no picture, or there are more ranks than places.
    """

    def __init__(self, plan: TrainingPlan, rank: int, world_size: int, device: torch.device | str = "cpu") -> None:
        card = shards.read_card(plan.data)
        self._batch_size = plan.loop.batch_size
        self._places = rank_places(rank, world_size, self._batch_size)
        self.content, self.style = (
            Stream(groups, Order(plan.loop.seed, role, [len(group.rows) for group in groups], plan.shuffle_rows))
            for role, domain in (("content", plan.content), ("style", plan.style))
            for groups in [row_groups(plan.data, card, domain, plan.fold, plan.method_config.labels or ())]
        )
        self._pinned = torch.device(device).type == "cuda"
        # a training on CPUs needs them itself; one on a GPU leaves them idle
        self._decoders = ThreadPoolExecutor(_AHEAD if self._pinned else 1, "decode")
        self._ahead: dict[int, Future[Batch]] = {}
        self._waited, self._since = 0.0, time.monotonic()

    def __call__(self, step: int) -> Batch:
        """This rank's part of the batch of a step: any step, in any order, fastest in sequence."""
        started = time.monotonic()
        wanted = range(step, step + _AHEAD + 1)
        for other in self._ahead.keys() - set(wanted):
            self._ahead.pop(other).cancel()
        for stream in (self.content, self.style):
            stream.hold(range(self._positions(wanted[0]).start, self._positions(wanted[-1]).stop))
        for s in wanted:
            if s not in self._ahead:
                content, style = (stream.pictures(self._positions(s)) for stream in (self.content, self.style))
                self._ahead[s] = self._decoders.submit(self._decode, content, style)
        batch = self._ahead.pop(step).result()
        self._waited += time.monotonic() - started
        return batch

    def waited_share(self) -> float:
        """Share of the time since the last call that was spent waiting for pictures, 0…1."""
        now = time.monotonic()
        share = self._waited / max(now - self._since, 1e-9)
        self._waited, self._since = 0.0, now
        return share

    @cached_property
    def examples(self) -> torch.Tensor:
        """Pictures from all over the content domain, always the same: uint8 (B, 3, H, W)."""
        return examples(self.content.groups)

    @cached_property
    def style_examples(self) -> torch.Tensor:
        """The same of the style domain."""
        return examples(self.style.groups)

    def _positions(self, step: int) -> range:
        """Of this rank's pictures in a step."""
        first = step * self._batch_size
        return range(first + self._places.start, first + self._places.stop)

    def _decode(self, *pictures: list[tuple[RowGroup, "Future[Encoded]", int]]) -> Batch:
        content, style = (
            _stacked(group.decode(encoded.result(), row) for group, encoded, row in rows) for rows in pictures
        )
        if self._pinned:
            content, style = content.pin_memory(), style.pin_memory()
        return Batch(content, style, *(_labels(rows) for rows in pictures))

    def __enter__(self) -> "BatchLoader":
        """This source of batches."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads."""
        for stream in (self.content, self.style):
            stream.close()
        self._decoders.shutdown(cancel_futures=True)


def examples(groups: Sequence[RowGroup], most: int = _EXAMPLES) -> torch.Tensor:
    """A few pictures from all over their groups, always the same: uint8 (B, 3, H, W)."""
    sizes = np.array([len(group.rows) for group in groups])
    starts, total = np.cumsum(sizes) - sizes, int(sizes.sum())
    count = min(most, total)
    chosen = np.arange(count) * total // count
    members = np.searchsorted(starts, chosen, "right") - 1
    found = zip(members.tolist(), (chosen - starts[members]).tolist(), strict=True)
    return _stacked(groups[member].decode(groups[member].read(), row) for member, row in found)


def _stacked(pictures: Iterable[codec.Pixels]) -> torch.Tensor:
    """Pictures (H, W, 3) of one size as uint8 (B, 3, H, W)."""
    decoded = list(pictures)
    batch = np.empty((len(decoded), 3, *decoded[0].shape[:2]), np.uint8)
    # by NumPy: torch would start threads beside those that train
    np.stack([picture.transpose(2, 0, 1) for picture in decoded], out=batch)
    return torch.from_numpy(batch)


def _labels(pictures: list[tuple[RowGroup, "Future[Encoded]", int]]) -> torch.Tensor | None:
    """The labels of pictures, (B, A), where any are needed."""
    if not pictures[0][0].names:
        return None
    found = [(encoded.result().labels, group.rows[row]) for group, encoded, row in pictures]
    return torch.from_numpy(np.stack([labels[row] for labels, row in found if labels is not None]))


def _row_counts(path: Path) -> list[int]:
    """Rows of each row group of a shard."""
    with _clear_errors(path), pq.ParquetFile(path) as file:
        return [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]


def _column(path: Path, index: int, name: str) -> Any:
    """One column of a row group of a shard; nothing else of it is read."""
    with _clear_errors(path), pq.ParquetFile(path) as file:
        return file.read_row_group(index, columns=[name], use_threads=False).flatten().column(0)


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Errors of a shard with its path, and what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing: run `atelier augment` again") from error
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} cannot be read ({' '.join(str(error).split())}): run `atelier augment` again"
        ) from error
