"""Opening video files: the only place that does. Files are untrusted.

Only well-known containers and codecs are tried, and only the file itself is read: playlists and files that name other
files or addresses are refused. Every problem of a file is a `BadImage` with a message for users.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from atelier.tasks.images.codec import BadImage
from atelier.tasks.runtime.errors import short_line
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.location import is_url
from atelier.tasks.storage.open_source import read

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

VideoFile = Path | bytes  # a file, or the content of one that lies in an archive or an object store

# containers, as libavformat calls them
CONTAINERS = ("mov", "mp4", "3gp", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg", "mxf")
CODECS = frozenset(
    (
        *("h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "mpeg1video", "mpeg2video", "mpeg4", "h263", "mjpeg"),
        *("prores", "dnxhd", "dvvideo", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "theora", "flv"),
        *("vc1", "wmv1", "wmv2", "wmv3", "msmpeg4", "msmpeg4v1", "msmpeg4v2"),
    )
)
OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
BUFFER_BYTES = 2**20


def video_file(entry: Entry, max_bytes: int) -> VideoFile:
    """A video as it can be opened: a local file itself, or the bytes of one that is elsewhere.

    Raises:
        BadImage: it cannot be read, or is larger than `max_bytes` and no local file.
    """
    if entry.problem:
        raise BadImage(entry.problem)
    if entry.kind == "file" and not is_url(entry.path):
        return Path(entry.path)
    return _fetched(entry, max_bytes)


@lru_cache(maxsize=1)
def _fetched(entry: Entry, max_bytes: int) -> bytes:
    return read(entry, max_bytes)


@contextmanager
def open_file(file: VideoFile) -> Iterator[io.BufferedReader | io.BytesIO]:
    """Open a file that is no link, pipe or device. Raises BadImage where it is one, or cannot be read."""
    if isinstance(file, bytes):
        yield io.BytesIO(file)
        return
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadImage(f"the file cannot be read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise BadImage("a pipe, socket or device, not a file")
        yield opened


@contextmanager
def open_container(file: VideoFile) -> Iterator["InputContainer"]:
    """Open a container.

    Raises:
        BadImage: with the reason; any error of a decoder inside the block becomes one.
    """
    import av

    try:
        with (
            open_file(file) as opened,
            av.open(
                opened, "r", container_options=OPTIONS, buffer_size=BUFFER_BYTES, metadata_errors="replace"
            ) as container,
        ):
            yield container
    except av.FFmpegError as error:
        raise BadImage(f"the video cannot be read: {error.strerror or short_line(error)}") from error
    except (UnicodeError, OverflowError) as error:
        raise BadImage(f"the video is damaged: {short_line(error)}") from error
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
