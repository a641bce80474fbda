"""Frames of a video: a range of them, upright, in sRGB order of bytes, decoded from the key frame before."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from atelier.tasks.images.codec import BadImage, Pixels
from atelier.tasks.video.container import VideoFile, open_container, video_stream
from atelier.tasks.video.index import VideoIndex

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


def read_frames(file: VideoFile, index: VideoIndex, wanted: range, size: int | None = None) -> list[Pixels]:
    """Consecutive frames (H, W, 3), upright, uint8 RGB of the video's own primaries.

    Args:
        file: the video.
        index: of it.
        wanted: numbers of the frames.
        size: longest side, px: larger frames are shrunk. None keeps their size.

    Raises:
        BadImage: they cannot be read, or the file is not that of the index any more.
    """
    width, height = shown_size(index, size)
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
                    found[number[frame.pts]] = _upright(frame, index, width, height)
                if frame.pts is not None and frame.pts >= index.times[wanted[-1]]:
                    break
        if len(found) == len(wanted):
            return [found[one] for one in wanted]
    with open_container(file) as container:  # by counting, from the beginning
        stream = video_stream(container)
        last = [
            _upright(frame, index, width, height)
            for one, frame in enumerate(_until(_decoded(container, stream, index), wanted.stop))
            if one in wanted
        ]
    if len(last) < len(wanted):
        raise BadImage(f"frames {wanted[0]} to {wanted[-1]} cannot be read any more")
    return last


def exact_scaling() -> int:
    """Lanczos' filter, exact: without these flags swscale rounds down, and pictures get darker by a level."""
    from av.video.reformatter import Interpolation as I  # noqa: E741, N817

    return I.LANCZOS | I.ACCURATE_RND | I.FULL_CHR_H_INT | I.FULL_CHR_H_INP | I.BITEXACT


def shown_size(index: VideoIndex, size: int | None) -> tuple[int, int]:
    """Width and height of upright frames, px, whose longest side is `size` at most."""
    longest = max(index.width, index.height)
    if size is None or longest <= size:
        return index.width, index.height
    return max(1, round(index.width * size / longest)), max(1, round(index.height * size / longest))


def _until(frames: Iterable["VideoFrame"], stop: int) -> Iterator["VideoFrame"]:
    for number, frame in enumerate(frames):
        if number == stop:
            return
        yield frame


def _decoded(container: "InputContainer", stream: "VideoStream", index: VideoIndex) -> Iterator["VideoFrame"]:
    """All frames from here on; damaged packets are left out, fields are woven into frames."""
    frames = _undamaged(container, stream)
    return _deinterlaced(frames, stream) if index.interlaced else frames


def _undamaged(container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame"]:
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
    for frame in (*frames, None):
        graph.push(frame)
        while True:
            try:
                yield graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break


def _upright(frame: "VideoFrame", index: VideoIndex, width: int, height: int) -> Pixels:
    """A frame as (height, width, 3) RGB."""
    turned = index.rotation in (90, 270)
    size = (height, width) if turned else (width, height)
    rgb = frame.reformat(*size, format="rgb24", src_colorspace=index.colours[2], interpolation=exact_scaling())
    pixels: Pixels = np.rot90(rgb.to_ndarray(), index.rotation // 90)
    return np.ascontiguousarray(pixels)
