"""A worker's part of `--like`: the latents of a given picture, as an array that other workers get."""

from pathlib import Path
from typing import Any

from atelier.tasks.images.codec import center_square, decode
from atelier.tasks.inference import generate_sheets

ENCODER = "efficientnet_lite0"  # whose features are compared; it comes with the packages


def find_latents(model: Path, picture: Path, weights: Path) -> Any:
    """The latents (…, D) of a picture's middle square in a model, as a NumPy array.

    Args:
        weights: of `ENCODER`.
    """
    import torch

    from atelier.models import encoders
    from atelier.models.likeness import latents_of

    trained = generate_sheets.load(model)
    square = center_square(decode(picture.read_bytes()), trained.config.size_px)
    pictures = torch.from_numpy(square.copy()).permute(2, 0, 1)[None]
    return latents_of(trained, pictures, encoders.load(ENCODER, weights))[0].numpy()
