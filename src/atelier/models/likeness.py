"""Pictures like a given one: its latents in a model that generates, and latents around them.

Latents are found as `gan_inversion` does, from the model's encoder where it has one. Those of another picture that the
model makes are near where a part of the way is gone to that one's.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from atelier.models.artifact import TrainedModel
from atelier.models.encoders.base import Encoder
from atelier.models.gan_inversion import find_latents
from atelier.models.pixels import to_float
from atelier.models.random_draws import along

STEPS = 200  # of the inversion
SHARE = 0.3  # of the way to another picture


def latents_of(model: TrainedModel, pictures: Tensor, encoder: Encoder, steps: int = STEPS) -> Tensor:
    """The latents of pictures, (B, …, D).

    Args:
        pictures: uint8 (B, 3, S, S), of the model's size.
        encoder: whose features are compared.
    """
    given = to_float(pictures, torch.device("cpu"))
    mean, spread = (x[0] if x.ndim == 2 else x for x in model.latent_statistics)  # layers draw the same ones
    spread = spread.clamp(min=1e-6)
    return find_latents(model.method, model.config, model.generator, encoder, given, mean, spread, steps)


def latents_around(
    model: TrainedModel,
    latents: Tensor,
    seed: int,
    indices: Sequence[int],
    truncation: float | None = None,
    codes: Mapping[int, float] | None = None,
) -> Tensor:
    """Latents near one, (len(indices), …, D): with index 0 itself, else a function of it, the seed and the index.

    Args:
        latents: of one picture, (…, D).
        truncation, codes: as of `TrainedModel.latents` and `TrainedModel.noise`, of the other pictures.
    """
    others = model.latents(model.noise(seed, indices, truncation, codes), truncation)
    shares = torch.tensor([SHARE if index else 0.0 for index in indices])
    if model.config.layers:
        return torch.lerp(latents.expand_as(others), others, shares[:, None, None])
    return torch.cat([along(latents, other, share[None]) for other, share in zip(others, shares, strict=True)])
