"""The embedded painter: layers of curved brush strokes in a limited palette of blue shadows and cream lights.

It makes a painted domain from photographs, so that the pipeline can be tried without own pictures. The algorithm is
that of Hertzmann 1998, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes": from the widest brush to the
finest, strokes are put where the canvas differs from the picture blurred to the size of the brush (section 2.1). A
stroke starts where it differs most, has one colour and follows the contours until another colour would be better
(section 2.2).

What differs: directions come from the smoothed structure tensor, so that neighbouring strokes agree; all strokes of a
layer are traced together; colours vary a little from stroke to stroke and are those of a palette; a stroke is drawn as
bristles, whose paint is thick and lit from the top left.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images.codec import Pixels

Floats = NDArray[np.float32]

RADII_PX = (9, 5, 2)  # of the brushes
BLUR = 0.4  # standard deviation of the blur before a layer, in radii
THRESHOLD = 24.0  # mean CIELAB distance from the picture above which a place is painted again
SHORTEST, LONGEST = 3, 9  # strokes, in steps of one radius
CURVATURE = 0.7  # share of the picture's direction in the next step; the rest is that of the last
FLOW_PX = 5.0  # standard deviation of the average of directions
SPREAD = (3.0, 5.0, 6.0)  # standard deviation of a stroke's colour in L, a, b: more hue than light
SATURATION = 1.25
SHADOW = (8.0, -36.0)  # a, b added where it is dark: ultramarine
LIGHT = (-2.0, 26.0)  # a, b added where it is light: cream
BRISTLE_L = 5.0  # standard deviation of the lightness of a stroke's bristles
RELIEF = 0.10  # relative change of light on a ridge of paint
PIGMENTS = (  # sRGB
    *((30, 40, 96), (38, 72, 158), (52, 112, 184), (60, 150, 172), (40, 104, 92), (96, 134, 66)),
    *((110, 58, 66), (168, 82, 52), (212, 78, 52), (232, 136, 54), (238, 186, 70), (204, 156, 92), (190, 108, 124)),
)
WHITE = (250, 244, 222)
TINTS = (0.0, 0.35, 0.7, 0.9)  # shares of white that are mixed into a pigment


def paint(photo: Pixels, seed: int) -> Pixels:
    """Paint a photograph. Brush sizes are in pixels, so scale the photograph first.

    Args:
        photo: (H, W, 3) uint8 sRGB.
        seed: of every random draw; equal seeds give equal paintings.

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    random = np.random.default_rng(seed)
    wanted = _graded(photo)  # (H, W, 3) CIELAB
    palette = _palette()
    flow = along_edges(cv2.GaussianBlur(wanted[..., 0], (0, 0), 1.0))
    canvas = np.empty((*photo.shape[:2], 4), np.uint8)  # sRGB, and the height of the paint
    canvas[:] = (*_rgb(palette[None, _nearest(palette, wanted.reshape(-1, 3).mean(0)[None])])[0, 0], 128)
    for radius in RADII_PX:
        reference = cv2.GaussianBlur(wanted, (0, 0), BLUR * radius)
        painted = _lab(canvas[..., :3])
        starts = _starts(np.linalg.norm(painted - reference, axis=2), radius, first=radius == RADII_PX[0])
        starts = random.permutation(starts)  # strokes of a layer overlap in any order
        colors = reference[starts[:, 1], starts[:, 0]]
        paths, lengths = _trace(reference, painted, flow, starts, colors, radius)
        colors = colors + random.normal(0, SPREAD, colors.shape)
        _draw(canvas, paths, lengths, palette[_nearest(palette, colors)], radius, random)
    return _lit(canvas)


