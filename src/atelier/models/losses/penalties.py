"""Penalties on the gradient of the discriminator with respect to the picture.

A discriminator takes pictures (B, 3, H, W) to scores (B, ...) and must not switch autocast on by itself. The score of a
picture is the mean of its scores, so a penalty means the same for a small picture and a large one. All of it is
computed in float32: squares of small gradients vanish in fewer bits.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """E[‖∇D(x)‖²] over real pictures: Mescheder et al. 2018, equation 9, without its factor γ/2.

    Returns:
        A scalar whose gradient reaches the discriminator's weights. Taken every k-th step only ("lazy", Karras et al.
        2020, appendix B), it is to be weighted k times as much.
    """
    return _gradients(discriminator, real).square().sum(1).mean()


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """E[(‖∇D(x̂)‖ − 1)²] at x̂ = ε x + (1 − ε) G(z): Gulrajani et al. 2017, equation 3, without its factor λ.

    Args:
        fake: (B, 3, H, W), painted pictures; no gradient goes back through them.
        mix: (B,) in [0, 1], ε.

    Returns:
        A scalar whose gradient reaches the discriminator's weights.
    """
    share = mix.to(real.device, torch.float32)[:, None, None, None]
    norms = _gradients(discriminator, torch.lerp(fake.float(), real.float(), share)).norm(dim=1)  # (B,)
    penalty: Tensor = (norms - 1).square().mean()
    return penalty


def _gradients(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """∇D at each picture, (B, 3 H W)."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float().requires_grad_()
        scores = discriminator(x).flatten(1).mean(1)  # (B,)
        (gradients,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradients.flatten(1)
