"""Frames of a video: a range of them, upright, in sRGB order of bytes, decoded from the key frame before."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from atelier.tasks.images.codec import BadImage, Pixels
from atelier.tasks.video.container import VideoFile, open_container, video_stream
from atelier.tasks.video.index import VideoIndex

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


def read_frames(file: VideoFile, index: VideoIndex, wanted: range, longest: int | None = None) -> list[Pixels]:
    """Consecutive frames (H, W, 3), upright, uint8 RGB of the video's own primaries.

    Args:
        file: the video.
        index: of it.
        wanted: numbers of the frames.
        longest: longest side, px: larger frames are shrunk. None keeps their size.

    Raises:
        BadImage: they cannot be read, or the file is not that of the index any more.
    """
    size = stored_size(index, longest)
    if index.seekable:
        with open_container(file) as container:
            stream = video_stream(container)
            key = index.keys[max(0, bisect_right(index.keys, wanted[0]) - 1)]
            if key:
                container.seek(index.times[key], stream=stream)
            number = {index.times[one]: one for one in wanted}
            found: dict[int, Pixels] = {}
            for frame in _decoded(container, stream, index):
                if frame.pts in number:
                    found[number[frame.pts]] = upright(frame, index.rotation, index.colours[2], *size)
                if frame.pts is not None and frame.pts >= index.times[wanted[-1]]:
                    break
        if len(found) == len(wanted):
            return [found[one] for one in wanted]
    with open_container(file) as container:  # by counting, from the beginning
        stream = video_stream(container)
        last = [
            upright(frame, index.rotation, index.colours[2], *size)
            for one, frame in enumerate(islice(_decoded(container, stream, index), wanted.stop))
            if one in wanted
        ]
    if len(last) < len(wanted):
        raise BadImage(f"frames {wanted[0]} to {wanted[-1]} cannot be read any more")
    return last


def exact_scaling() -> int:
    """Lanczos' filter, exact: without these flags swscale rounds down, and pictures get darker by a level."""
    from av.video.reformatter import Interpolation as I  # noqa: N817

    return I.LANCZOS | I.ACCURATE_RND | I.FULL_CHR_H_INT | I.FULL_CHR_H_INP | I.BITEXACT


def stored_size(index: VideoIndex, longest: int | None) -> tuple[int, int]:
    """Width and height of frames as they are stored, before they are turned; the longest side is so many px at most."""
    width, height = (index.height, index.width) if index.rotation in (90, 270) else (index.width, index.height)
    scale = 1.0 if longest is None else min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _decoded(container: "InputContainer", stream: "VideoStream", index: VideoIndex) -> Iterator["VideoFrame"]:
    """All frames from here on; damaged packets are left out, fields are woven into frames."""
    frames = undamaged(container, stream)
    return _deinterlaced(frames, stream) if index.interlaced else frames


def undamaged(container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame"]:
    """All frames from here on; packets that cannot be decoded are left out."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _deinterlaced(frames: Iterator["VideoFrame"], stream: "VideoStream") -> Iterator["VideoFrame"]:
    """One frame for each, by the filter bwdif of FFmpeg."""
    import av
    from av.filter import Graph

    graph = Graph()
    source, sink = graph.add_buffer(template=stream), graph.add("buffersink")
    weave = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    source.link_to(weave)
    weave.link_to(sink)
    graph.configure()
    for frame in chain(frames, (None,)):
        graph.push(frame)
        while True:
            try:
                woven = graph.pull()
                assert isinstance(woven, av.VideoFrame)
                yield woven
            except (av.error.BlockingIOError, av.error.EOFError):
                break


def upright(frame: "VideoFrame", rotation: int, matrix: int, width: int, height: int) -> Pixels:
    """A frame as (H, W, 3) RGB.

    Args:
        frame: as it is stored.
        rotation: degrees counter-clockwise that make it upright, a multiple of 90.
        matrix: of its colours, ITU-T H.273.
        width: to which it is scaled before it is turned.
        height: the same.
    """
    rgb = frame.reformat(width, height, format="rgb24", src_colorspace=matrix, interpolation=exact_scaling())
    pixels: Pixels = np.rot90(rgb.to_ndarray(), rotation // 90)
    return np.ascontiguousarray(pixels)