def _lab(rgb: Pixels) -> Floats:
    """CIELAB of sRGB (H, W, 3)."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def _rgb(lab: Floats) -> Pixels:
    """sRGB of CIELAB (H, W, 3)."""
    rgb = cv2.cvtColor(np.asarray(lab, np.float32), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(rgb, 0, 1) * 255 + 0.5, dtype=np.uint8)


def _graded(photo: Pixels) -> Floats:
    """The photograph in the colours of the painter, CIELAB (H, W, 3)."""
    lab = _lab(photo)
    light = np.clip(0.5 + 1.1 * (lab[..., 0] / 100 - 0.5), 0, 1)
    for channel, dark, bright in zip((1, 2), SHADOW, LIGHT, strict=True):
        lab[..., channel] = SATURATION * lab[..., channel] + dark * (1 - light) ** 2 + bright * light**2
    lab[..., 0] = 8 + 88 * light  # paint is neither black nor white
    return lab


def _palette() -> Floats:
    """The paints, CIELAB (N, 3): every pigment with some white, and white."""
    share = np.asarray(TINTS)[:, None, None]
    mixed = (1 - share) * np.asarray(PIGMENTS) + share * np.asarray(WHITE)  # (tints, pigments, 3)
    return np.asarray(_lab(np.vstack([mixed.reshape(-1, 3), WHITE])[None].astype(np.uint8))[0])


def _nearest(palette: Floats, colors: Floats) -> NDArray[np.intp]:
    """The nearest paint (N,) of each colour (N, 3), CIELAB; lightness, which carries the form, counts more."""
    apart = (colors[:, None] - palette) * np.asarray((1.6, 1.0, 1.0))  # (N, paints, 3)
    return np.asarray(np.square(apart).sum(2).argmin(1))


def along_edges(light: Floats, spread_px: float = FLOW_PX) -> Floats:
    """Unit vectors along the edges (H, W, 2): the weaker eigenvector of the smoothed structure tensor.

    Args:
        light: (H, W), in any unit.
        spread_px: standard deviation of the average of directions.
    """
    dx, dy = cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)
    xx, xy, yy = (cv2.GaussianBlur(product, (0, 0), spread_px) for product in (dx * dx, dx * dy, dy * dy))
    angle = (np.arctan2(2 * xy, xx - yy) + np.pi) / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=2)


def _starts(error: Floats, radius: int, first: bool) -> NDArray[np.intp]:
    """Where strokes start, x and y (N, 2): at the largest error of each cell whose mean error is too large."""
    height, width = (side // radius * radius for side in error.shape)
    cells = error[:height, :width].reshape(height // radius, radius, width // radius, radius).swapaxes(1, 2)
    rows, columns = np.nonzero(cells.mean((2, 3)) > (0 if first else THRESHOLD))
    inside = cells[rows, columns].reshape(-1, radius**2).argmax(1)
    return np.stack([columns * radius + inside % radius, rows * radius + inside // radius], axis=1)


def _trace(
    reference: Floats, painted: Floats, flow: Floats, starts: NDArray[np.intp], colors: Floats, radius: int
) -> tuple[Floats, NDArray[np.intp]]:
    """The strokes' points (N, LONGEST + 1, 2), and how many of them each has (N,): Hertzmann 1998, section 2.2."""
    height, width = reference.shape[:2]
    limits = np.asarray((width - 1, height - 1))
    points = [starts.astype(np.float32)]
    lengths, going = np.ones(len(starts), np.intp), np.ones(len(starts), bool)
    last = np.zeros_like(points[0])
    for step in range(LONGEST):
        x, y = np.clip(points[-1].round().astype(np.intp), 0, limits).T
        if step >= SHORTEST:
            there = reference[y, x]
            going &= np.linalg.norm(there - painted[y, x], axis=1) > np.linalg.norm(there - colors, axis=1)
        turn = flow[y, x]
        turn = np.where((turn * last).sum(1, keepdims=True) < 0, -turn, turn)  # an edge has two directions
        last = CURVATURE * turn + (1 - CURVATURE) * last
        last /= np.linalg.norm(last, axis=1, keepdims=True) + 1e-6
        points.append(points[-1] + radius * last)
        lengths += going
    return np.stack(points, axis=1), lengths


def _draw(
    canvas: Pixels, paths: Floats, lengths: NDArray[np.intp], colors: Floats, radius: int, random: np.random.Generator
) -> None:
    """Draw strokes (N, points, 2) of colours (N, 3) CIELAB, each as bristles of a little more or less light."""
    count = max(2, round(0.8 * radius))
    along = np.gradient(paths, axis=1)
    across = np.stack([-along[..., 1], along[..., 0]], axis=2) / (np.linalg.norm(along, axis=2, keepdims=True) + 1e-6)
    places = radius * np.linspace(-0.8, 0.8, count)
    ragged = random.uniform(-0.7, 0.7, (len(paths), count, 1, 1)) * along[:, None]  # no two bristles end alike
    bristles = paths[:, None] + places[:, None, None] * across[:, None] + ragged  # (N, count, points, 2)
    light = random.standard_normal((len(paths), count)).astype(np.float32)
    lab = np.repeat(colors[:, None], count, axis=1)
    lab[..., 0] += BRISTLE_L * light
    heights = np.clip(128 + 40 * light + 30 * random.standard_normal((len(paths), 1)), 0, 255).astype(np.uint8)
    paints = np.concatenate([_rgb(lab), heights[..., None]], axis=2)
    thickness = max(2, round(2 * radius / count) + 1)
    fixed = np.round(bristles * 8).astype(np.int32)  # with 3 bits below the pixel
    for stroke, length, paint_of in zip(fixed, lengths.tolist(), paints.tolist(), strict=True):
        for bristle, one in zip(stroke, paint_of, strict=True):
            cv2.polylines(canvas, [bristle[:length]], False, one, thickness, cv2.LINE_AA, shift=3)


def _lit(canvas: Pixels) -> Pixels:
    """The colours (H, W, 3) with the light on the ridges of the paint, whose height is the fourth channel."""
    height = cv2.GaussianBlur(canvas[..., 3].astype(np.float32) / 40, (0, 0), 0.7)
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) + cv2.Sobel(height, cv2.CV_32F, 0, 1)
    ridges = np.clip(-RELIEF * slope / 4, -0.25, 0.25)[..., None]
    light = canvas[..., :3].astype(np.float32) / 255
    return np.asarray(np.clip(light * (1 + ridges) + ridges / 10, 0, 1) * 255 + 0.5, dtype=np.uint8)
