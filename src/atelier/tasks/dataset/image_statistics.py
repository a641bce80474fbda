"""Image statistics: size, colours and encoder features of pictures; a worker's part of profiling."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from atelier.models import encoders
from atelier.tasks.dataset.profile import ENCODER
from atelier.tasks.images.codec import Pixels, center_square

SIDE_PX = 128  # of the middle square that the encoder sees


@torch.inference_mode()
def measure_pictures(pictures: Sequence[Pixels], weights: Path) -> np.ndarray:
    """Float32 (n, d): width, height, `profile.COLOURS`, then the encoder's last features averaged over the picture."""
    encoder = encoders.load(ENCODER, weights)
    # twice as fast on a CPU with the channels last
    nn.utils.convert_conv2d_weight_memory_format(encoder, torch.channels_last)
    squares = torch.from_numpy(np.stack([center_square(picture, SIDE_PX) for picture in pictures])).permute(0, 3, 1, 2)
    deep = encoder((squares / 255).contiguous(memory_format=torch.channels_last))[encoder.content_layer].mean((2, 3))
    seen = [_statistics(picture) for picture in pictures]
    return np.concatenate([np.array(seen, np.float32), deep.numpy()], axis=1)


def _statistics(picture: Pixels) -> list[float]:
    height, width = picture.shape[:2]
    luminance = picture @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    return [width, height, *picture.reshape(-1, 3).mean(0).tolist(), float(luminance.mean()), float(luminance.std())]
