"""Networks of a model that edits: a generator, what is known of its latents, and what sees its pictures."""

import torch
from torch import Tensor, nn

from atelier.models.encoders.base import Encoder
from atelier.models.networks.classifier import Classifier


class LatentEditor(nn.Module):
    """The networks of a model folder.

    Args:
        base: the generator whose latents are moved.
        latent: numbers of a latent, D; of each layer where layers have their own.
        attributes: how many can be given and taken, A.
        filters: of the classifier.
        encoder: for distances of pictures.
    """

    changes: Tensor  # (A, D), see `directions.Directions`
    squares: Tensor  # (A, A), see there
    excluding: Tensor  # (A, A) bool, see `directions.find_excluding`
    mean: Tensor  # (D,), of latents
    spread: Tensor  # (D,), their deviation

    def __init__(self, base: nn.Module, latent: int, attributes: int, filters: int, encoder: Encoder) -> None:
        super().__init__()
        self.base, self.encoder = base, encoder
        self.classifier = Classifier(attributes, filters)
        self.register_buffer("changes", torch.zeros(attributes, latent))
        self.register_buffer("squares", torch.eye(attributes))
        self.register_buffer("excluding", torch.zeros(attributes, attributes, dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("spread", torch.ones(latent))
