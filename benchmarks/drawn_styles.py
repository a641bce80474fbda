"""Pictures in styles that a program draws, for a model of any style: few painters are free, and they have few kinds.

Ten kinds of marks (flat colours, outlines, facets, tiles, dots, hatching, woodcut, wash, streaks along contours, loose
shapes), each in random colours and sizes, of a photograph. What comes out need not be art: it has to differ in what
Gram matrices see, so that the predictor of styles learns all directions and not those of fourteen painters alone.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images.codec import Pixels
from atelier.tasks.storage.sample_painter import along_edges

Floats = NDArray[np.floating[Any]]


def drawn(photo: Pixels, kind: str, seed: int) -> Pixels:
    """A photograph (H, W, 3) in marks of a kind, of the same shape; equal seeds give equal pictures."""
    random = np.random.default_rng(seed)
    picture = photo if random.random() < 0.3 else recoloured(photo, random)
    return np.clip(KINDS[kind](picture.astype(np.float32), random), 0, 255).astype(np.uint8)


def recoloured(photo: Pixels, random: np.random.Generator) -> Pixels:
    """The photograph in three to seven colours of random hue, from dark to light, and all between."""
    light = _light(photo)
    ranks = np.searchsorted(np.sort(light.ravel()), light) / light.size  # the contrast of each is full
    count = int(random.integers(3, 8))
    hues = (random.uniform(0, 180) + random.normal(0, random.choice([12, 60]), count)) % 180
    levels = np.sort(random.uniform(random.uniform(0, 90), random.uniform(150, 255), count))
    colours = np.stack([hues, random.uniform(0, random.choice([60, 140, 255]), count), levels], 1).astype(np.uint8)
    rgb = cv2.cvtColor(colours[None], cv2.COLOR_HSV2RGB)[0]
    at = np.linspace(0, 1, count)
    return np.stack([np.interp(ranks, at, rgb[:, channel]) for channel in range(3)], -1).astype(np.uint8)


def _light(picture: Floats | Pixels) -> Floats:
    """Luminance (H, W), 0 to 255."""
    light: Floats = cv2.cvtColor(picture.astype(np.uint8), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return light


def flat(picture: Floats, random: np.random.Generator) -> Floats:
    """A few flat colours with soft-edged borders."""
    smooth = cv2.medianBlur(picture.astype(np.uint8), int(random.choice([7, 11, 17])))
    pixels = smooth.reshape(-1, 3).astype(np.float32)
    centres = pixels[random.choice(len(pixels), int(random.integers(4, 12)), replace=False)]
    for _ in range(4):  # k-means
        nearest = ((pixels[:, None] - centres) ** 2).sum(-1).argmin(1)
        for index in range(len(centres)):
            if (mine := nearest == index).any():
                centres[index] = pixels[mine].mean(0)
    labels = cv2.medianBlur(nearest.reshape(smooth.shape[:2]).astype(np.uint8), 5)
    made: Floats = cv2.GaussianBlur(centres[labels], (0, 0), 0.6)
    return made


def outlines(picture: Floats, random: np.random.Generator) -> Floats:
    """Flat colours, and lines of one colour around them: differences of Gaussians (Winnemöller 2011)."""
    light = _light(picture)
    sigma = random.uniform(1.0, 2.5)
    edge = cv2.GaussianBlur(light, (0, 0), sigma) - 0.98 * cv2.GaussianBlur(light, (0, 0), 1.6 * sigma)
    line = 1 / (1 + np.exp(-(edge - random.uniform(0, 1.5)) * 2))[..., None]
    ink = random.uniform(0, 70, 3) if random.random() < 0.8 else random.uniform(190, 255, 3)
    ground = flat(picture, random) if random.random() < 0.7 else np.full_like(picture, random.uniform(170, 250, 3))
    made: Floats = ground * line + ink * (1 - line)
    return made


def _cells(picture: Floats, centres: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Which of the centres (N, 2) is nearest to each pixel, and how far it is from the border of its cell, px."""
    height, width = picture.shape[:2]
    marks = np.full((height, width), 255, np.uint8)
    marks[centres[:, 0], centres[:, 1]] = 0
    _, labels = cv2.distanceTransformWithLabels(marks, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    border = (cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3))) == 0).astype(np.uint8)
    return labels, cv2.distanceTransform(border, cv2.DIST_L2, 5)


def _means(picture: Floats, labels: NDArray[np.int64]) -> Floats:
    """The mean colour (labels, 3) of each label."""
    counts = np.maximum(np.bincount(labels.ravel()), 1)
    sums = [np.bincount(labels.ravel(), picture[..., channel].ravel()) for channel in range(3)]
    return (np.stack(sums, 1) / counts[:, None]).astype(np.float32)


