"""Chunks of videos in a bulk job: their names and files, and the two tasks before and after they are painted.

A video is read once, which gives its index and its chunks; workers paint chunks like pictures; when all are there they
are joined. Chunks and indexes lie in `_atelier/chunks/` meanwhile.
"""

import hashlib
import json
import mmap
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from atelier.tasks.bulk.crash_markers import FILE_BYTES, markers_of
from atelier.tasks.bulk.ledger import Ledger, LedgerRow
from atelier.tasks.bulk.messages import ENTRY_FIELDS, ChunkFrames, JobSpec, StylizedInput, Task
from atelier.tasks.images.codec import BadImage, Pixels
from atelier.tasks.images.formats import output_format
from atelier.tasks.images.metadata import Metadata
from atelier.tasks.images.provenance import xmp_packet
from atelier.tasks.images.reader import DecodedImage, Frame
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.input_limits import InputLimits, input_size, limits_for
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.storage.destination import TEMPORARY_PREFIX, Destination
from atelier.tasks.storage.local_folder import LocalFolder
from atelier.tasks.storage.open_destination import open_destination
from atelier.tasks.video.container import video_file
from atelier.tasks.video.encode import encode_chunk, encoder_version
from atelier.tasks.video.frames import read_frames
from atelier.tasks.video.index import VideoIndex, read_index
from atelier.tasks.video.join import join
from atelier.tasks.video.steady import MARGIN, steady

CHUNKS = "chunks"  # folder of chunks and indexes, below the job's own


def chunk_name(video: str, number: int) -> str:
    """The input of a chunk in tasks and in the ledger."""
    return f"{video}/chunk {number:05d}"


def video_of(chunk: str) -> str:
    """The video of a chunk, by its name."""
    return chunk.rpartition("/chunk ")[0]


def _tag(video: str) -> str:
    return hashlib.sha256(video.encode("utf-8", "backslashreplace")).hexdigest()[:24]


def chunk_file(video: str, number: int) -> str:
    """The file of a chunk, relative to the destination."""
    return f"{RESERVED}/{CHUNKS}/{_tag(video)}-{number:05d}.mkv"


def index_file(video: str) -> str:
    """The file of a video's index, relative to the destination."""
    return f"{RESERVED}/{CHUNKS}/{_tag(video)}.json"


@lru_cache(maxsize=8)
def load_index(destination: str, video: str, stamp: str) -> VideoIndex:
    """The index of a video that is being painted. Raises ValueError where it is gone, damaged or of another file."""
    index = stored_index(open_destination(destination), video, stamp)
    if index is None:
        raise ValueError("its index is gone or damaged: run the same command again")
    return index


def stored_index(destination: Destination, video: str, stamp: str) -> VideoIndex | None:
    """The index that is stored of a video with this stamp, None where there is none that can be used."""
    try:
        found = json.loads(destination.read(index_file(video)))
        return VideoIndex.from_json(found["index"]) if found["stamp"] == stamp else None
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return None


def read_chunk(task: Task, spec: JobSpec, limits: InputLimits) -> tuple[DecodedImage, ChunkFrames]:
    """The frames of a chunk, with the neighbours that steadiness needs. Raises BadImage, ValueError."""
    index = load_index(str(spec.destination), video_of(task.input), task.stamp)
    assert task.chunk is not None
    own, reach = index.chunk(task.chunk), MARGIN if spec.config.video.steadiness else 0
    wanted = range(max(0, own.start - reach), min(index.frames, own.stop + reach))
    file, size = video_file(task.entry, limits.max_bytes), input_size(spec.config, limits.scale)
    frames = [Frame(pixels, None, "RGB", None, 0.0) for pixels in read_frames(file, index, wanted, size)]
    chunk = ChunkFrames(index, range(own.start - wanted.start, own.stop - wanted.start))
    return DecodedImage(tuple(frames), Metadata()), chunk


def encode(stylized: StylizedInput, config: StylizeConfig) -> bytes:
    """The file of a chunk. Raises ValueError."""
    chunk = stylized.decoded.chunk
    assert chunk is not None
    source, painted = (cast("list[Pixels]", frames) for frames in (stylized.decoded.frames, stylized.frames))  # 8 bits
    frames = steady(source, painted, config.video.steadiness, chunk.own)
    return encode_chunk(list(frames), chunk.index, config.video, config.quality)


