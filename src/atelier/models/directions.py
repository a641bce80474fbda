"""Attribute directions: how latents change where one attribute changes and the others do not.

Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face Editing" (InterFaceGAN): attributes are
linear in latents, and a direction is made orthogonal to those of other attributes ("conditional manipulation").
What differs: the linear functions are regressions of a classifier's logits and not support vector
machines, so that they have a scale; and what is orthogonal is the change of logits, measured by the covariance of
latents, so that an edit goes where latents are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

RIDGE = 1e-3  # of the regression, relative to the mean variance of latents
RARELY = 0.1  # of what chance would give: attributes that are together so seldom exclude each other


class Directions(NamedTuple):
    """What attributes are in latents."""

    changes: Tensor  # (A, D): of latents, for one more of a logit
    squares: Tensor  # (A, A): squared length of a sum of changes as a quadratic form, in deviations of latents


def learn_directions(latents: Tensor, logits: Tensor, excluding: Tensor, kept: Tensor) -> Directions:
    """The changes of latents that raise one logit by 1 and leave the others alone, as far as logits are linear.

    Of all such changes it is the likeliest, Σ Nᵀ (N Σ Nᵀ)⁻¹, where Σ is the covariance of the latents and N the
    regression. Where attributes exclude each other one cannot be given without the other's change, which is left
    open.

    Args:
        latents: (N, D), N well above D.
        logits: (N, A), what a classifier says of their pictures.
        excluding: (A, A) bool, see `find_excluding`.
        kept: (N, K), further measures of the pictures that shall not change.
    """
    count = logits.shape[1]
    x, y = latents.double(), torch.cat([logits, kept], 1).double()
    x, y = x - x.mean(0), y - y.mean(0)
    covariance = x.t() @ x / len(x)
    covariance += RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=x.dtype)
    normals = torch.linalg.solve(covariance, x.t() @ y / len(x)).t()  # (A + K, D)
    moved = normals @ covariance  # (A + K, D)
    told = moved @ normals.t()  # (A + K, A + K), symmetric: of each measure, along each
    shares = torch.zeros_like(told[:count])
    for index in range(count):
        stay = torch.cat([~excluding[index], torch.ones(kept.shape[1], dtype=torch.bool)]).nonzero()[:, 0]
        shares[index, stay] = torch.linalg.solve(told[stay][:, stay], (stay == index).to(x.dtype))
    return Directions((shares @ moved).float(), (shares @ told @ shares.t()).float())


def find_excluding(has: Tensor) -> Tensor:
    """Which attributes exclude each other, like colours of hair, (A, A) bool; none excludes itself.

    Args:
        has: (N, A) bool, the attributes of pictures.
    """
    x = has.double()
    share = x.mean(0)
    together: Tensor = x.t() @ x / len(x) < RARELY * share[:, None] * share
    return together.fill_diagonal_(False)
