"""Opening video files: the only place that does. Files are untrusted.

Only well-known containers and codecs are tried, and only the file itself is read: playlists and files that name other
files or addresses are refused. Every problem of a file is a `BadImage` with a message for users.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from atelier.tasks.images.codec import BadImage
from atelier.tasks.runtime.errors import short_line

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

VideoFile = Path | bytes  # a file, or the content of one that lies in an archive or an object store

# containers, as libavformat calls them
CONTAINERS = ("mov", "mp4", "3gp", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg", "mxf")
CODECS = frozenset(
    "h264 hevc av1 libdav1d vp8 vp9 mpeg1video mpeg2video mpeg4 mjpeg prores ffv1 theora wmv1 wmv2 wmv3 vc1 h263 flv "
    "dvvideo rawvideo msmpeg4 msmpeg4v1 msmpeg4v2 dnxhd huffyuv ffvhuff utvideo".split()
)
OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}


@contextmanager
def open_container(file: VideoFile) -> Iterator["InputContainer"]:
    """Open a container.

    Raises:
        BadImage: with the reason; any error of a decoder inside the block becomes one.
    """
    import av

    try:
        with av.open(str(file) if isinstance(file, Path) else io.BytesIO(file), container_options=OPTIONS) as container:
            yield container
    except av.FFmpegError as error:
        raise BadImage(f"the video cannot be read: {short_line(error.strerror or error)}") from error
    except MemoryError as error:
        raise BadImage("the video does not fit into memory") from error


def video_stream(container: "InputContainer") -> "VideoStream":
    """The stream with the moving picture, which is decoded by one thread.

    Raises:
        BadImage: there is none, or it is coded in a way that is not read here.
    """
    from av.stream import Disposition

    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        raise BadImage("the file has no video")
    stream: VideoStream = moving[0]
    if stream.codec_context is None or stream.codec_context.name not in CODECS:
        name = stream.codec_context.name if stream.codec_context else "an unknown way"
        raise BadImage(f"the video is coded in {name}, which is not read here")
    stream.codec_context.thread_count = 1
    return stream
