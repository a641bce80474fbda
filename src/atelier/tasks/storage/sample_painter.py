"""The embedded painter: a fixed style of thick, flowing strokes, deep blue shadows and cream lights.

It makes a painted domain from photographs, so that the pipeline can be tried without own pictures. The base comes from
OpenCV's photo modules: the edge-preserving filter of Gastal and Oliveira 2011 ("Domain Transform for Edge-Aware Image
and Video Processing") and the oil painting of `xphoto`. Strokes follow the edges of the picture by line integral
convolution (Cabral and Leedom 1993) along the smoothed structure tensor.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images.codec import Pixels

Plane = NDArray[np.float32]  # (H, W), or (H, W, C)

OIL_PX = 2  # radius of the filter that flattens detail
FLOW_PX = 4.0  # standard deviation of the average of directions
STROKE_PX = 4  # half the length of a stroke
BRISTLE_PX = 7  # half the length of a bristle's mark
CELL_PX = 3  # side of the cells of colour noise
PAINT = (3.5, 9.0, 12.0)  # standard deviation of colour noise in L, a, b: more hue than light
SATURATION = 1.25
SHADOW = (10.0, -42.0)  # a, b added where it is dark: ultramarine
LIGHT = (-4.0, 34.0)  # a, b added where it is light: cream
RELIEF = 0.14  # relative change of light on a ridge of paint


def paint(photo: Pixels, seed: int) -> Pixels:
    """Paint a photograph. Stroke sizes are in pixels, so scale the photograph first.

    Args:
        photo: (H, W, 3) uint8 sRGB.
        seed: of the noise; equal seeds give equal paintings.

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    random = np.random.default_rng(seed)
    height, width = photo.shape[:2]
    base = cv2.edgePreservingFilter(photo, flags=cv2.RECURS_FILTER, sigma_s=30, sigma_r=0.25)
    base = cv2.xphoto.oilPainting(base, OIL_PX, 1).astype(np.float32) / 255
    flow = _flow(cv2.cvtColor(base, cv2.COLOR_RGB2GRAY))

    noise = random.standard_normal((height // CELL_PX + 1, width // CELL_PX + 1, 3)).astype(np.float32)
    lab = cv2.cvtColor(base, cv2.COLOR_RGB2LAB)  # L 0…100
    lab += cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST) * np.asarray(PAINT, dtype=np.float32)
    lab = _along(lab, flow, STROKE_PX)
    light = np.clip(0.5 + 1.08 * (lab[..., 0] / 100 - 0.5), 0, 1)
    lab[..., 0] = 10 + 86 * light  # paint is neither black nor white
    for channel, dark, bright in zip((1, 2), SHADOW, LIGHT, strict=True):
        lab[..., channel] = SATURATION * lab[..., channel] + dark * (1 - light) ** 2 + bright * light**2
    painted = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)

    bristles = _along(random.standard_normal((height, width)).astype(np.float32), flow, BRISTLE_PX)
    bristles = cv2.GaussianBlur(bristles / bristles.std(), (0, 0), 0.7)
    slope = cv2.Sobel(bristles, cv2.CV_32F, 1, 0) + cv2.Sobel(bristles, cv2.CV_32F, 0, 1)  # lit from the top left
    ridges = -RELIEF * slope[..., None] / 11
    return np.asarray(np.clip(painted * (1 + ridges) + ridges / 8, 0, 1) * 255 + 0.5, dtype=np.uint8)


def _flow(grey: Plane) -> tuple[Plane, Plane]:
    """Unit vectors along the edges, as x and y (H, W): the weaker eigenvector of the smoothed structure tensor."""
    grey = cv2.GaussianBlur(grey, (0, 0), 1.0)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    xx, xy, yy = (cv2.GaussianBlur(product, (0, 0), FLOW_PX) for product in (dx * dx, dx * dy, dy * dy))
    angle = (np.arctan2(2 * xy, xx - yy) + np.pi) / 2
    return np.cos(angle), np.sin(angle)


def _along(values: Plane, flow: tuple[Plane, Plane], steps: int) -> Plane:
    """Average values over `steps` pixels to both sides along the flow."""
    total = values.copy()
    rows, columns = np.indices(values.shape[:2]).astype(np.float32)  # (H, W) each
    for sign in (1, -1):
        x, y = columns, rows
        step_x: Any = sign * flow[0]
        step_y: Any = sign * flow[1]
        for _ in range(steps):
            x, y = x + step_x, y + step_y
            total += cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            next_x, next_y = (cv2.remap(part, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT) for part in flow)
            # an edge has two directions: keep the one of the last step
            sign_kept = np.where(next_x * step_x + next_y * step_y < 0, np.float32(-1), np.float32(1))
            step_x, step_y = sign_kept * next_x, sign_kept * next_y
    return np.asarray(total / np.float32(2 * steps + 1))
