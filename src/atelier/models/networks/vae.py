"""A variational autoencoder of pictures of one size: DCGAN's discriminator as the encoder, its generator as decoder."""

import torch
from torch import Tensor, nn

from atelier.models.networks.dcgan import DcganDiscriminator, DcganGenerator

BOUND = 10.0  # of logarithms of variances, so that none is 0 or infinite


class Autoencoder(nn.Module):
    """Pictures to normal distributions of latents, and latents to pictures.

    Args:
        latents: numbers a picture.
        filters: channels beside the picture, see `networks.dcgan`.
        size: side of the pictures, px.
    """

    def __init__(self, latents: int, filters: int, size: int) -> None:
        super().__init__()
        self.encoder = DcganDiscriminator(filters, size, 2 * latents)
        self.decoder = DcganGenerator(latents, filters, size)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, size, size) in [-1, 1] to means and logarithms of variances, (B, latents) each, float32."""
        mean, log_variance = self.encoder(x).flatten(1).chunk(2, 1)
        return mean, log_variance.clamp(-BOUND, BOUND)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, latents) to (B, 3, size, size) in [-1, 1]."""
        made: Tensor = self.decoder(latents)
        return made


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence from the standard normal distribution, nats: Kingma & Welling 2014, appendix B.

    Args:
        mean, log_variance: (B, latents).

    Returns:
        (B,).
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def drawn(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Latents (B, latents) from standard normal noise: the reparameterization of Kingma & Welling 2014, section 2.4."""
    return mean + torch.exp(0.5 * log_variance) * noise
