"""The networks of InfoGAN: a generator that is told codes, and a discriminator that recognises them in pictures.

Chen et al. 2016, "InfoGAN", section 6 and appendix C.1: the recogniser Q shares all convolutions with the
discriminator, and has a hidden layer of 128 of its own. No BatchNorm, as in `networks.dcgan`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.codes import BOUND
from atelier.models.configs.gan import LEAST_PX
from atelier.models.networks.dcgan import SLOPE, DcganDiscriminator, DcganGenerator

HIDDEN = 128
CATEGORY = 2.0  # what a category is told by, beside noise of deviation 1: 1 in the paper; 10 leaves noise no say
LEAST_LOG_STD = -3.0  # of a continuous code, as told by Q: no certainty is worth more


def code_values(noise: Tensor, codes: Sequence[int]) -> Tensor:
    """Values (B, codes) of codes, a category from 0 or within ±BOUND, from noise (B, noise); see `models.codes`."""
    shares = torch.special.ndtr(noise[:, : len(codes)].double())  # (B, codes) in [0, 1]
    columns = [
        (share * count).floor().clamp(max=count - 1) if count else BOUND * (2 * share - 1)
        for share, count in zip(shares.unbind(1), codes, strict=True)
    ]
    return torch.stack(columns, 1).float()


class CodedGenerator(nn.Module):
    """`DcganGenerator` from codes and what is left of the noise.

    Args:
        codes: see `MethodConfig.codes`.
        noise: numbers a picture, with its codes.
    """

    def __init__(self, codes: tuple[int, ...], noise: int, filters: int, size: int) -> None:
        super().__init__()
        self.codes = codes
        latent = sum(count or 1 for count in codes) + noise - len(codes)
        self.draw = DcganGenerator(latent, filters, size)

    def forward(self, noise: Tensor) -> Tensor:
        """(B, noise), standard normal, to (B, 3, size, size) in [-1, 1]."""
        values = code_values(noise, self.codes)
        told = [
            CATEGORY * F.one_hot(value.long(), count) if count else value[:, None]
            for value, count in zip(values.unbind(1), self.codes, strict=True)
        ]
        made: Tensor = self.draw(torch.cat([*told, noise[:, len(self.codes) :]], 1))
        return made


class RecognisingDiscriminator(DcganDiscriminator):
    """A score of a picture, and the distribution Q(c|x) of its codes."""

    def __init__(self, codes: tuple[int, ...], filters: int, size: int) -> None:
        super().__init__(filters, size)
        self.codes = codes
        self.recognise = nn.Sequential(
            nn.Conv2d(self.score.in_channels, HIDDEN, LEAST_PX),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(HIDDEN, sum(count or 2 for count in codes), 1),
        )

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, size, size) in [-1, 1] to scores (B, 1, 1, 1) and what `log_likelihoods` reads, float32."""
        features = self.features(x)
        return self.score(features).float(), self.recognise(features).flatten(1).float()

    def log_likelihoods(self, told: Tensor, values: Tensor) -> Tensor:
        """log Q(c|x), nats: (B, codes).

        Args:
            told: by `both`: logits of a category's values, mean and logarithm of the deviation of a continuous code.
            values: the true ones, see `code_values`.
        """
        parts, found = torch.split(told, [count or 2 for count in self.codes], 1), []
        for part, value, count in zip(parts, values.unbind(1), self.codes, strict=True):
            if count:
                found.append(-F.cross_entropy(part, value.long(), reduction="none"))
            else:
                mean, log_std = part[:, 0], part[:, 1].clamp(min=LEAST_LOG_STD)
                found.append(-F.gaussian_nll_loss(mean, value, (2 * log_std).exp(), full=True, reduction="none"))
        return torch.stack(found, 1)