def store_index(task: Task, spec: JobSpec) -> str:
    """Read a video once and store its index, in a Ray task; the reason where it cannot be read."""
    markers = markers_of(spec, "read")
    limits = limits_for(spec.config, *spec.plans)
    try:
        with markers.step("read", task.input, factor=task.entry.size / FILE_BYTES):
            file = video_file(task.entry, limits.max_bytes)
            reading = read_index(file, limits, salvage=spec.config.salvage)
            found = next(reading)
        while not isinstance(found, VideoIndex):
            with markers.step("decode", task.input):
                found = next(reading)
    except BadImage as error:
        return str(error)
    write_index(task, spec, found)
    return ""


def write_index(task: Task, spec: JobSpec, index: VideoIndex) -> None:
    """Store the index of a video."""
    content = {"stamp": stamp_of(task, spec), "index": index.to_json()}
    data = json.dumps(content, separators=(",", ":")).encode()
    open_destination(spec.destination).write(index_file(task.input), data)


def chunk_task(task: Task, spec: JobSpec, index: VideoIndex, number: int) -> dict[str, Any]:
    """The task of a chunk, a row of `TASK_SCHEMA`."""
    pixels = index.width * index.height * len(index.chunk(number))
    own = {"input": chunk_name(task.input, number), "output": chunk_file(task.input, number)}
    of_video = {name: getattr(task.entry, name) for name in ENTRY_FIELDS}
    return own | {"stamp": stamp_of(task, spec), "chunk": number, "pixels": pixels} | of_video


def stamp_of(task: Task, spec: JobSpec) -> str:
    """What a chunk depends on besides the parameters of the job: the file, and the encoder."""
    return f"{task.stamp} {encoder_version(spec.config.video)}"


def join_chunks(task: Task, spec: JobSpec) -> LedgerRow:
    """Join the chunks of a video, commit the output, record it and remove the chunks, in a Ray task.

    Returns:
        The row of the video; in state "pending", which stops the job, it is not recorded.
    """
    destination = open_destination(spec.destination)
    markers = markers_of(spec, "write")
    attempt = f"{spec.attempt}-{uuid.uuid4().hex[:8]}"
    index = load_index(str(spec.destination), task.input, stamp_of(task, spec))
    names = [chunk_file(task.input, number) for number in range(len(index.cuts))]
    factor = max(task.entry.size, sum(destination.sizes(names))) / FILE_BYTES
    try:
        with markers.step("write", task.input, factor=factor), _working_file(destination, attempt) as file:
            chunks = (destination.read(name) for name in names)
            source = video_file(task.entry, limits_for(spec.config, *spec.plans).max_bytes)
            format, strip = output_format(task.input, "keep"), spec.config.metadata == "strip"
            made = spec.provenance(index.sha256)
            xmp = xmp_packet(replace(made, parameters=made.parameters | {"video": asdict(spec.config.video)}))
            left_out = "; ".join(join(chunks, source, index, file, format, xmp, strip=strip))
            with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
                size, sha256 = len(data), hashlib.sha256(data).hexdigest()
                destination.commit(task.output, data, attempt)
            destination.sync([task.output])
    except ValueError as error:
        row = spec.quarantined(task, "write", str(error), index.sha256)
    except OSError as error:
        return spec.stopped(task.input, error)
    else:
        note = left_out and f"left out: {left_out}"
        hashes = (index.sha256, sha256, size)
        row = LedgerRow(task.input, "done", task.output, "", note, task.stamp, *hashes, attempt=spec.attempt)
    Ledger(destination / RESERVED / "ledger").append([row])
    if row.state == "done":
        destination.remove([*names, index_file(task.input)])
    return row


@contextmanager
def _working_file(destination: Destination, attempt: str) -> Iterator[Path]:
    """A file for the joined video: beside the chunks, where leftovers are removed, or a temporary one."""
    with tempfile.TemporaryDirectory() as folder:
        place = destination.root / RESERVED / CHUNKS if isinstance(destination, LocalFolder) else Path(folder)
        file = place / f"{TEMPORARY_PREFIX}{attempt}-joined.tmp"
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)
