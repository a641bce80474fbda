"""Whose face a picture shows: 128 numbers of a face, of which those of one person lie near each other.

Faces are found and aligned by CenterFace, see `images.detectors`. The network is dlib's of 2017, a ResNet (He et al.
2015, arXiv:1512.03385) of 29 convolutions that was trained on three million faces of 7,485 persons
(github.com/davisking/dlib-models, CC0). Its weights are a part of a package of others, which is not installed with
Atelier, and of which nothing else is used. They are read only if they are the known ones, by their sha256.
"""

import hashlib
import re
from functools import lru_cache
from math import prod
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from atelier.tasks.evaluation.protocol import FACES_BY
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.detectors import NoDetector, face_points

SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
LABEL = f"dlib_face_recognition_resnet_model_v1 {SHA256[:12]}"
SAME_PERSON = 0.6  # distance below which dlib takes two faces for those of one person

SIDE_PX = 150  # of an aligned face
# where the network expects the pupils, the tip of the nose and the corners of the mouth: dlib's mean face, with margins
ALIGNED = SIDE_PX * np.array([[0.318, 0.314], [0.668, 0.314], [0.493, 0.510], [0.336, 0.687], [0.651, 0.687]])
MEAN = 122.782, 117.001, 104.298  # of the colours, RGB
BLOCKS, SHRINKING = 14, (3, 7, 10, 13)  # residual blocks, and those that halve the side


@torch.inference_mode()
def embed_faces(pictures: Tensor, weights: Path) -> NDArray[np.float32]:
    """The embeddings (N, 128) of the surest face in each of pictures uint8 (N, 3, H, W); NaN where none is found.

    Args:
        weights: as `protocol.face_weights` finds them.

    Raises:
        NoDetector: a package is not installed, or another version of it.
    """
    network, found = _network(weights), np.full((len(pictures), 128), np.nan, np.float32)
    for row, picture in enumerate(pictures.permute(0, 2, 3, 1).cpu().numpy()):
        points = face_points(picture)
        if points is not None:
            face = torch.from_numpy(_aligned(picture, points)).permute(2, 0, 1)
            found[row] = network(torch.stack([face, face.flip(2)])).mean(0).numpy()
    return found


def distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Between embeddings (N, 128) and (M, 128): (N, M), infinite where one of the two has no face."""
    between: NDArray[np.float32] = torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    return np.nan_to_num(between, nan=np.inf)


def _aligned(picture: Pixels, points: NDArray[np.float64]) -> Pixels:
    """The face (150, 150, 3), turned, moved and scaled so that its points (5, 2) come nearest to the expected ones."""
    here, there = points @ [1, 1j], ALIGNED @ [1, 1j]
    centred = here - here.mean()
    turn = np.vdot(centred, there - there.mean()) / np.vdot(centred, centred)
    offset = there.mean() - turn * here.mean() + (turn - 1) * (0.5 + 0.5j)  # middles of pixels are at halves
    matrix = np.array([[turn.real, -turn.imag, offset.real], [turn.imag, turn.real, offset.imag]])
    size = SIDE_PX, SIDE_PX
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))


class _Network:
    """The layers, with each affine layer in the convolution before it."""

    def __init__(self, data: bytes) -> None:
        *layers, self.last = _arrays(data)
        self.last = self.last.view(-1, 128)
        self.convolutions, channels = list[tuple[Tensor, Tensor]](), 3
        for filters, affine in zip(layers[::2], layers[1::2], strict=True):
            scale, shift = affine.view(2, -1)
            side = 3 if self.convolutions else 7
            weight = filters[: -len(scale)].view(len(scale), channels, side, side)
            bias = filters[-len(scale) :]
            self.convolutions.append((weight * scale[:, None, None, None], bias * scale + shift))
            channels = len(scale)

    def __call__(self, faces: Tensor) -> Tensor:
        """(B, 128) of aligned faces uint8 (B, 3, 150, 150)."""
        x = (faces - torch.tensor(MEAN)[:, None, None]) / 256
        x = F.max_pool2d(F.relu(F.conv2d(x, *self.convolutions[0], stride=2)), 3, 2)
        for block in range(BLOCKS):
            first, second = self.convolutions[1 + 2 * block : 3 + 2 * block]
            if block in SHRINKING:
                y, x = F.conv2d(x, *first, stride=2), F.avg_pool2d(x, 2, 2)
            else:
                y = F.conv2d(x, *first, padding=1)
            y = F.conv2d(F.relu(y), *second, padding=1)
            shape = [max(sides) for sides in zip(x.shape[1:], y.shape[1:], strict=True)]
            x = F.relu(_padded(x, shape) + _padded(y, shape))
        return x.mean((2, 3)) @ self.last


def _padded(x: Tensor, shape: list[int]) -> Tensor:
    """(B, C, H, W) with zeros behind, so that it has the given channels, height and width."""
    channels, height, width = (wanted - has for wanted, has in zip(shape, x.shape[1:], strict=True))
    return F.pad(x, (0, width, 0, height, 0, channels))


def _arrays(data: bytes) -> list[Tensor]:
    """The parameters of dlib's layers, flat, in the order of their use.

    After the name of a layer follow numbers: the length of each, then its bytes. The last four are the shape.
    """
    found = []
    for layer in re.finditer(rb"con_4|affine_|fc_2", data):
        at, numbers = layer.end(), list[int]()
        for _ in range(7 if layer[0] == b"fc_2" else 5):
            end = at + 1 + data[at]
            numbers.append(int.from_bytes(data[at + 1 : end], "little"))
            at = end
        found.append(torch.from_numpy(np.frombuffer(data, "<f4", prod(numbers[-4:]), at).copy()))
    return found


@lru_cache(maxsize=1)
def _network(weights: Path) -> _Network:
    data = weights.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise NoDetector(f"{weights} is not the file of {FACES_BY}: install that version")
    return _Network(data)
