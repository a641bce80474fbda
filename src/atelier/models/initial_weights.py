"""The first weights of a generator, from a trained model."""

from collections.abc import Mapping

from torch import Tensor, nn

from atelier.models.artifact import TrainedModel
from atelier.models.configs.base import MethodConfig
from atelier.models.configs.initial_weights import fits
from atelier.models.controls import Controls, Style
from atelier.models.methods import method_of
from atelier.models.painter import NetworkPainter
from atelier.models.weights_file import mismatch


def load_initial_weights(generator: nn.Module, config: MethodConfig, base: TrainedModel, style: Tensor) -> None:
    """Give a generator the weights of a base: all of them, or those of the network that both have in common.

    The latter is what a model of another method shares with this one, or one that knows other styles. Of a model for
    any style it is the network of these pictures' style.

    Args:
        style: uint8 (B, 3, H, W), pictures of the style domain.

    Raises:
        ValueError: the base's generator has another architecture.
    """
    method, part, weights = method_of(config), generator, base.generator.state_dict()
    is_alike = base.method is method and _shapes(weights) == _shapes(generator.state_dict())
    in_common = not is_alike and not base.config.fills and fits(base.config, config)
    painter = base.painter(_controls(base, style)) if in_common else None
    if isinstance(painter, NetworkPainter):  # of a translation both ways that forth, of many styles the first
        part, weights = generator.get_submodule(method.network), painter.network.state_dict()
    try:
        part.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the model to start from has another generator: {mismatch(error)}") from error


def _controls(base: TrainedModel, style: Tensor) -> Controls:
    """The styles to paint in: these pictures, if they can be shown to the model."""
    if not base.config.embedded:
        return Controls()
    pictures = style.permute(0, 2, 3, 1).cpu().numpy()  # (B, H, W, 3)
    return Controls(styles=tuple(Style(f"picture {number}", 1.0, pixels) for number, pixels in enumerate(pictures)))


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}
