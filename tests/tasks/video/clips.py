"""Videos that tests make: a moving square, with what real files have besides."""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream

TICK = Fraction(1, 12800)
RATE = 25
HALF_SECOND = 24000  # samples


def frame_pixels(number: int, width: int = 64, height: int = 48) -> Any:
    """A frame (height, width, 3): a bright square that moves over a slope, and colours that change slowly."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(20, 120, width)[None]
    pixels[..., 1] = np.linspace(60, 160, height)[:, None]
    pixels[..., 2] = 40 + number % 100
    left = (3 * number) % (width - 12)
    pixels[10:22, left : left + 12] = (240, 230, 80)
    return pixels


def clip(
    path: Path,
    frames: int = 20,
    *,
    size: tuple[int, int] = (64, 48),
    times: Sequence[int] = (),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    sounds: int = 0,
    rotation: int = 0,
    subtitle: bool = False,
    chapter: bool = False,
    interlaced: bool = False,
    gop: int = 12,
) -> Path:
    """Write a video; times are in units of 1/12800 s, by default 25 frames a second."""
    times = times or [512 * number for number in range(frames)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=_options(codec, interlaced))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.gop_size, stream.codec_context.time_base, stream.time_base = gop, TICK, TICK
        if rotation:
            stream.set_display_rotation(rotation)
        tracks: list[Any] = [
            container.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48000) for _ in range(sounds)
        ]
        words: Any = container.add_mux_stream("mov_text" if path.suffix == ".mp4" else "subrip") if subtitle else None
        if chapter:
            container.set_chapters(
                [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}]
            )
        container.metadata["title"] = "a moving square"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(frame_pixels(number, *size), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = times[number], TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for pitch, track in enumerate(tracks):
            _sound(container, track, pitch)
        if words is not None:
            _words(container, words)
    return path


def _options(codec: str, interlaced: bool) -> dict[str, str]:
    if codec == "libx264":
        return {"preset": "ultrafast", "bf": "2"} | (
            {"flags": "+ildct+ilme", "x264-params": "tff=1"} if interlaced else {}
        )
    return {"preset": "12", "svtav1-params": "lp=1"} if codec == "libsvtav1" else {}


def _sound(container: Any, track: Any, pitch: int) -> None:
    wave = np.sin(np.arange(HALF_SECOND) * (0.02 + 0.01 * pitch)).astype(np.float32)
    for start in range(0, HALF_SECOND, 960):
        frame = av.AudioFrame.from_ndarray(np.stack([wave[start : start + 960]] * 2), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(track.encode(frame))
    container.mux(track.encode(None))


def _words(container: Any, stream: Any) -> None:
    text = b"\x00\x05hello" if container.format.name == "mp4" else b"hello"
    packet = av.Packet(text)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = 100
    packet.duration = 200
    container.mux(packet)


def packets(path: Path, *kinds: str) -> list[tuple[int, Fraction, str]]:
    """Stream, time in seconds and hash of each packet of streams of these kinds, stream by stream."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type in kinds]
        number = {stream.index: place for place, stream in enumerate(streams)}
        found = [
            (number[p.stream.index], Fraction(p.pts or 0) * (p.time_base or 1), hashlib.sha256(_payload(p)).hexdigest())
            for p in (container.demux(streams) if streams else ())
            if p.size
        ]
    return sorted(found)


def _payload(packet: Any) -> bytes:
    """A packet without the header that MPEG-TS puts before each of AAC, and other containers say once."""
    data = bytes(packet)
    return data[7:] if data[:1] == b"\xff" and data[1] & 0xF6 == 0xF0 else data


def times_of(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]  # type: ignore[operator]
