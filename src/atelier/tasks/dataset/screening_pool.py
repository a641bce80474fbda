"""Pictures read, decoded and screened on Ray's workers, in the order in which they are asked for."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice

import pyarrow as pa

from atelier.tasks.dataset.screening import UNREADABLE, Prepared, ScreenConfig, prepare
from atelier.tasks.storage.entry import Entry

Prepare = Callable[[Entry, ScreenConfig], Prepared]
BLOCK_ROWS = 64  # at most, in one task: results of a task are at most so many shrunken pictures


def prepare_all(entries: Sequence[Entry], config: ScreenConfig, prepare: Prepare = prepare) -> Iterator[Prepared]:
    """Prepare pictures on the cluster that this process is connected to.

    A picture that kills its worker, each time that it is tried, is unreadable, and the others go on.
    """
    import ray  # slow to import, and this module's callers hold parameters that every command reads

    position = 0
    while position < len(entries):
        try:
            for prepared in _stream(entries[position:], config, prepare):
                yield prepared
                position += 1
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
            # results come in order, so what crashed is near: the next pictures get a process each
            for entry in entries[position : position + BLOCK_ROWS]:
                yield _alone(entry, config, prepare)
                position += 1


def _stream(entries: Sequence[Entry], config: ScreenConfig, prepare: Prepare) -> Iterator[Prepared]:
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it announces every run on the console
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    rows = max(1, min(BLOCK_ROWS, -(-len(entries) // (4 * cpus))))
    remaining = iter(entries)
    blocks = []
    while block := [json.dumps(asdict(entry)) for entry in islice(remaining, rows)]:
        blocks.append(pa.table({"entry": block}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Ray has no successor for `max_retries` here yet
        # tasks, not actors: nothing needs to stay, and actors that hold every CPU would hang the job
        prepared = ray.data.from_arrow(blocks).map_batches(
            partial(_prepare_block, config=config, prepare=prepare),
            batch_size=None,  # a block is a batch
            batch_format="pyarrow",
            max_retries=2,  # by default without end, and a picture that kills its worker would stop everything
        )
    prepared.context.enable_progress_bars = False  # its own copy
    prepared.context.execution_options.preserve_order = True
    for batch in prepared.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in batch.to_pylist():
            yield Prepared(**row)


def _prepare_block(block: pa.Table, config: ScreenConfig, prepare: Prepare) -> pa.Table:
    entries = [Entry(**json.loads(text)) for text in block["entry"].to_pylist()]
    return pa.Table.from_pylist([asdict(prepare(entry, config)) for entry in entries], schema=Prepared.SCHEMA)


def _alone(entry: Entry, config: ScreenConfig, prepare: Prepare) -> Prepared:
    import ray

    try:
        task = ray.remote(prepare).options(max_retries=1)
        prepared: Prepared = ray.get(task.remote(entry, config))
        return prepared
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        return Prepared(UNREADABLE, "crashed the decoder twice")
