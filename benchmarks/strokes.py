"""What a large picture costs at full size, and painted at the working size and enlarged: time and memory.

    python benchmarks/strokes.py --megapixels 12 48 --full-up-to 12

A photograph is enlarged, and restyled from a JPEG to a JPEG with `starter/paintings` in a process of its own, by one
thread. Seconds are of the processor and by the clock, with loading the model; memory is the most that the process held
(RSS).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from tiling import photograph, status_mb

RESULTS = Path(__file__).parent / "results" / "strokes.json"
MODEL = "starter/paintings"


def restyle(picture: Path, stroke: str) -> dict[str, float]:
    """Restyle a picture in this process."""
    import torch

    from atelier.models.controls import checked_stroke
    from atelier.tasks.inference.config import StylizeConfig
    from atelier.tasks.inference.model_lookup import find_model
    from atelier.tasks.inference.single_image import stylize_image

    torch.set_num_threads(1)
    model, config = find_model(MODEL, None), StylizeConfig(stroke=checked_stroke(stroke))
    begun, worked = time.perf_counter(), time.process_time()
    stylize_image(picture, picture.with_name(f"{stroke}.jpg"), model.folder, config, model.identity)
    seconds = {"seconds": time.perf_counter() - begun, "processor_seconds": time.process_time() - worked}
    return {name: round(value, 1) for name, value in seconds.items()} | {"peak_mb": round(status_mb("VmHWM"))}


def main() -> None:
    """Measure, print and write `results/strokes.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=int, nargs="+", default=[12, 48])
    parser.add_argument("--full-up-to", type=int, default=48, help="largest picture that is painted at full size")
    parser.add_argument("--restyle", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.restyle:
        picture, stroke = arguments.restyle
        print(json.dumps(restyle(Path(picture), stroke)))
        return
    from training import hardware

    result: dict[str, Any] = {"hardware": hardware(), "model": MODEL}
    for megapixels in arguments.megapixels:
        for stroke in ("1", "full") if megapixels <= arguments.full_up_to else ("1",):
            with tempfile.TemporaryDirectory(prefix="strokes-") as folder:
                picture = Path(folder) / "photograph.jpg"
                Image.fromarray(photograph(megapixels, 0)).save(picture, quality=95)
                words = [sys.executable, __file__, "--restyle", str(picture), stroke]
                told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            result[f"{megapixels} megapixels, stroke {stroke}"] = json.loads(told)
            print(megapixels, stroke, told.strip(), flush=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