def facets(picture: Floats, random: np.random.Generator) -> Floats:
    """Cells that are lit from one side each, as cubists do."""
    size = random.uniform(14, 40)
    centres = _places(picture, size, random)
    labels, _ = _cells(picture, centres)
    colours = _means(picture, labels) + random.normal(0, 14, (labels.max() + 1, 3)).astype(np.float32)
    rows, columns = np.indices(labels.shape, np.float32)
    angles, slopes = random.uniform(0, 2 * np.pi, len(colours)), random.uniform(0.4, 2.2, len(colours))
    across = (np.cos(angles)[labels] * rows + np.sin(angles)[labels] * columns).astype(np.float32)
    middle = np.bincount(labels.ravel(), across.ravel()) / np.maximum(np.bincount(labels.ravel()), 1)
    shade = (across - middle[labels]) * slopes[labels]
    return colours[labels] + shade[..., None].astype(np.float32)


def tiles(picture: Floats, random: np.random.Generator) -> Floats:
    """A mosaic, or stained glass: cells of one colour with joints between."""
    labels, far = _cells(picture, _places(picture, random.uniform(8, 26), random))
    colours = _means(picture, labels) + random.normal(0, 12, (labels.max() + 1, 3)).astype(np.float32)
    joint = np.clip(far / random.uniform(1, 3), 0, 1)[..., None]
    grout = random.uniform(0, 60, 3) if random.random() < 0.6 else random.uniform(180, 250, 3)
    made: Floats = colours[labels] * joint + grout * (1 - joint)
    return made


def dots(picture: Floats, random: np.random.Generator) -> Floats:
    """Dots of colours beside the right one, as pointillists do."""
    canvas = np.ascontiguousarray(np.full_like(picture, random.uniform(120, 245, 3)))
    radius = random.uniform(1.5, 5)
    places = random.permutation(_places(picture, 1.3 * radius, random))
    blurred, spread = cv2.GaussianBlur(picture, (0, 0), radius), random.uniform(8, 50)
    for row, column in places.tolist():
        colour = blurred[row, column] + random.normal(0, spread, 3)
        size = max(1, round(radius * random.uniform(0.6, 1.2)))
        cv2.circle(canvas, (column, row), size, colour.tolist(), -1, cv2.LINE_AA)
    return canvas


def hatching(picture: Floats, random: np.random.Generator) -> Floats:
    """Pencil: layers of lines at angles, more of them where it is dark."""
    light = _light(picture) / 255
    rows, columns = np.indices(light.shape, np.float32)
    paper, ink = random.uniform(190, 255, 3), random.uniform(0, 110, 3)
    shown = np.ones_like(light)
    for layer, angle in enumerate(random.uniform(0, np.pi, int(random.integers(2, 5)))):
        wobble = cv2.GaussianBlur(random.normal(0, 1, light.shape).astype(np.float32), (0, 0), 9) * 40
        phase = (np.cos(angle) * rows + np.sin(angle) * columns + wobble) * 2 * np.pi / random.uniform(4, 8)
        dark = np.clip((0.9 - 0.25 * layer - light) * 2, 0, 1)
        shown *= 1 - dark * np.clip(0.5 + 1.2 * np.sin(phase), 0, 1)
    tint = random.choice([0.0, 0.5])  # coloured pencils
    made: Floats = (1 - tint) * (paper * shown[..., None] + ink * (1 - shown[..., None])) + tint * picture * shown[
        ..., None
    ]
    return made


def woodcut(picture: Floats, random: np.random.Generator) -> Floats:
    """Lines that follow the light and are cut as wide as it: two colours, or a colour over flat ones."""
    light = _light(picture) / 255
    smooth = cv2.GaussianBlur(light, (0, 0), 6)
    angle = random.uniform(0, np.pi)
    rows, columns = np.indices(light.shape, np.float32)
    bend = random.uniform(20, 90)
    phase = (np.cos(angle) * rows + np.sin(angle) * columns + bend * smooth) * 2 * np.pi / random.uniform(5, 12)
    cut = 1 / (1 + np.exp(-(light + 0.35 * np.sin(phase) - 0.5) * 18))[..., None]
    ground = flat(picture, random) if random.random() < 0.5 else np.full_like(picture, random.uniform(150, 250, 3))
    made: Floats = ground * cut + random.uniform(0, 80, 3) * (1 - cut)
    return made


