"""Characters: several pictures of one identity, from its latent and small changes of it.

Where layers have latents, those of 4² and 8² positions decide on pose and outline, and those of the others on face and
colours (Karras et al. 2019, figure 3): the former go half of the way to another picture's. Elsewhere noise goes a part
of the way on the great circle. Codes, see `models.codes`, stay.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from atelier.models.artifact import TrainedModel
from atelier.models.configs.stylegan import COARSE
from atelier.models.random_draws import along

MOST_POSES = 16  # of a character
LAYERS_SHARE, NOISE_SHARE = 0.5, 0.3  # of the way to another picture
OTHERS = 2**24  # where the numbers of the other pictures begin


def character_latents(
    model: TrainedModel,
    seed: int,
    places: Sequence[tuple[int, int]],
    truncation: float | None = None,
    codes: Mapping[int, float] | None = None,
) -> Tensor:
    """What pictures are made of, (B, …): functions of the model, the seed, and their character and pose alone.

    Args:
        places: character and pose of each picture, from 0; pose 0 is the picture that has the character's number.
        truncation, codes: as of `TrainedModel.latents` and `TrainedModel.noise`.
    """
    own = model.noise(seed, [character for character, _ in places], truncation, codes)
    other = model.noise(seed, [OTHERS + character * MOST_POSES + pose for character, pose in places], truncation, codes)
    free, moved = slice(len(model.config.codes), None), torch.tensor([pose > 0 for _, pose in places])
    if model.config.layers:
        other[:, : free.start] = own[:, : free.start]
        latents, others = (model.latents(noise, truncation) for noise in (own, other))
        posed = latents.clone()
        posed[moved, COARSE] = torch.lerp(latents[moved, COARSE], others[moved, COARSE], LAYERS_SHARE)
        return posed
    share = torch.tensor([NOISE_SHARE])
    for row in moved.nonzero()[:, 0].tolist():
        own[row, free] = along(own[row, free], other[row, free], share)[0]
    return model.latents(own, truncation)
