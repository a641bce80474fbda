"""imported: a generator trained by the reference implementations of CycleGAN or CUT.

Their residual generator (Zhu et al. 2017, section 7.2; Park et al. 2020, appendix C) is recognised by the shapes of its
weights. InstanceNorm takes a constant out again, so the biases that the reference code has before its norms are left
away.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from atelier.models.configs.translation import ImportedConfig
from atelier.models.encoders.base import Encoder
from atelier.models.methods.base import Method
from atelier.models.networks.generator_choice import new_generator

ENDS = 6  # convolutions outside the residual blocks: from the picture, two down, two up, to the picture


class Imported(Method):
    """A model of another program, for inference only; see the module."""

    Config: ClassVar[type[ImportedConfig]] = ImportedConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, config: ImportedConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        raise ValueError("an imported model cannot be trained: train cyclegan or cut")

    @staticmethod
    def build_generator(config: ImportedConfig, encoder: type[Encoder] | None) -> nn.Module:
        """The generator, without dropout, since that is for training."""
        return new_generator(config.architecture)


def recognise(published: Mapping[str, Any]) -> tuple[ImportedConfig, dict[str, Tensor]]:
    """The config and the weights of a reference generator's state dict.

    Args:
        published: `model.<number>.…` as the reference code saves it, with "module." before it or without.

    Returns:
        The config, and the state dict of the network that `Imported.build_generator` makes of it.

    Raises:
        ValueError: it is another network; says which, or what is unlike.
    """
    state = {key.removeprefix("module."): value for key, value in published.items() if isinstance(value, Tensor)}
    if any("running_mean" in key for key in state) and any(_is_norm(key, value) for key, value in state.items()):
        raise ValueError("it is normalised over batches: only generators with InstanceNorm can be imported")
    if any(".model.1.model." in key for key in state):
        raise ValueError("it is a U-Net: only residual generators can be imported")
    if any(_is_norm(key, value) for key, value in state.items()):
        raise ValueError("its norms have weights: only generators with plain InstanceNorm can be imported")
    weights = {key: value for key, value in state.items() if key.endswith(".weight") and value.ndim == 4}
    order = sorted(weights, key=lambda key: [int(number) for number in re.findall(r"\d+", key)])
    blocks, odd = divmod(len(order) - ENDS, 2)
    if blocks < 1 or odd or any(not key.startswith("model.") for key in order):
        raise ValueError(
            f"{len(order)} convolutions are not those of a residual generator: name a file like latest_net_G_A.pth"
        )
    filters = weights[order[0]].shape[0]
    config = ImportedConfig(filters, blocks, antialiased=any(key.endswith(".filt") for key in state))
    with torch.device("meta"):
        wanted = Imported.build_generator(config, None).state_dict()
    convolutions = [key for key in wanted if wanted[key].ndim == 4]
    given = {ours: weights[theirs] for ours, theirs in zip(convolutions, order, strict=True)}
    bias = next(key for key in wanted if key.endswith(".bias"))  # of the last convolution: the others have none
    given[bias] = state.get(order[-1].replace(".weight", ".bias"), torch.zeros(3))
    for key, value in given.items():
        if value.shape != wanted[key].shape:
            raise ValueError(
                f"a convolution has the shape {tuple(value.shape)} where a residual generator of {filters} filters has "
                f"{tuple(wanted[key].shape)}: grey or otherwise different generators cannot be imported"
            )
    return config, {key: value.float().contiguous() for key, value in given.items()}


def _is_norm(key: str, value: Tensor) -> bool:
    return key.endswith(".weight") and value.ndim == 1
