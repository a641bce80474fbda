"""The published protocol for any style: every content in every style, scored by ArtFID (Chung et al. 2024).

"Style Injection in Diffusion", arXiv:2312.09008, section 5.1: 20 contents of MS-COCO and 40 styles of WikiArt at
512 px, 800 pairs. Here are as many as the folder holds. FID is in Inception, LPIPS in AlexNet: our own rulers, not
those of the paper, so that its scores are not to be compared with these.

The 95 % interval is a normal one, on the logarithm, with the deviation of the pigeonhole bootstrap (Owen 2007, "The
Pigeonhole Bootstrap", arXiv:0712.1111), which draws contents and styles apart: pairs of one style are no independent
observations. Its percentiles would not do, since FID rises when pictures are drawn twice. Ratios of two painters are of
the same draws, so that what both have in common falls out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atelier.models import encoders as networks
from atelier.models.controls import Style
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.metrics.artfid import artfid
from atelier.models.metrics.fid import frechet
from atelier.models.metrics.lpips import embed
from atelier.tasks.evaluation.protocol import LPIPS_IN
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import encoder_weights
from painters import Painter, painted
from styles import tensor

RESAMPLES = 500
SHOWN, CELL_PX = 8, 224  # pairs on the sheet


@dataclass(frozen=True)
class Scored:
    """What the rulers say of all pairs."""

    deep: np.ndarray  # (S, C, 2048) of Inception, style by style
    lpips: np.ndarray  # (S, C), to the content

    def scores(self, styles: np.ndarray, by_style: np.ndarray, by_content: np.ndarray) -> np.ndarray:
        """ArtFID, FID and mean LPIPS of the pairs of the styles and contents with these numbers.

        Args:
            styles: features of the styles (S, 2048).
        """
        pairs = np.ix_(by_style, by_content)
        lpips = float(self.lpips[pairs].mean())
        fid = frechet(self.deep[pairs].reshape(-1, self.deep.shape[2]), styles[by_style])
        return np.array([artfid(lpips, fid), fid, lpips])


def protocol(folder: Path, size_px: int, painters: Sequence[Painter], keep: Path) -> dict[str, Any]:
    """Paint and score all pairs, and write `protocol.png`; what is painted and scored is kept.

    Args:
        folder: holds `content/` and `style/`.
        size_px: longer side of contents and styles.

    Returns:
        By painter, and of the untouched photographs: ArtFID, FID and LPIPS with intervals, and the first painter's
        ArtFID as a share of its own.
    """
    contents, styles = (pictures(folder / name, size_px) for name in ("content", "style"))
    room, rulers = keep / "protocol" / str(size_px), Rulers(contents)
    of_styles = np.stack([rulers.deep(one) for one in styles.values()])
    scored = {painter.name: score(painter, contents, styles, room, rulers) for painter in painters}
    untouched = np.stack([rulers.deep(one) for one in contents.values()])
    shape = (len(styles), len(contents))
    scored["photographs"] = Scored(np.broadcast_to(untouched, (*shape, untouched.shape[1])), np.zeros(shape))
    show(contents, styles, painters, room, keep / "protocol.png")
    pairs = {"contents": len(contents), "styles": len(styles), "size_px": size_px}
    return pairs | with_intervals(scored, of_styles)


def pictures(folder: Path, long_px: int) -> dict[str, Pixels]:
    """The pictures of a folder, by name."""
    found = {path.stem: codec.decode(path.read_bytes()) for path in sorted(folder.glob("*.jpg"))}
    if not found:
        raise SystemExit(f"{folder} holds no .jpg: name a folder with content/ and style/")
    return {name: codec.scaled(pixels, min(1.0, long_px / max(pixels.shape[:2]))) for name, pixels in found.items()}


class Rulers:
    """Inception, and AlexNet with LPIPS's heads, which remembers the contents."""

    def __init__(self, contents: dict[str, Pixels]) -> None:
        self.inception = networks.load("inception", encoder_weights.resolve("inception"))
        alexnet = networks.load(LPIPS_IN, encoder_weights.resolve(LPIPS_IN))
        assert isinstance(alexnet, Calibrated)
        self.alexnet = alexnet
        self.points = {name: self._point(pixels) for name, pixels in contents.items()}

    @torch.inference_mode()
    def deep(self, pixels: Pixels) -> np.ndarray:
        """Features (2048,), float64."""
        features = self.inception(tensor(pixels).float() / 255)["pool3"][0]
        return np.asarray(features.double().numpy())

    @torch.inference_mode()
    def lpips(self, content: str, pixels: Pixels) -> float:
        """The distance of a painted picture to its content."""
        return float((self._point(pixels) - self.points[content]).square().sum())

    @torch.inference_mode()
    def _point(self, pixels: Pixels) -> torch.Tensor:
        return embed(self.alexnet, tensor(pixels).float() / 255)


