"""What it costs to paint a picture in tiles: time, memory and difference, against painting it whole.

    python benchmarks/tiling.py

The starter model in float32 on photographs that are enlarged to 4, 16 and 48 megapixels; threads as `OMP_NUM_THREADS`
says. Every picture is painted in a process of its own, whole only where the machine has the memory: at the smallest
size three times each, in turns, medians. Seconds are of painting alone, by the clock and of the processor; memory is
the most that the process held (RSS), and bytes a pixel are those above what it held with model and picture loaded.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "tiling.json"
RATIO = 4 / 3  # of the sides
WHOLE_BYTES = 700  # that a pixel takes where a picture is painted whole
ROUNDS = 3


def photograph(megapixels: int, number: int) -> np.ndarray:
    """(H, W, 3), enlarged."""
    from atelier.tasks.images.codec import decode, resize
    from atelier.tasks.storage.open_source import list_entries, read

    height = round((megapixels * 1e6 / RATIO) ** 0.5)
    entries = list(list_entries("sample://photos", Path()))
    return resize(decode(read(entries[number % len(entries)])), round(height * RATIO), height)


def status_mb(line: str, file: str = "/proc/self/status") -> float:
    """A line of the kernel's about memory."""
    return next(int(each.split()[1]) for each in Path(file).read_text().splitlines() if each.startswith(line)) / 1e3


def paint(megapixels: int, number: int, tiles: bool, out: Path) -> dict[str, float]:
    """Paint one picture in this process and save it."""
    import torch

    from atelier.models import artifact
    from atelier.models.tiling import tiled
    from atelier.tasks.inference.backends import TILE_PX
    from atelier.tasks.registry.starter_models import find_starter

    folder = find_starter("starter/monet")
    assert folder is not None
    painter = artifact.load(folder).painter()
    if tiles:
        by_tiles = tiled(painter, TILE_PX, torch.float32)
        assert by_tiles is not None
        painter = by_tiles
    x = torch.from_numpy(photograph(megapixels, number).copy()).permute(2, 0, 1)[None]
    painter(x[:, :, :64, :64])  # libraries are loaded, and threads started
    rest, begun, worked = status_mb("VmRSS"), time.perf_counter(), time.process_time()
    y = painter(x)
    found = {"seconds": time.perf_counter() - begun, "processor_seconds": time.process_time() - worked}
    peak = status_mb("VmHWM")
    np.save(out, y[0].numpy())
    pixels = x.shape[2] * x.shape[3]
    return found | {"peak_mb": round(peak), "bytes_a_pixel": round((peak - rest) * 1e6 / pixels), "pixels": pixels}


def alone(megapixels: int, number: int, tiles: bool, out: Path) -> dict[str, float]:
    """The same in a process of its own."""
    words = ["--paint", str(megapixels), str(number), str(int(tiles)), str(out)]
    told = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True).stdout
    print("tiles" if tiles else "whole", told.strip(), flush=True)
    return dict(json.loads(told))


def middle(found: list[dict[str, float]]) -> dict[str, float]:
    """Medians of all that was measured."""
    return {key: round(statistics.median(each[key] for each in found), 1) for key in found[0]}


def difference(a: Path, b: Path) -> dict[str, float]:
    """Of two painted pictures, in grey levels."""
    rows = zip(np.load(a, mmap_mode="r"), np.load(b, mmap_mode="r"), strict=True)  # a plane of colour at a time
    apart = [np.abs(x.astype(np.int16) - y) for x, y in rows]
    return {
        "most": int(max(x.max() for x in apart)),
        "share_that_differs": float(np.mean([(x > 0).mean() for x in apart])),
    }


def main() -> None:
    """Measure, print and write `results/tiling.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=int, nargs="+", default=[4, 16, 48])
    parser.add_argument("--paint", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.paint:
        megapixels, number, tiles, out = arguments.paint
        print(json.dumps(paint(int(megapixels), int(number), tiles == "1", Path(out))))
        return
    import torch

    from training import hardware

    result: dict[str, Any] = {"hardware": hardware(), "threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory(prefix="tiling-") as folder:
        tiled, whole = Path(folder) / "tiled.npy", Path(folder) / "whole.npy"
        for megapixels in arguments.megapixels:
            fits = status_mb("MemAvailable", "/proc/meminfo") > 1.3 * WHOLE_BYTES * megapixels
            by_tiles, at_once = [], []
            for number in range(ROUNDS if megapixels == min(arguments.megapixels) else 1):
                by_tiles.append(alone(megapixels, number, True, tiled))
                if fits:
                    at_once.append(alone(megapixels, number, False, whole))
            found: dict[str, Any] = {"rounds": len(by_tiles), "tiled": middle(by_tiles)}
            if at_once:
                found |= {"whole": middle(at_once), "apart": difference(tiled, whole)}
                for kind in ("seconds", "processor_seconds"):
                    found[f"times_{kind}"] = round(
                        statistics.median(t[kind] / w[kind] for t, w in zip(by_tiles, at_once, strict=True)), 2
                    )
            result[f"{megapixels} megapixels"] = found
            RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
