"""The index of a video: which frames it has, when each is shown, and where it is cut into chunks.

A chunk begins at a key frame where there is one in its second half, because encoders put key frames at scene changes;
the chunks follow from the file alone, so that any number of workers makes the same ones.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from atelier.models.settings import from_json
from atelier.tasks.images.codec import BadImage, ImageLimits, check_dimensions
from atelier.tasks.video.container import VideoFile, open_container, open_file, video_stream

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

CHUNK_BYTES, LEAST_FRAMES, MOST_FRAMES = 2**27, 8, 64  # pixels of a chunk, and its frames
SLICE = 500  # frames between two signs of life while a file is read
MISSING_SHARE, MISSING_S = 0.02, 0.5  # of the told duration, that may be missing at the end
HD_PX = 720  # height from which on untagged colours are those of BT.709: what players take
BT709, BT601 = 1, 6  # matrices, ITU-T H.273
UNSPECIFIED = (0, 2, 3)


@dataclass(frozen=True)
class VideoIndex:
    """What is known of a video after it was read once."""

    sha256: str  # of the file
    width: int  # of its upright frames, px
    height: int
    rotation: int  # degrees counter-clockwise that make its frames upright: 0, 90, 180 or 270
    time_base: tuple[int, int]  # seconds of one unit of time, as a fraction
    times: tuple[int, ...]  # when each frame is shown, in units
    keys: tuple[int, ...]  # numbers of the key frames
    last_units: int  # duration of the last frame
    seekable: bool  # whether its times name each frame
    interlaced: bool
    colours: tuple[int, int, int]  # primaries, transfer characteristics and matrix, ITU-T H.273
    pixel_aspect: tuple[int, int]  # width of a pixel relative to its height, of upright frames
    cuts: tuple[int, ...]  # first frame of each chunk

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average, rounded so that encoders take it."""
        whole = (self.times[-1] + self.last_units - self.times[0]) * Fraction(*self.time_base)
        return (self.frames / whole).limit_denominator(1001) if whole > 0 else Fraction(25)

    def chunk(self, number: int) -> range:
        """The frames of a chunk."""
        ends = (*self.cuts[1:], self.frames)
        return range(self.cuts[number], ends[number])

    def to_json(self) -> dict[str, Any]:
        """The index as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "VideoIndex":
        """The index from its JSON. Raises ValueError where it is damaged."""
        index = from_json(cls, values)
        if not index.times or index.cuts[:1] != (0,) or any(a >= b for a, b in pairwise((*index.cuts, index.frames))):
            raise ValueError("it has no frames or no chunks")
        return index


def read_index(file: VideoFile, limits: ImageLimits, *, salvage: bool = False) -> Iterator[VideoIndex | int]:
    """Read a video once, from its first frame to its last.

    Args:
        file: the video.
        limits: of a frame.
        salvage: take a video that is damaged or ends too early, up to what can be read.

    Yields:
        The number of frames so far, every `SLICE` frames; at last the index.

    Raises:
        BadImage: it cannot be read, has transparency or frames of several sizes, or (without `salvage`) is damaged;
            the message says what can be read.
    """
    sha256 = _sha256(file)
    with open_container(file) as container:
        stream = video_stream(container)
        context = stream.codec_context
        check_dimensions(context.width, context.height, limits)
        if context.pix_fmt and ("yuva" in context.pix_fmt or "gbrap" in context.pix_fmt or "rgba" in context.pix_fmt):
            raise BadImage("the video is transparent, which is not painted")
        if stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE", "0")) not in ("", "0"):
            raise BadImage("the video is transparent, which is not painted")
        reading = _Reading()
        for packet in container.demux([s for s in container.streams if s.type in ("video", "audio")]):
            if packet.stream is not stream:
                reading.ended(packet)
                continue
            before = len(reading.times) // SLICE
            reading.take(packet)
            if len(reading.times) // SLICE != before:
                yield len(reading.times)
        told = container.duration / 1e6 if container.duration else 0.0
        if not reading.times:
            raise BadImage("the video has no frame that can be read")
        if (problem := reading.problem(told)) and not salvage:
            raise BadImage(f"{problem}: {len(reading.times)} frames can be read, and --salvage paints these")
        time_base, aspect = stream.time_base or Fraction(1, 1000), stream.sample_aspect_ratio or Fraction(1)
    yield reading.index(sha256, time_base, aspect)


class _Reading:
    """What was seen of a file so far."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.untimed = False
        self.keys: list[int] = []
        self.interlaced = self.damaged = 0
        self.first: VideoFrame | None = None
        self.last_units = 0
        self.end_s = 0.0  # of the last packet of any stream

    def ended(self, packet: Any) -> None:
        """Note when a packet ends."""
        if packet.pts is not None and packet.time_base:
            self.end_s = max(self.end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))

    def take(self, packet: Any) -> None:
        """Decode a packet of the video."""
        import av

        self.ended(packet)
        self.damaged += bool(packet.is_corrupt)
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            self.damaged += 1
            return
        for frame in frames:
            self._add(frame)

    def _add(self, frame: "VideoFrame") -> None:
        self.first = self.first or frame
        if (frame.width, frame.height) != (self.first.width, self.first.height):
            raise BadImage(
                f"its frames have several sizes: {self.first.width} × {self.first.height}, then {frame.width} × "
                f"{frame.height} from frame {len(self.times)} on"
            )
        self.untimed = self.untimed or frame.pts is None or bool(self.times and frame.pts <= self.times[-1])
        self.times.append(frame.pts if frame.pts is not None else len(self.times))
        if frame.key_frame:
            self.keys.append(len(self.times) - 1)
        self.interlaced += bool(frame.interlaced_frame)
        self.damaged += bool(frame.is_corrupt)
        self.last_units = frame.duration or 0

    def problem(self, told_s: float) -> str:
        """What is wrong with the file, "" where nothing is."""
        if self.damaged:
            return "the video is damaged"
        if self.end_s < told_s * (1 - MISSING_SHARE) - MISSING_S:
            return f"the video ends after {self.end_s:.1f} of {told_s:.1f} seconds"
        return ""

    def index(self, sha256: str, time_base: Fraction, aspect: Fraction) -> VideoIndex:
        """The index, after the last packet."""
        assert self.first is not None
        first, times = self.first, self.times
        steps = sorted(b - a for a, b in pairwise(times))
        usual = steps[len(steps) // 2] if steps else self.last_units or max(1, round(1 / (25 * time_base)))
        if self.untimed:  # the order is what is left
            usual = max(1, usual)
            times = [usual * index for index in range(len(times))]
        rotation = round(first.rotation) % 360
        if rotation % 90:
            raise BadImage(f"its frames are turned by {rotation} degrees; quarters of a turn are read")
        turned = rotation in (90, 270)
        width, height = (first.height, first.width) if turned else (first.width, first.height)
        tags = int(first.color_primaries), int(first.color_trc), matrix_of(first)
        aspect = aspect if aspect > 0 else Fraction(1)
        aspect = 1 / aspect if turned else aspect
        return VideoIndex(
            sha256, width, height, rotation, (time_base.numerator, time_base.denominator), tuple(times),
            tuple(self.keys) or (0,), self.last_units if self.last_units > 0 else usual, not self.untimed,
            2 * self.interlaced > len(times), tags, (aspect.numerator, aspect.denominator),
            tuple(cut(len(times), self.keys, width * height)),
        )  # fmt: skip


def matrix_of(frame: "VideoFrame") -> int:
    """The matrix of a frame's colours, ITU-T H.273; of untagged ones what players take."""
    matrix = int(frame.colorspace)
    if matrix in UNSPECIFIED:
        return BT709 if frame.height >= HD_PX else BT601
    return matrix


def cut(frames: int, keys: Sequence[int], pixels: int) -> list[int]:
    """The first frame of each chunk.

    Args:
        frames: of the video.
        keys: numbers of its key frames, ascending.
        pixels: of a frame.
    """
    most = max(LEAST_FRAMES, min(MOST_FRAMES, CHUNK_BYTES // (3 * pixels)))
    cuts = [0]
    while frames - cuts[-1] > most:
        latest = cuts[-1] + most
        index = bisect_right(keys, latest)
        key = keys[index - 1] if index else 0
        cuts.append(key if key - cuts[-1] >= most / 2 else latest)
    return cuts


def _sha256(file: VideoFile) -> str:
    with open_file(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
