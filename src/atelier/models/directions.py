"""Attribute directions: how latents change where one attribute changes and the others do not.

Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face Editing" (InterFaceGAN): attributes are
linear in latents, and a direction is made orthogonal to those of other attributes ("conditional manipulation",
section 2.2). What differs: the linear functions are regressions of a classifier's logits and not support vector
machines, so that they have a scale; and what is orthogonal is the change of logits, measured by the covariance of
latents, so that an edit goes where latents are.
"""

import torch
from torch import Tensor

RIDGE = 1e-3  # of the regression, relative to the mean variance of latents


def learn_directions(latents: Tensor, logits: Tensor) -> Tensor:
    """The changes of latents that raise one logit by 1 and leave the others alone, as far as logits are linear.

    Of all such changes it is the likeliest, Σ Nᵀ (N Σ Nᵀ)⁻¹, where Σ is the covariance of the latents and N the
    regression.

    Args:
        latents: (N, D), N well above D.
        logits: (N, A), what a classifier says of their pictures.

    Returns:
        (A, D) float32.
    """
    x, y = latents.double(), logits.double()
    x, y = x - x.mean(0), y - y.mean(0)
    covariance = x.t() @ x / len(x)
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=x.dtype)
    normals = torch.linalg.solve(covariance + ridge, x.t() @ y / len(x)).t()  # (A, D)
    moved = normals @ covariance  # (A, D)
    directions: Tensor = torch.linalg.solve(moved @ normals.t(), moved)
    return directions.float()
