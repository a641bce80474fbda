"""Spectral norms that advance once a turn, whatever parts the batch comes in."""

import torch
from torch import nn
from torch.nn.utils import parametrize


@torch.no_grad()
def advance(module: nn.Module) -> None:
    """Do one power iteration for each spectrally normalised weight, and hold the estimate until the next call.

    Miyato et al. 2018, algorithm 1. PyTorch iterates in every forward pass of training, so that two passes would see
    two networks, and the weights depend on how often they were looked at.
    """
    for layer in module.modules():
        if parametrize.is_parametrized(layer):
            assert isinstance(layer.parametrizations, nn.ModuleDict)
            for name, steps in layer.parametrizations.items():
                steps.train()
                getattr(layer, name)
                steps.eval()
