"""How far a set of pictures is from a style, by the Gram matrices of an encoder's features.

Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks", eq. (3) and (4), with the size taken out
as in Johnson et al. 2016, eq. (3), and taken from one picture to sets: what is compared is the sets' mean Gram matrix.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from atelier.models.metrics.mmd import Array


def gram_vectors(features: Tensor) -> Tensor:
    """G = F F' / (C H W) of each picture (B, C, H, W), as a vector whose products are those of the symmetric matrix.

    Returns:
        (B, C (C + 1) / 2) float32: the upper triangle, off the diagonal times √2.
    """
    B, C, H, W = features.shape
    flat = features.float().reshape(B, C, H * W)
    gram = flat @ flat.transpose(1, 2) / (C * H * W)  # (B, C, C)
    rows, columns = torch.triu_indices(C, C, device=gram.device)
    weight = torch.where(rows == columns, 1.0, 2.0**0.5)
    return gram[:, rows, columns] * weight


def style_kernel(layers: Sequence[np.ndarray], style: slice) -> Array:
    """The linear kernel on Gram matrices, summed over layers, whose MMD² is the squared distance of mean Gram matrices.

    Each layer is divided by the squared norm of the style's own mean, so that all layers weigh the same: a distance of
    1 is that of a set whose Gram matrices are all zero.

    Args:
        layers: `gram_vectors` of all N pictures for each layer, (N, D).
        style: where the style's own pictures are among the N; at least two.

    Returns:
        (N, N).
    """
    total = np.zeros((len(layers[0]), len(layers[0])))
    for vectors in layers:
        wide = vectors.astype(np.float64)
        kernel = wide @ wide.T
        own = kernel[style, style]
        m = len(own)
        # products of different pictures: an unbiased estimate of the mean's squared norm
        total += kernel / ((own.sum() - np.trace(own)) / (m * (m - 1)))
    return total / len(layers)
