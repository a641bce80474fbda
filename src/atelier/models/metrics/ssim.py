"""Structural similarity: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity".

Pictures are compared by their luminance.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5  # pixels, of the Gaussian window
K1, K2 = 0.01, 0.03


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity of each pair, eq. (13), over the positions where the window fits.

    Args:
        x: luminance (B, 1, H, W) in [0, 1], H and W of at least 11.
        y: as x.

    Returns:
        (B,) in [-1, 1]; 1 for equal pictures.
    """
    if min(x.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs pictures of at least {WINDOW} pixels a side, these have {tuple(x.shape[-2:])}")
    x, y = x.double(), y.double()  # variances are small differences of large numbers
    offsets = torch.arange(WINDOW, device=x.device, dtype=x.dtype) - WINDOW // 2
    line = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    line = line / line.sum()

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(image, line[None, None, :, None]), line[None, None, None, :])

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return similarity.mean(dim=(1, 2, 3))
