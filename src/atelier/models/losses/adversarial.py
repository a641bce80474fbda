"""Adversarial losses on patch scores."""

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

Adversarial = Literal["hinge", "least_squares"]


def discriminator_loss(kind: Adversarial, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises.

    hinge: E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))], Miyato et al. 2018 (SN-GAN), equation 16.
    least_squares: ½ E[(D(x) − 1)²] + ½ E[D(G(z))²], Mao et al. 2017 (LSGAN), equation 9.

    Args:
        kind: which of the two.
        real: scores of style pictures, any shape.
        fake: scores of generated pictures, any shape.
    """
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()


def generator_loss(kind: Adversarial, fake: Tensor) -> Tensor:
    """What the generator minimises.

    hinge: −E[D(G(z))], Miyato et al. 2018, equation 17.
    least_squares: ½ E[(D(G(z)) − 1)²], Mao et al. 2017, equation 9.

    Args:
        kind: which of the two.
        fake: scores of generated pictures, any shape, with the gradient to the generator.
    """
    if kind == "hinge":
        return -fake.mean()
    return 0.5 * (fake - 1).square().mean()
