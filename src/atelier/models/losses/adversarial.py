"""Adversarial losses on patch scores."""

import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.configs.base import Adversarial


def discriminator_loss(kind: Adversarial, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises.

    hinge: E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))], Miyato et al. 2018 (SN-GAN), equation 16.
    least_squares: ½ E[(D(x) − 1)²] + ½ E[D(G(z))²], Mao et al. 2017 (LSGAN), equation 9.
    non_saturating: −E[log σ(D(x))] − E[log(1 − σ(D(G(z))))], Goodfellow et al. 2014, equation 1.
    wasserstein: E[D(G(z))] − E[D(x)], Arjovsky et al. 2017, equation 2; D must be Lipschitz, by a gradient penalty or
        by spectral norms.

    Args:
        real: scores of style pictures, any shape.
        fake: scores of generated pictures, any shape.
    """
    match kind:
        case "hinge":
            return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        case "least_squares":
            return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()
        case "non_saturating":
            return F.softplus(-real).mean() + F.softplus(fake).mean()
        case "wasserstein":
            return fake.mean() - real.mean()


def generator_loss(kind: Adversarial, fake: Tensor) -> Tensor:
    """What the generator minimises.

    hinge: −E[D(G(z))], Miyato et al. 2018, equation 17.
    least_squares: E[(D(G(z)) − 1)²], Zhu et al. 2017 (CycleGAN), section 4: Mao's equation 9 without its ½.
    non_saturating: −E[log σ(D(G(z)))], Goodfellow et al. 2014, section 3.
    wasserstein: −E[D(G(z))], Arjovsky et al. 2017, equation 3.

    Args:
        fake: scores of generated pictures, any shape, with the gradient to the generator.
    """
    match kind:
        case "hinge" | "wasserstein":
            return -fake.mean()
        case "least_squares":
            return (fake - 1).square().mean()
        case "non_saturating":
            return F.softplus(-fake).mean()


def discriminator_losses(kind: Adversarial, scores: Tensor) -> dict[str, Tensor]:
    """The discriminator's loss and accuracy, by the names that methods with one discriminator give them.

    Args:
        scores: (2 B, ...), of B style images and then of as many generated ones, from one pass: exact without
            batch norm.
    """
    real, fake = scores.chunk(2)
    return {"discriminator": discriminator_loss(kind, real, fake), "discriminator_accuracy": accuracy(kind, real, fake)}


def relativistic_generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[−log σ(D(G(z)) − D(x))]: Jolicoeur-Martineau 2019, "The Relativistic Discriminator", section 4.1.

    Args:
        real: scores of style pictures, each compared with the generated one at its place.
        fake: scores of generated pictures, of the same shape.
    """
    return F.softplus(real - fake).mean()


def relativistic_discriminator_losses(scores: Tensor) -> dict[str, Tensor]:
    """E[−log σ(D(x) − D(G(z)))] and the share of pairs that are told apart; arguments as of `discriminator_losses`."""
    real, fake = scores.chunk(2)
    return {
        "discriminator": F.softplus(fake - real).mean(),
        "discriminator_accuracy": (real > fake).float().mean().detach(),
    }


@torch.no_grad()
def accuracy(kind: Adversarial, real: Tensor, fake: Tensor) -> Tensor:
    """Accuracy of the discriminator on patches, 0…1; about ½ at chance level.

    Args:
        kind: the loss, which decides the threshold of scores; for wasserstein it lies between the means.
        real: scores of style pictures, any shape.
        fake: scores of generated pictures, any shape.
    """
    border: Tensor | float
    match kind:
        case "hinge" | "non_saturating":
            border = 0.0
        case "least_squares":
            border = 0.5
        case "wasserstein":
            border = (real.mean() + fake.mean()) / 2
    return ((real > border).float().mean() + (fake < border).float().mean()) / 2
