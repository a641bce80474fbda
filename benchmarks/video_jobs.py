"""Videos in bulk jobs, beside the same frames as pictures; and the memory of ten minutes beside that of one.

    python benchmarks/video_jobs.py CLIP --keep WORK

Speed: the frames of CLIP as one video and as PNG files, by `starter/monet` on two CPUs, in turns: seconds a frame
between the first and the last report of progress, with steadiness and without. Memory: CLIP's frames again and again at
a longest side of 160 px, for a minute and for ten: the most that driver and workers hold together (PSS).
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ray

from atelier.models.card import identify
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.images import codec
from atelier.tasks.images.codec import ImageLimits
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import ExecutionConfig
from atelier.tasks.runtime import cluster, ray_head
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.video.encode import VideoConfig
from atelier.tasks.video.frames import read_frames
from atelier.tasks.video.index import VideoIndex, read_index
from stylize import Memory, starter
from training import RESULTS, hardware

ROUNDS = 3
CPUS = 2
SMALL_PX = 160
LOOK_S = 0.2  # the job of one minute takes some seconds
SIDES = {"pictures": 0.0, "video": 0.0, "video, steady": VideoConfig().steadiness}


def job(source: Path, folder: Path, steadiness: float, size: int | None, memory: bool) -> dict[str, Any]:
    """Seconds a frame, and the memory held if asked for."""
    seen: list[tuple[float, int]] = []

    def report(progress: Progress) -> None:
        if progress.stage == "stylize":
            seen.append((time.perf_counter(), progress.done))

    folder.mkdir(parents=True)
    head = ray_head.start_head(folder, folder / "ray", cpus=CPUS)
    try:
        ray_head.await_head(head)
        execution = ExecutionConfig(backend="openvino", precision="bfloat16")  # the quickest, on both sides
        config = StylizeConfig(size=size, video=VideoConfig(steadiness=steadiness), execution=execution)
        model = starter()
        request = StylizeRequest((str(source),), folder / "out", model, config, identify(model, "starter/monet", ""))
        with Memory(LOOK_S) if memory else nullcontext([0]) as held:
            summary = stylize(request, report, connect=lambda: cluster.connect(head.address, Path(head.token)))
        assert summary.pending == summary.quarantined == 0
        done = [one for one in seen if one[1]]
        ray.shutdown()
        return {"seconds": (done[-1][0] - done[0][0]) / (done[-1][1] - done[0][1]), "memory": max(held)}
    finally:
        ray_head.stop(head)


def side(source: Path, folder: Path, steadiness: float = 0.0, size: int | None = None, memory: bool = False) -> Any:
    """`job` in a process of its own, which ends with its cluster."""
    options = json.dumps([str(source), str(folder), steadiness, size, memory])
    found = subprocess.run([sys.executable, __file__, "", "--job", options], stdout=subprocess.PIPE, check=True)
    return json.loads(found.stdout.splitlines()[-1])


def long_clip(clip: Path, out: Path, minutes: int) -> None:
    """Write the frames of a clip again and again, small."""
    import av
    from av.video.stream import VideoStream

    *_, index = read_index(clip, ImageLimits())
    assert isinstance(index, VideoIndex)
    frames = read_frames(clip, index, range(index.frames), SMALL_PX)
    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames[0].shape[0] // 2 * 2, frames[0].shape[1] // 2 * 2
        stream.pix_fmt = "yuv420p"
        for number in range(minutes * 60 * 25):
            pixels = frames[number % len(frames)][: stream.height, : stream.width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels.copy(), format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    """Both measurements, into `results/video_jobs.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--keep", type=Path, help="a new folder for what is made")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        source, folder, *rest = json.loads(arguments.job)
        print(json.dumps(job(Path(source), Path(folder), *rest)))
        return
    keep: Path = arguments.keep.resolve()
    (keep / "pictures").mkdir(parents=True)
    *_, index = read_index(arguments.clip, ImageLimits())
    assert isinstance(index, VideoIndex)
    for number, pixels in enumerate(read_frames(arguments.clip, index, range(index.frames))):
        (keep / f"pictures/{number:05d}.png").write_bytes(codec.encode(pixels, "png"))
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for turn in range(ROUNDS):
        for name, steadiness in SIDES.items():
            source = keep / "pictures" if name == "pictures" else arguments.clip.resolve()
            seconds[name].append(side(source, keep / f"{name}-{turn}", steadiness)["seconds"])
            print(f"{name}: {1 / seconds[name][-1]:.1f} frames/s", flush=True)
    rates = {name: [1 / one for one in some] for name, some in seconds.items()}
    ratios = {name: [a / b for a, b in zip(rates[name], rates["pictures"], strict=True)] for name in list(SIDES)[1:]}
    memory: dict[int, list[float]] = {1: [], 10: []}
    for minutes in memory:
        long_clip(arguments.clip, keep / f"{minutes}.mp4", minutes)
    for turn in range(ROUNDS):
        for minutes, held in memory.items():
            folder = keep / f"memory-{minutes}-{turn}"
            held.append(side(keep / f"{minutes}.mp4", folder, SIDES["video, steady"], memory=True)["memory"] / 1e6)
    content = {
        "hardware": hardware(), "clip": [index.width, index.height, index.frames], "cpus": CPUS,
        "frames_per_second": {name: spread(some) for name, some in rates.items()},
        "rate_relative_to_pictures": {name: spread(some) for name, some in ratios.items()},
        "memory_mb_by_minutes": {str(minutes): spread(held) for minutes, held in memory.items()},
        "memory_ratio": spread([b / a for a, b in zip(memory[1], memory[10], strict=True)]),
    }  # fmt: skip
    (RESULTS / "video_jobs.json").write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(content, indent=2))


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": round(statistics.median(values), 3), "low": round(min(values), 3), "high": round(max(values), 3)}


if __name__ == "__main__":
    main()
