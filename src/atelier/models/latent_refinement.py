"""Latents moved by the gradient of a classifier, where directions alone do not reach an attribute.

Patashnik et al. 2021, "StyleCLIP: Text-Driven Manipulation of StyleGAN Imagery", section 4: latents are optimised until
a network says that the picture shows what is asked for, while they and the picture stay near to what they were. What
differs: the network is a classifier of attributes, it also says which other attributes must stay, and nearness is that
of pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE = 0.1  # of Adam, in deviations of latents
FALL = 0.4  # share of the steps in which the rate falls
MARGIN = 2.0  # logits at which an attribute that must stay is safe
OTHERS = 0.5  # weight of attributes that must stay
PRIOR = 5e-3  # weight of the squared length of the move, in deviations
PIXELS = 20.0  # weight of the squared change of pixels in [-1, 1]


def refine(
    change: Callable[[Tensor], Tensor],
    classifier: nn.Module,
    pictures: Tensor,
    move: Tensor,
    wanted: Tensor,
    asked: Tensor,
    steps: int,
    drawn: Callable[[Tensor], object],
) -> Tensor:
    """The move of latents after the last step, (B, D); each is a function of its own picture.

    Args:
        change: moves (B, D), in deviations of latents, to what they change in pictures; differentiable.
        classifier: pictures (B, 3, S, S) to logits (B, A); differentiable.
        pictures: (B, 3, S, S) in [-1, 1], to which changes are added.
        move: (B, D), the one to begin with.
        wanted: (B, A), logits to reach, see `asked`.
        asked: (B, A) bool: which of the attributes are to change; the signs of the others are to stay.
        steps: of the optimiser.
        drawn: called after each step with what the move changes by then, (B, 3, S, S).
    """
    with torch.inference_mode(False), torch.enable_grad():
        pictures, wanted, asked = (x.detach().clone() for x in (pictures, wanted, asked))
        move = move.detach().clone().requires_grad_()
        with torch.no_grad():
            had = classifier(pictures)
        up, sign, safe = (wanted - had).sign(), had.sign(), had.abs().clamp(max=MARGIN)
        optimizer = torch.optim.Adam([move], RATE, betas=(0.9, 0.99))
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (1 - step / steps) / FALL)
            changed = change(move)
            if step:
                drawn(changed.detach())
            now = classifier((pictures + changed).clamp(-1, 1))
            missed = torch.where(asked, F.relu((wanted - now) * up), OTHERS * F.relu(safe - now * sign)).sum(1)
            near = PRIOR * move.square().sum(1) + PIXELS * changed.square().mean((1, 2, 3))
            optimizer.zero_grad()
            torch.autograd.backward((missed + near).sum(), inputs=[move])
            optimizer.step()
        move = move.detach()
        with torch.no_grad():
            drawn(change(move))
    return move
