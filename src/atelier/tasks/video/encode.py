"""Encoding chunks: painted frames of a chunk to a small Matroska file, with equal bytes for equal frames."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from atelier.models.settings import Settings, setting
from atelier.tasks.images.codec import Pixels
from atelier.tasks.runtime.errors import short_line
from atelier.tasks.video.frames import exact_scaling
from atelier.tasks.video.index import VideoIndex

LIMITED = 1  # range of the sample values, 16 to 235: libavutil's MPEG


@dataclass(frozen=True)
class VideoConfig(Settings):
    """How videos are written."""

    codec: Literal["av1", "vp9", "h264"] = setting(
        "av1",
        "codec of videos: av1, by SVT-AV1; vp9; or h264, where PyAV has x264, which is under the GPL",
    )
    steadiness: float = setting(
        1.0, "how much the frames before and after count in each, moved along the motion; 0: not at all", ge=0, le=1
    )


ENCODERS = {"av1": "libsvtav1", "vp9": "libvpx-vp9", "h264": "libx264"}


def encoder_version(config: VideoConfig) -> str:
    """What a chunk's bytes depend on besides its frames and parameters."""
    import av

    return f"{ENCODERS[config.codec]} of PyAV {av.__version__}"


def encode_chunk(frames: Sequence[Pixels], index: VideoIndex, config: VideoConfig, quality: int) -> bytes:
    """A Matroska file with these frames, the first of which is its only key frame; no frame waits for a later one.

    Args:
        frames: (H, W, 3) uint8.
        index: of the video that they belong to.
        config: the codec.
        quality: 1…100.

    Raises:
        ValueError: the encoder refuses them.
    """
    import av
    from av.video.stream import VideoStream

    os.environ.setdefault("SVT_LOG", "1")  # errors alone: it writes to standard error
    height, width = frames[0].shape[:2]
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="matroska", container_options={"fflags": "+bitexact"}) as container:
            stream = container.add_stream(ENCODERS[config.codec], rate=index.rate, options=_options(config, quality))
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.gop_size = len(frames) + 1
            context = stream.codec_context
            context.thread_count = 1  # workers share the cores
            context.color_primaries, context.color_trc, context.colorspace = index.colours
            context.color_range = LIMITED
            for number, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                    format="yuv420p",
                    dst_colorspace=index.colours[2],
                    dst_color_range=LIMITED,
                    interpolation=exact_scaling(),
                )
                frame.pts, frame.time_base = number, 1 / index.rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"cannot encode {width} × {height} pixels as {config.codec}: {short_line(error)}") from error
    return file.getvalue()


def _options(config: VideoConfig, quality: int) -> dict[str, str]:
    """Options of the encoder. Constant quality: 95 is hardly told from the frames."""
    loss = 100 - quality  # 0…99
    if config.codec == "av1":
        return {"preset": "10", "crf": str(min(63, 15 + loss)), "svtav1-params": "lp=1"}
    if config.codec == "vp9":
        quick = {"deadline": "realtime", "cpu-used": "5", "lag-in-frames": "0"}
        return quick | {"b:v": "0", "crf": str(min(63, 20 + loss))}
    return {"preset": "veryfast", "crf": str(min(51, 14 + loss // 2)), "bf": "0"}
