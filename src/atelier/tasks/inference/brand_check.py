"""Restyled pictures against those of a brand: whether their colours are its own, and no piece of it is copied."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atelier.tasks.evaluation.copied_windows import Match, best_match
from atelier.tasks.images.codec import Pixels, load
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.inference.palette import palette_of
from atelier.tasks.inference.palette_lock import distances
from atelier.tasks.storage.companion_files import kind_of

MOST = 24  # pictures that are checked, evenly chosen
SAMPLED = 2000  # pixels of each
MAX_DISTANCE = 5.0  # ΔE00, of the median


@dataclass(frozen=True)
class BrandCheck:
    """What was measured."""

    checked: int  # pictures
    palette_distance: float  # median ΔE00 of pixels to the nearest colour of the brand's palette
    far_share: float  # share of the pixels that are further than `MAX_DISTANCE`, 0…1
    correlations: dict[str, float]  # by picture, the largest of its windows with a place in a brand's picture
    copied: tuple[str, ...]  # pictures that show a piece of a brand's picture

    @property
    def passed(self) -> bool:
        """Whether the colours are the brand's, and nothing is copied."""
        return self.palette_distance <= MAX_DISTANCE and not self.copied

    @property
    def summary(self) -> str:
        """The result in a few lines."""
        copies = f"copied: {', '.join(self.copied)}" if self.copied else "no window is copied"
        return (
            f"{self.checked} pictures: median ΔE00 {self.palette_distance:.1f} to the brand's palette (at most "
            f"{MAX_DISTANCE:g}), {self.far_share:.0%} of the pixels are further\n"
            f"{copies}; largest correlation {max(self.correlations.values()):.2f}"
        )


def check_brand(outputs: Path, pictures: Path) -> tuple[BrandCheck, dict[str, Match]]:
    """Check pictures in a folder against the pictures of a brand.

    Args:
        outputs: folder of restyled pictures, or one picture.
        pictures: folder of the brand's pictures.

    Returns:
        What was measured, and the best match of each picture by its path.

    Raises:
        ValueError: there are no pictures, or one cannot be read or is too small.
    """
    files, brand = _files(outputs), [load(file) for file in _files(pictures)]
    files = [files[place] for place in np.unique(np.linspace(0, len(files) - 1, min(MOST, len(files))).astype(int))]
    palette, apart, matches = palette_of(brand), [], dict[str, Match]()
    for file in files:
        painted = load(file)
        apart.append(distances(_some(painted), palette))
        matches[str(file)] = best_match(painted, brand)
    pixels = np.concatenate(apart)
    found = BrandCheck(
        checked=len(files),
        palette_distance=round(float(np.median(pixels)), 2),
        far_share=round(float((pixels > MAX_DISTANCE).mean()), 4),
        correlations={name: round(match.correlation, 3) for name, match in matches.items()},
        copied=tuple(name for name, match in matches.items() if match.copied),
    )
    return found, matches


def _files(path: Path) -> list[Path]:
    """The pictures of a folder and of those below it, by path; a job's own files are none."""
    if not path.exists():
        raise ValueError(f"{path} does not exist: name a folder of pictures")
    every = sorted(path.rglob("*")) if path.is_dir() else [path]
    own = [file for file in every if file.is_file() and RESERVED not in file.parts]
    found = [file for file in own if not kind_of(str(file.relative_to(path.parent)))]
    if not found:
        raise ValueError(f"{path} holds no pictures")
    return found


def _some(picture: Pixels) -> Pixels:
    """Evenly chosen pixels (N, 3)."""
    pixels = picture.reshape(-1, 3)
    return pixels[:: max(1, len(pixels) // SAMPLED)]
