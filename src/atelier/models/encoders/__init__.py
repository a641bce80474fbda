"""Perceptual encoders by name: frozen networks whose features the losses and metrics compare."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from atelier.models.encoders.alexnet import AlexNet
from atelier.models.encoders.base import Encoder
from atelier.models.encoders.efficientnet_lite0 import DeepEfficientNetLite0, EfficientNetLite0
from atelier.models.encoders.inception import Inception
from atelier.models.encoders.vgg16 import Vgg16
from atelier.models.encoders.vgg19 import Vgg19
from atelier.models.weights_file import mismatch

__all__ = ["ENCODERS", "Encoder", "load"]

ENCODERS: dict[str, type[Encoder]] = {
    "alexnet": AlexNet,
    "efficientnet_lite0": EfficientNetLite0,
    "efficientnet_lite0_deep": DeepEfficientNetLite0,
    "inception": Inception,
    "vgg16": Vgg16,
    "vgg19": Vgg19,
}


def load(name: str, weights: Path) -> Encoder:
    """The encoder of that name with its weights, as `Encoder.convert` laid them out in a safetensors file; frozen.

    Raises:
        ValueError: the name is unknown, or the file does not hold this encoder's weights.
    """
    if name not in ENCODERS:
        raise ValueError(f"unknown encoder {name!r}: choose one of {', '.join(sorted(ENCODERS))}")
    with torch.device("meta"):  # no time spent on random weights
        encoder = ENCODERS[name]()
    try:
        encoder.load_state_dict(load_file(weights), assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{weights} does not hold the weights of {name}: {mismatch(error)}") from error
    encoder.freeze()
    return encoder
