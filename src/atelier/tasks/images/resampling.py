"""Resampling of samples of any depth: shrinking with Lanczos' filter, enlarging with a bicubic one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def shrunk(array: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """(H, W) or (H, W, C) of any type, resized to a width and height with Lanczos' filter."""
    return _resized(array, size, Image.Resampling.LANCZOS)


def enlarged(array: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """(H, W) or (H, W, C) of any type, enlarged to a height and width by bicubic interpolation; itself at its size."""
    return array if array.shape[:2] == shape else _resized(array, shape[::-1], Image.Resampling.BICUBIC)


def _resized(array: NDArray[Any], size: tuple[int, int], filter: Image.Resampling) -> NDArray[Any]:
    if array.dtype == np.uint8:
        return np.asarray(Image.fromarray(array).resize(size, filter))
    planes = np.moveaxis(np.atleast_3d(array).astype(np.float32), -1, 0)  # (C, H, W)
    some = [np.asarray(Image.fromarray(plane).resize(size, filter)) for plane in planes]
    found = np.stack(some, axis=-1).reshape(size[1], size[0], *array.shape[2:])
    return np.rint(np.clip(found, 0, 65535)).astype(np.uint16) if array.dtype == np.uint16 else found
