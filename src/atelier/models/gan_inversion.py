"""Inversion: the latents of a given picture.

Abdal et al. 2019, "Image2StyleGAN", algorithm 1: latents are optimised until the generator makes the picture, by the
distance of pixels and of features of an encoder, from where an encoder puts them or from the mean latent. As in Karras
et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix D, Adam's rate goes up and then down.
What differs: there are tens of steps and not a thousand, and latents are held near the mean, since it is not
the picture itself that is wanted but its edits.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from atelier.models.encoders.base import Encoder
from atelier.models.losses.perceptual import unit_distance
from atelier.models.methods.base import Method

RATE = 0.1  # of Adam, in deviations of the latents
RISE, FALL = 0.05, 0.25  # shares of the steps in which the rate rises and falls: Karras et al. 2020
PERCEPTUAL = 1.0  # weight of the distance of features
PRIOR = 1e-3  # weight of the squared deviations from the mean latent


def invert(
    synthesize: Callable[[Tensor], Tensor],
    encoder: Encoder,
    pictures: Tensor,
    start: Tensor,
    mean: Tensor,
    spread: Tensor,
    steps: int,
) -> Tensor:
    """Latents of pictures; each is a function of its own picture.

    Args:
        synthesize: latents (B, …, D) to pictures in [-1, 1]; differentiable.
        encoder: for the distance.
        pictures: (B, 3, H, W) in [-1, 1].
        start: latents (B, …, D).
        mean, spread: (D,), mean and deviation of latents.

    Returns:
        (B, …, D).
    """
    with torch.inference_mode(False), torch.enable_grad():
        pictures, start, mean, spread = (x.detach().clone() for x in (pictures, start, mean, spread))
        # steps in units of the deviation: of latents that hardly vary, small ones
        moved = ((start - mean) / spread).requires_grad_()
        target = encoder.encode(pictures)
        optimizer = torch.optim.Adam([moved], RATE, betas=(0.9, 0.99))
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * _ramp(step / steps)
            made = synthesize(mean + spread * moved)
            loss = (made - pictures).square().mean()
            loss = loss + PERCEPTUAL * unit_distance(encoder.encode(made), target, encoder.style_layers)
            loss = loss + PRIOR * moved.square().mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss * len(pictures), inputs=[moved])
            optimizer.step()
    return (mean + spread * moved).detach()


def find_latents(
    method: type[Method],
    settings: Any,
    generator: nn.Module,
    encoder: Encoder,
    pictures: Tensor,
    mean: Tensor,
    spread: Tensor,
    steps: int,
) -> Tensor:
    """Latents of pictures in a generator, from those of its encoder or from the mean; arguments as of `invert`.

    Args:
        method, settings: of the generator.
        steps: 0 takes where it would start.
    """
    if settings.reconstructs:
        with torch.inference_mode():
            start = method.encode(settings, generator, pictures)
    else:
        layers = (settings.layers,) if settings.layers else ()
        start = mean.expand(len(pictures), *layers, -1)
    if not steps:
        return start

    def synthesize(latents: Tensor) -> Tensor:
        return method.synthesize(settings, generator, latents)

    return invert(synthesize, encoder, pictures, start, mean, spread, steps)


def _ramp(share: float) -> float:
    """Factor on the rate: rises linearly, falls as a cosine."""
    fall = min(1.0, (1 - share) / FALL)
    return (0.5 - 0.5 * math.cos(math.pi * fall)) * min(1.0, share / RISE + 1e-3)
