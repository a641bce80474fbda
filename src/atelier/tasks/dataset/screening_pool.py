"""Screening on Ray's workers, with results in the order of the pictures."""

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from itertools import islice

import pyarrow as pa

from atelier.tasks.dataset.screening import UNREADABLE, Prepared, ScreenConfig, prepare
from atelier.tasks.runtime.process_watch import ProcessWatch
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.open_source import source_class

Prepare = Callable[[Entry, ScreenConfig], Prepared]
# for one picture, until its worker is killed: its decoder or its mount hangs, or the worker is stopped; and for so many
# bytes before it in a compressed archive
PICTURE_S, PICTURE_BYTES = 300.0, 2**31
BLOCK_ROWS = 64  # pictures in one task at most; its result holds as many shrunken pictures


def prepare_all(
    entries: Sequence[Entry], config: ScreenConfig, prepare: Prepare = prepare, timeout_s: float = PICTURE_S
) -> Iterator[Prepared]:
    """Prepare pictures on the cluster that this process is connected to.

    A picture that kills its worker, or takes too long, each time that it is tried is unreadable, and the others go on.
    """
    import ray  # slow to import

    prepare = partial(_in_time, prepare=prepare, timeout_s=timeout_s)

    position = 0
    while position < len(entries):
        try:
            for prepared in _stream(entries[position:], config, prepare):
                yield prepared
                position += 1
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
            # results come in order, so the picture that crashed is among the next: each gets a process of its own
            for entry in entries[position : position + BLOCK_ROWS]:
                yield _alone(entry, config, prepare, timeout_s)
                position += 1


def _stream(entries: Sequence[Entry], config: ScreenConfig, prepare: Prepare) -> Iterator[Prepared]:
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it logs every run to the console
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    rows = max(1, min(BLOCK_ROWS, -(-len(entries) // (4 * cpus))))
    remaining = iter(entries)
    blocks = []
    while block := [json.dumps(asdict(entry)) for entry in islice(remaining, rows)]:
        blocks.append(pa.table({"entry": block}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Ray has no successor for `max_retries` here yet
        # tasks, not actors: there is no state, and actors that hold every CPU would hang the job
        prepared = ray.data.from_arrow(blocks).map_batches(
            partial(_prepare_block, config=config, prepare=prepare),
            batch_size=None,  # a block is a batch
            batch_format="pyarrow",
            max_retries=2,  # unlimited by default: a picture that kills its worker would block the rest
        )
    prepared.context.enable_progress_bars = False  # its own copy
    prepared.context.execution_options.preserve_order = True
    for batch in prepared.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in batch.to_pylist():
            yield Prepared(**row)


def _prepare_block(block: pa.Table, config: ScreenConfig, prepare: Prepare) -> pa.Table:
    entries = [Entry(**json.loads(text)) for text in block["entry"].to_pylist()]
    return pa.Table.from_pylist([asdict(prepare(entry, config)) for entry in entries], schema=Prepared.SCHEMA)


@lru_cache(maxsize=1)
def _watch(timeout_s: float) -> ProcessWatch:
    """The watch of this worker."""
    return ProcessWatch(timeout_s)


def _in_time(entry: Entry, config: ScreenConfig, prepare: Prepare, timeout_s: float) -> Prepared:
    before = 0 if entry.problem else source_class(entry).bytes_before(entry)
    with _watch(timeout_s).operation(entry.name, timeout_s * (1 + before / PICTURE_BYTES)):
        return prepare(entry, config)


def _alone(entry: Entry, config: ScreenConfig, prepare: Prepare, timeout_s: float) -> Prepared:
    import ray

    begun = time.monotonic()

    def prepare_one(entry: Entry, config: ScreenConfig) -> Prepared:
        return prepare(entry, config)

    try:
        task = ray.remote(prepare_one).options(max_retries=1)
        prepared: Prepared = ray.get(task.remote(entry, config))
        return prepared
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        slow = time.monotonic() - begun > 2 * timeout_s
        return Prepared(
            UNREADABLE, f"took longer than {timeout_s:.0f} s, twice" if slow else "crashed the decoder twice"
        )
