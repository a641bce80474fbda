"""CIFAR's binary version: batches of fixed-size records, one or two label bytes and 32 × 32 pixels, plane by plane.

Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"; https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from atelier.tasks.images.codec import BadImage, encode

SIDE = 32  # pixels
PIXELS = 3 * SIDE * SIDE
COARSE_AND_FINE = ("train.bin", "test.bin")  # CIFAR-100
BATCHES = frozenset({*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", *COARSE_AND_FINE})
PICKLES = frozenset({*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"})
LABELS = ("batches.meta.txt", "coarse_label_names.txt", "fine_label_names.txt")


def read_labels(batch: str, data: bytes, names: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """The labels of each record of a batch, by `names`: the lines of the files of `LABELS` that exist.

    Raises:
        ValueError: the batch does not consist of whole records.
    """
    labels = len(_labels(batch))
    if not data or len(data) % (PIXELS + labels):
        raise ValueError(f"{batch} is damaged: its {len(data):,} bytes are not whole records of {PIXELS + labels:,}")
    values = np.frombuffer(data, np.uint8).reshape(-1, PIXELS + labels)[:, :labels]
    for record in values.tolist():
        labelled = {}
        for (key, file), value in zip(_labels(batch), record, strict=True):
            known = names.get(file, ())
            labelled[key] = known[value] if value < len(known) and known[value] else str(value)
        yield labelled


def picture(batch: str, data: bytes, record: int) -> bytes:
    """One record as a PNG file. Raises BadImage where the batch ends before this record does."""
    labels = len(_labels(batch))
    start = record * (PIXELS + labels) + labels
    planes = np.frombuffer(data[start : start + PIXELS], np.uint8)
    if planes.size < PIXELS:
        raise BadImage("the batch ends before this record")
    return encode(np.ascontiguousarray(planes.reshape(3, SIDE, SIDE).transpose(1, 2, 0)), "png")


def _labels(batch: str) -> list[tuple[str, str]]:
    """Attribute of each label byte of a record, and the file with the names of its values."""
    if batch in COARSE_AND_FINE:
        return [("superclass", LABELS[1]), ("class", LABELS[2])]
    return [("class", LABELS[0])]
