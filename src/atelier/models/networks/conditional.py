"""Conditional instance normalisation: one network, many styles, each a scale and a shift of every norm.

Dumoulin et al. 2017, "A Learned Representation for Artistic Style", equation 5. Here the parameters of a style are
differences from those that all styles share: a style of zeros is their common one, and a new style begins there.
"""

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.encoders.base import Encoder
from atelier.models.networks.generator import Residual
from atelier.models.networks.light import LightGenerator
from atelier.models.networks.style_predictor import StylePredictor

# Each step moves one style of many, but the network's weights for all: a style's parameters are this many times what
# is trained (an equalised learning rate: Karras et al. 2018, section 4.1).
GAIN = 5.0


def _affine(network: nn.Module) -> list[nn.Parameter]:
    """Scales and shifts (C) of the norms of a network, in order."""
    layers = [module for module in network.modules() if isinstance(module, nn.InstanceNorm2d)]
    return [parameter for layer in layers for parameter in layer.parameters()]


def style_size(network: nn.Module) -> int:
    """Numbers in a style: a scale and, where the norm has one, a shift for every channel of every norm."""
    return sum(parameter.numel() for parameter in _affine(network))


class Styled:
    """A network whose norms take the styles of a batch, one for each picture.

    Args:
        styles: (B, P), see `style_size`.
    """

    def __init__(self, network: LightGenerator, styles: Tensor) -> None:
        self.network = network
        sizes = [parameter.numel() for parameter in _affine(network)]
        self.parts: Iterator[Tensor] = iter(torch.split(GAIN * styles, sizes, 1))  # (B, C) each

    def __call__(self, x: Tensor, top: int = 0, left: int = 0) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] to pictures of the same shape and range; to be called once.

        They are regions that begin at row `top` and column `left`: the strokes are those of the place.
        """
        y = self._through(self.network.encode, self.network.given(x, top, left))
        for block in self.network.transform:
            assert isinstance(block, Residual)
            y = y + self._through(block.body, y)
        return self.network.drawn(x, self._through(self.network.decode, y))

    def _through(self, layers: Iterable[nn.Module], y: Tensor) -> Tensor:
        for layer in layers:
            y = self._normalised(layer, y) if isinstance(layer, nn.InstanceNorm2d) else layer(y)
        return y

    def _normalised(self, layer: nn.InstanceNorm2d, y: Tensor) -> Tensor:
        scale, shift = layer.weight + next(self.parts), None
        if layer.bias is not None:
            shift = layer.bias + next(self.parts)
        y = F.instance_norm(y, eps=layer.eps) * scale[:, :, None, None]  # (B, C, h, w)
        return y if shift is None else y + shift[:, :, None, None]


@torch.no_grad()
def network_of(network: LightGenerator, style: Tensor) -> LightGenerator:
    """The plain network of one style (P): its norms have the parameters of that style."""
    plain = copy.deepcopy(network)
    parameters = _affine(plain)
    for parameter, part in zip(parameters, torch.split(GAIN * style, [p.numel() for p in parameters]), strict=True):
        parameter.add_(part)
    return plain


class ConditionalGenerator(nn.Module):
    """A network, and its named styles or what predicts a style from a picture.

    Args:
        network: its norms' own parameters are those that all styles share.
        names: of the styles; none, if they are predicted.
        kind: of the encoder that styles are predicted with, if they are.
    """

    def __init__(self, network: LightGenerator, names: tuple[str, ...], kind: type[Encoder] | None) -> None:
        super().__init__()
        self.names, self.network = names, network
        if kind is None:
            self.styles = nn.Parameter(torch.zeros(len(names), style_size(network)))
        else:
            self.predictor = StylePredictor(kind, style_size(network))

    def forward(self, x: Tensor, styles: Tensor, top: int = 0, left: int = 0) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1], each in its style (B, P), to the same; see `Styled`."""
        return Styled(self.network, styles)(x, top, left)
