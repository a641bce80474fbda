"""The picture that stands for a file where people look: the picture itself, or a video's middle frame."""

from atelier.tasks.images.codec import BadImage, ImageLimits, Pixels, check_dimensions, decode
from atelier.tasks.images.formats import is_video
from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.local_folder import LocalFolder
from atelier.tasks.storage.open_source import read
from atelier.tasks.video.container import VideoFile, open_container, video_file, video_stream
from atelier.tasks.video.frames import undamaged, upright
from atelier.tasks.video.index import matrix_of


def shown_input(entry: Entry, limits: ImageLimits) -> Pixels:
    """The picture of an input. Raises BadImage."""
    if is_video(entry.name):
        return still(video_file(entry, limits.max_bytes), limits)
    return decode(read(entry, limits.max_bytes), limits)


def shown_output(destination: Destination, name: str) -> Pixels:
    """The picture of an output. Raises BadImage, OSError."""
    if is_video(name):
        file = destination.root / name if isinstance(destination, LocalFolder) else destination.read(name)
        return still(file, ImageLimits())
    return decode(destination.read(name))


def still(file: VideoFile, limits: ImageLimits) -> Pixels:
    """The first frame that can be read in the second half of a video, or else in the first. Raises BadImage."""
    for middle in (True, False):
        with open_container(file) as container:
            stream = video_stream(container)
            context = stream.codec_context
            check_dimensions(context.width, context.height, limits)
            if middle and container.duration:
                container.seek(container.duration // 2)
            for frame in undamaged(container, stream):
                return upright(frame, round(frame.rotation) % 360, matrix_of(frame), frame.width, frame.height)
    raise BadImage("the video has no frame that can be read")
