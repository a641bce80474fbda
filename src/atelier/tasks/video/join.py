"""Joining: the chunks of a video and the sound, subtitles and chapters of its source, in one container.

Nothing is encoded again: packets are copied, and each frame is shown when the source's frame was.
"""

import heapq
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier.tasks.images.codec import BadImage
from atelier.tasks.runtime.errors import short_line
from atelier.tasks.video.container import VideoFile, open_container, video_stream
from atelier.tasks.video.index import VideoIndex

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

MUXERS = {"mp4": "mp4", "mkv": "matroska", "webm": "webm"}
COPIED = ("audio", "subtitle")
PROVENANCE = "XMP"  # key of the provenance in the container's metadata


def join(
    chunks: Iterable[bytes],
    source: VideoFile,
    index: VideoIndex,
    out: Path,
    format: str,
    xmp: bytes,
    *,
    strip: bool = False,
) -> list[str]:
    """Write a video of encoded chunks with what else its source holds.

    Args:
        chunks: all of them, in order, as `encode.encode_chunk` made them.
        source: the video that they were painted from.
        index: of the source.
        out: the file, of any name.
        format: a key of `MUXERS`.
        xmp: the provenance, an XMP packet.
        strip: leave the source's titles and other metadata out.

    Returns:
        What was left out of the source, a text each.

    Raises:
        BadImage: the source cannot be read any more.
        ValueError: the container cannot hold a stream of the source.
    """
    import av

    muxer = MUXERS[format]
    flags = {"movflags": "+faststart+use_metadata_tags"} if muxer == "mp4" else {}
    with open_container(source) as given:
        picture = video_stream(given)
        others = [s for s in given.streams if s is not picture and s.type in COPIED]
        left_out = [f"a stream of {s.type}" for s in given.streams if s is not picture and s.type not in COPIED]
        if given.chapters() and "a stream of data" in left_out:  # of an MP4: the titles of its chapters
            left_out.remove("a stream of data")
        try:
            with av.open(out, "w", format=muxer, container_options={"fflags": "+bitexact", **flags}) as made:
                if not strip:
                    made.metadata.update({key: value for key, value in given.metadata.items() if key not in _OWN})
                    made.set_chapters(given.chapters())
                made.metadata[PROVENANCE] = xmp.decode()
                _mux(made, chunks, index, given, others, strip=strip)
        except (av.FFmpegError, ValueError) as error:
            kinds = ", ".join(s.codec_context.name for s in others if s.codec_context)
            with_them = f" with {kinds}" if kinds else ""
            raise ValueError(f"cannot be written as {format}{with_them}: {short_line(error)}") from error
    return left_out


_OWN = frozenset(
    ("major_brand", "minor_version", "compatible_brands", "encoder", "ENCODER", "creation_time", PROVENANCE)
)


def _mux(
    made: "OutputContainer", chunks: Iterable[bytes], index: VideoIndex, given: Any, others: list[Any], *, strip: bool
) -> None:
    """Copy all packets, ordered by time, so that no stream waits in memory."""
    unit = Fraction(*index.time_base)
    pieces = _packets(chunks)
    first = next(pieces)
    stream = made.add_stream_from_template(first.stream, opaque=True)
    stream.time_base = unit
    stream.sample_aspect_ratio = Fraction(*index.pixel_aspect)
    into = {}
    for other in others:
        into[other.index] = copy = made.add_stream_from_template(other)
        copy.time_base = other.time_base
        if not strip:
            copy.metadata.update({key: value for key, value in other.metadata.items() if key not in _OWN})

    def shown() -> Iterator[tuple[float, int, "Packet[VideoStream]"]]:
        times = (*index.times, index.times[-1] + index.last_units)
        number = -1
        for number, packet in enumerate(chain((first,), pieces)):
            if number == index.frames:
                raise BadImage(f"its chunks have more than {index.frames} frames")
            packet.stream, packet.time_base = stream, unit
            packet.pts = packet.dts = times[number]
            packet.duration = times[number + 1] - times[number]
            yield float(times[number] * unit), 0, packet
        if number + 1 != index.frames:
            raise BadImage(f"its chunks have {number + 1} of {index.frames} frames")

    def copied() -> Iterator[tuple[float, int, "Packet[VideoStream]"]]:
        at = 0.0
        for packet in given.demux(others) if others else ():
            if packet.size and packet.pts is not None:
                time = packet.pts if packet.dts is None else packet.dts
                at = max(at, float(time * packet.time_base))
                order = 1 + packet.stream.index
                packet.stream = into[packet.stream.index]
                yield at, order, packet

    for _, _, packet in heapq.merge(shown(), copied(), key=lambda one: one[:2]):
        made.mux(packet)


def _packets(chunks: Iterable[bytes]) -> Iterator["Packet[VideoStream]"]:
    """The packets of all chunks, one for each frame."""
    for chunk in chunks:
        with open_container(chunk) as container:
            yield from (packet for packet in container.demux(video=0) if packet.size)


def read_provenance(file: VideoFile) -> bytes | None:
    """The XMP packet of a video, None where it has none. Raises BadImage where it is no video."""
    with open_container(file) as container:
        found = container.metadata.get(PROVENANCE) or container.metadata.get(PROVENANCE.lower())
    return found.encode() if found else None
