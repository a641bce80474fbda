"""The measure of repeating patterns against what people see: clean and dotted pictures, and dots planted in clean ones.

    python benchmarks/repetition.py CLEAN DOTTED --keep WORK

CLEAN and DOTTED hold `before/` and `after/` with pictures of the same names: photographs, and what was painted from
them, sorted by eye into the one folder or the other. Into each clean picture rows of dots are planted too, of
other periods, angles, contrasts and colours. WORK gets a contact sheet of the plainest part of each, with its score:
look at them. `results/repetition.json` says how many lie on which side of the threshold.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.metrics import repetition as metric
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet

RESULTS = Path(__file__).parent / "results" / "repetition.json"
PERIODS_PX = (3, 4, 5, 6, 8, 10, 12, 16, 24, 40)
LEVELS = (20, 35, 60)  # of 255, at the middle of a dot
ANGLES_DEG = (0, 15, 45, 70)
COLOURS = ((0.6, -0.6, 0.8), (1.0, 1.0, 1.0), (-1.0, -1.0, -1.0), (0.8, 0.2, -0.8), (-0.5, 0.9, -0.5))
COLUMNS, CROP = 5, 150  # of a contact sheet; px


def pairs(folder: Path) -> list[tuple[str, Tensor, Tensor]]:
    """Names, photographs and painted pictures (1, 3, H, W) in [0, 1]."""
    found = []
    for after in sorted((folder / "after").iterdir()):
        before = folder / "before" / after.name
        if not before.is_file():
            raise SystemExit(f"{before} is missing: each picture of after/ needs the one that it was painted from")
        x, y = (torch.from_numpy(codec.load(path).copy()).permute(2, 0, 1)[None] / 255 for path in (before, after))
        found.append((after.stem, x, y))
    return found


def plant(painted: Tensor, index: int) -> tuple[str, Tensor]:
    """Rows of soft dots over a picture, of the period, angle, contrast and colour that the index gives."""
    period, angle = PERIODS_PX[index % len(PERIODS_PX)], np.deg2rad(ANGLES_DEG[index % len(ANGLES_DEG)])
    level = LEVELS[index % len(LEVELS)]
    y, x = (torch.arange(side, dtype=torch.float32) for side in painted.shape[2:])
    u, v = x * np.cos(angle) + y[:, None] * np.sin(angle), y[:, None] * np.cos(angle) - x * np.sin(angle)
    off = [(axis / period - torch.round(axis / period)) * period for axis in (u, v)]
    dots = torch.exp(-(off[0].square() + off[1].square()) / (2 * (0.175 * period) ** 2))  # (H, W)
    colour = torch.tensor(COLOURS[index % len(COLOURS)])[None, :, None, None]
    return f"{period} px, {level} levels", (painted + level / 255 * colour * (dots - dots.mean())).clamp(0, 1)


def crop(before: Tensor, after: Tensor) -> codec.Pixels:
    """The plainest square of a picture."""
    side = min(CROP, *before.shape[2:])
    plain = F.avg_pool2d(metric.plain_areas(before), side, 8)[0]  # (h, w)
    row, column = divmod(int(plain.argmax()), plain.shape[1])
    part = after[0, :, 8 * row : 8 * row + side, 8 * column : 8 * column + side]
    return np.asarray((part * 255).round().byte().permute(1, 2, 0).numpy())


def measure(name: str, of: list[tuple[str, Tensor, Tensor]], keep: Path) -> dict[str, float]:
    """Scores by picture; writes the contact sheet."""
    scores = {title: round(float(metric.repetition(before, after)), 3) for title, before, after in of}
    cells = [crop(before, after) for _, before, after in of]
    titles = [f"{title[:24]} {scores[title]:.2f}" for title, _, _ in of]
    sheets = [
        contact_sheet([cells[at : at + COLUMNS]], (), titles[at : at + COLUMNS], 2 * CROP)
        for at in range(0, len(cells), COLUMNS)
    ]
    width = max(sheet.shape[1] for sheet in sheets)
    rows = [np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0))) for sheet in sheets]
    keep.mkdir(parents=True, exist_ok=True)
    (keep / f"{name}.png").write_bytes(codec.encode(np.concatenate(rows), "png"))
    return scores


def main() -> None:
    """Measure, print and write `results/repetition.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clean", type=Path)
    parser.add_argument("dotted", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="folder of the contact sheets")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clean, dotted, planted = pairs(arguments.clean), pairs(arguments.dotted), []
    for index, (title, before, after) in enumerate(clean):
        what, marred = plant(after, index)
        planted.append((f"{title} {what}", before, marred))
    begin = time.process_time()
    scores = {
        name: measure(name, of, arguments.keep)
        for name, of in (("clean", clean), ("dotted", dotted), ("planted", planted))
    }
    pixels = sum(before[0, 0].numel() for of in (clean, dotted, planted) for _, before, _ in of)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "threshold": metric.VISIBLE,
        "over_threshold": {
            n: f"{sum(s > metric.VISIBLE for s in of.values())} of {len(of)}" for n, of in scores.items()
        },
        "ms_for_256_px": round((time.process_time() - begin) * 1000 / pixels * 256**2),
        "scores": scores,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    print(f"look at {arguments.keep}")


if __name__ == "__main__":
    main()