def wash(picture: Floats, random: np.random.Generator) -> Floats:
    """Watercolour or ink: soft areas that run out, darker at their borders, on a paper with grain."""
    sigma = random.uniform(2, 6)
    bend = [cv2.GaussianBlur(random.normal(0, 1, picture.shape[:2]).astype(np.float32), (0, 0), 5) * 60 for _ in "xy"]
    rows, columns = np.indices(picture.shape[:2], np.float32)
    bent = cv2.remap(picture, columns + bend[0], rows + bend[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    ground = cv2.bilateralFilter(bent, -1, 40, sigma)
    edge = cv2.GaussianBlur(cv2.morphologyEx(ground, cv2.MORPH_GRADIENT, np.ones((3, 3))), (0, 0), 0.8)
    grain = cv2.GaussianBlur(random.normal(0, 1, picture.shape[:2]).astype(np.float32), (0, 0), 1.2)[..., None]
    lift = random.uniform(0, 0.6)
    made: Floats = (1 - lift) * ground + lift * 250 - random.uniform(0.3, 1.2) * edge + random.uniform(4, 20) * grain
    return made


def streaks(picture: Floats, random: np.random.Generator) -> Floats:
    """Long strokes along the contours: noise that is averaged along them (Cabral & Leedom 1993)."""
    light = cv2.GaussianBlur(_light(picture), (0, 0), 2)
    flow = along_edges(light, random.uniform(4, 14)).astype(np.float32)
    step = np.ascontiguousarray(flow[..., 0]), np.ascontiguousarray(flow[..., 1])
    grain = random.uniform(1.2, 4)
    noise = cv2.GaussianBlur(random.normal(0, 1, picture.shape).astype(np.float32), (0, 0), grain)
    noise *= random.uniform(12, 40) / noise.std()
    rough = cv2.GaussianBlur(picture, (0, 0), 2) + noise * random.uniform(0.2, 1, 3) + noise[..., :1]
    rows, columns = np.indices(light.shape, np.float32)
    total, length = rough.copy(), int(random.integers(6, 20))
    for sign in (-1, 1):
        x, y = columns.copy(), rows.copy()
        for _ in range(length):
            x += sign * cv2.remap(step[0], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            y += sign * cv2.remap(step[1], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            total += cv2.remap(rough, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mean = total / (2 * length + 1)
    made: Floats = cv2.GaussianBlur(picture, (0, 0), 3) + random.uniform(1.2, 2.5) * (
        mean - cv2.GaussianBlur(mean, (0, 0), 12)
    )
    return made


def shapes(picture: Floats, random: np.random.Generator) -> Floats:
    """Loose ellipses, bars, arcs and lines of the picture's colours on its ground, as abstract painters do."""
    height, width = picture.shape[:2]
    canvas = np.ascontiguousarray(cv2.GaussianBlur(picture, (0, 0), random.uniform(6, 30)))
    pixels = picture.reshape(-1, 3)
    for _ in range(int(random.integers(40, 260))):
        colour = (pixels[random.integers(len(pixels))] + random.normal(0, 20, 3)).tolist()
        at = int(random.integers(width)), int(random.integers(height))
        size = int(random.gamma(2, 12)) + 3
        turn, thick = random.uniform(0, 360), int(random.choice([-1, -1, 1, 2, 4]))
        kind = random.integers(4)
        if kind == 0:
            cv2.ellipse(canvas, at, (size, max(2, size // 2)), turn, 0, 360, colour, thick, cv2.LINE_AA)
        elif kind == 1:
            box = cv2.boxPoints((at, (2.0 * size, max(3.0, size / 2)), turn)).astype(np.int32)
            cv2.fillPoly(canvas, [box], colour, cv2.LINE_AA)
        elif kind == 2:
            cv2.ellipse(canvas, at, (size, size), turn, 0, 150, colour, max(1, abs(thick)), cv2.LINE_AA)
        else:
            end = at[0] + int(random.normal(0, 60)), at[1] + int(random.normal(0, 60))
            cv2.line(canvas, at, end, colour if thick > 0 else (20, 20, 20), int(random.integers(1, 5)), cv2.LINE_AA)
    return canvas


def _places(picture: Floats, distance: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Places (N, 2) at about this distance, px, in random order around a lattice."""
    height, width = picture.shape[:2]
    rows, columns = np.meshgrid(np.arange(0, height, distance), np.arange(0, width, distance), indexing="ij")
    places = np.stack([rows.ravel(), columns.ravel()], 1) + random.uniform(-0.5, 0.5, (rows.size, 2)) * distance * 1.6
    return np.clip(places, 0, (height - 1, width - 1)).astype(np.int64)


KINDS: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "flat": flat,
    "outlines": outlines,
    "facets": facets,
    "tiles": tiles,
    "dots": dots,
    "hatching": hatching,
    "woodcut": woodcut,
    "wash": wash,
    "streaks": streaks,
    "shapes": shapes,
}
