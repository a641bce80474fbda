"""Image statistics: size, colours and encoder features of pictures; a worker's part of profiling."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from atelier.models import encoders
from atelier.tasks.dataset.profile import COLOURS, ENCODER
from atelier.tasks.dataset.shards import read_pictures
from atelier.tasks.images.codec import Pixels, center_square, decode

SIDE_PX = 128  # of the middle square that the encoder sees


def measure_shard(shard: Path, ids: Sequence[str], weights: Path) -> dict[str, np.ndarray]:
    """Measure some rows of a shard.

    Returns:
        The row of `measure_pictures` for each, by id.
    """
    data = read_pictures(shard, ids)
    found = list(data)
    statistics = measure_pictures([decode(data[id]) for id in found], weights)
    return dict(zip(found, statistics, strict=True))


@torch.inference_mode()
def measure_pictures(pictures: Sequence[Pixels], weights: Path) -> np.ndarray:
    """Width, height, `COLOURS`, then the encoder's last features averaged over the picture.

    Args:
        pictures: uint8 (H, W, 3), of any sizes.

    Returns:
        float32 (n, d).
    """
    encoder = encoders.load(ENCODER, weights)
    # twice as fast on a CPU with the channels last
    nn.utils.convert_conv2d_weight_memory_format(encoder, torch.channels_last)
    squares = torch.from_numpy(np.stack([center_square(picture, SIDE_PX) for picture in pictures])).permute(0, 3, 1, 2)
    deep = encoder((squares / 255).contiguous(memory_format=torch.channels_last))[encoder.content_layer].mean((2, 3))
    seen = [_statistics(picture) for picture in pictures]
    return np.concatenate([np.array(seen, np.float32), deep.numpy()], axis=1)


def _statistics(picture: Pixels) -> list[float]:
    red, green, blue = (float(value) for value in picture.reshape(-1, 3).mean(0))
    luminance = picture @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    seen = {
        "red": red,
        "green": green,
        "blue": blue,
        "brightness": float(luminance.mean()),
        "contrast": float(luminance.std()),
    }
    return [float(picture.shape[1]), float(picture.shape[0]), *(seen[name] for name in COLOURS)]