def score(
    painter: Painter, contents: dict[str, Pixels], styles: dict[str, Pixels], room: Path, rulers: Rulers
) -> Scored:
    """Paint all pairs and score them, style by style, from where it stopped."""
    deep, lpips = [], []
    for name, pixels in styles.items():
        file = room / name / f"{painter.folder}.npz"
        if not file.is_file():
            made = painted(painter, Style(name, 1.0, pixels), contents, room / name)
            measured = {
                "deep": np.stack([rulers.deep(one) for one in made.values()]),
                "lpips": np.array([rulers.lpips(content, one) for content, one in made.items()]),
            }
            with file.with_suffix(".part").open("wb") as part:
                np.savez(part, **measured)  # type: ignore[arg-type]  # arrays by name
            file.with_suffix(".part").rename(file)
            print(f"{painter.name}: style {name}, LPIPS {measured['lpips'].mean():.3f}", flush=True)
        kept = np.load(file)
        deep.append(kept["deep"])
        lpips.append(kept["lpips"])
    return Scored(np.stack(deep), np.stack(lpips))


def with_intervals(scored: dict[str, Scored], styles: np.ndarray) -> dict[str, Any]:
    """The scores of each painter with their intervals, and the ratio of the first one's ArtFID to it.

    Args:
        styles: features of the styles (S, D).
    """
    first, *_ = scored
    shape, random = scored[first].lpips.shape, np.random.default_rng(0)
    draws = [[np.asarray(random.integers(0, size, size)) for size in shape] for _ in range(RESAMPLES)]
    every_style, every_content = (np.arange(size) for size in shape)
    at = {name: one.scores(styles, every_style, every_content) for name, one in scored.items()}
    drawn = {name: np.stack([one.scores(styles, *draw) for draw in draws]) for name, one in scored.items()}
    found: dict[str, Any] = {}
    for name in scored:
        found[name] = {
            key: interval(at[name][place], drawn[name][:, place])
            for place, key in enumerate(("artfid", "fid", "lpips"))
            if at[name][place] > 0
        }
        if name != first:
            found[name][f"artfid of {first}, share"] = interval(
                at[first][0] / at[name][0], drawn[first][:, 0] / drawn[name][:, 0]
            )
    return found


def interval(value: float, drawn: np.ndarray) -> dict[str, float]:
    """A value with its 95 % interval, from those of the resamples."""
    half = 1.96 * float(np.log(drawn).std(ddof=1))
    ends = {"from": float(value * np.exp(-half)), "to": float(value * np.exp(half))}
    return {name: round(number, 4) for name, number in {"value": float(value), **ends}.items()}


def show(
    contents: dict[str, Pixels], styles: dict[str, Pixels], painters: Sequence[Painter], room: Path, out: Path
) -> None:
    """A contact sheet: a row for each pair, evenly chosen, the photograph and the style first."""
    rows: list[list[Pixels]] = []
    for number, place in enumerate(np.linspace(0, len(styles) - 1, min(SHOWN, len(styles))).astype(int)):
        style, content = list(styles)[place], list(contents)[number % len(contents)]
        files = [room / style / painter.folder / f"{content}.png" for painter in painters]
        rows.append([contents[content], styles[style], *(codec.decode(file.read_bytes()) for file in files)])
    columns = ("photograph", "style", *(painter.name for painter in painters))
    out.write_bytes(codec.encode(contact_sheet(rows, (), columns, CELL_PX), "png"))
