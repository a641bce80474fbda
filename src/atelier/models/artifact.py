"""A model folder: weights in `generator.safetensors`, and the model card beside them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atelier.models.card import MODEL_CARD, WEIGHTS, ModelCard
from atelier.models.controls import Controls, check_controls
from atelier.models.encoders import ENCODERS
from atelier.models.files import replacing
from atelier.models.methods import Method, method_class
from atelier.models.painter import Painter
from atelier.models.random_draws import noise


@dataclass(frozen=True)
class TrainedModel:
    """A trained generator with its settings."""

    method: type[Method]
    config: Any  # the method's config dataclass
    generator: nn.Module
    card: ModelCard

    def painter(self, controls: Controls = Controls()) -> Painter:  # noqa: B008  it is frozen
        """A painter, see `models.painter`.

        Args:
            controls: by default full strength in the trained style.

        Raises:
            ValueError: the method does not honour a control, or a control cannot be applied.
        """
        check_controls(self.method.Config, controls)
        return self.method.painter(self.config, self.generator, controls)

    def generate(self, seed: int, indices: Iterable[int], most: float | None = None) -> Tensor:
        """Images from noise, uint8 (B, 3, H, W); see `random_draws.noise`.

        Raises:
            ValueError: the method does not generate.
        """
        return self.from_noise(noise(seed, indices, getattr(self.config, "noise", 1), most))

    def from_noise(self, numbers: Tensor) -> Tensor:
        """Images from the given noise (B, noise)."""
        return self.method.generate(self.config, self.generator, numbers)


def save(folder: Path, method_config: Any, generator: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write the model, each file complete or not at all.

    Args:
        folder: made if needed.
        method_config: config dataclass of the method that trained it.
        generator: the averaged one.
        facts: of the training only, see `ModelCard.training`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().cpu().contiguous() for key, value in generator.state_dict().items()}
    with replacing(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    ModelCard(method_config.name, asdict(method_config), facts).write(folder)


def load(folder: Path, device: torch.device | str = "cpu") -> TrainedModel:
    """Read a model folder.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or of another version; one line that says which.
    """
    card = ModelCard.read(folder)
    method = method_class(card.method)
    try:
        config = _config(method.Config, card.config)
        with torch.device("meta"):
            generator = method.build_generator(config, ENCODERS.get(card.encoder))
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder / MODEL_CARD} has a config that {card.method} does not take: {error}") from error
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a complete model: {WEIGHTS} is missing")
    try:
        generator.load_state_dict(load_file(path), assign=True)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut short ({error})") from error
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"{path} does not hold the network that {MODEL_CARD} describes ({reason})") from error
    return TrainedModel(method, config, generator.to(device).eval().requires_grad_(False), card)


def _config(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """A config dataclass from the JSON of itself, with the dataclasses in it."""
    types = get_type_hints(kind)
    given = {}
    for name, value in values.items():
        inner = types.get(name)
        if isinstance(inner, type) and is_dataclass(inner):
            value = _config(inner, value)
        given[name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)
