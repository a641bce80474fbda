"""A model folder: weights in `generator.safetensors`, and the model card beside them.

Weights are written as they are trained, in float32. A file may hold them in float16, at half the size: they are read
into float32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atelier.models.card import AGAIN, MODEL_CARD, WEIGHTS, ModelCard
from atelier.models.controls import Controls, check_controls
from atelier.models.encoders import ENCODERS
from atelier.models.files import replacing
from atelier.models.methods import Method, method_class
from atelier.models.painter import Painter
from atelier.models.placement import PlacedPainter, StylePlaces
from atelier.models.random_draws import coded_noise, noise
from atelier.models.weights_file import TensorType, read_header

MEANT = 1024  # latents whose mean is that of all
_DTYPES = {  # as safetensors names those that networks have
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class TrainedModel:
    """A trained generator with its settings."""

    method: type[Method]
    config: Any  # the method's config dataclass
    generator: nn.Module
    card: ModelCard

    def painter(self, controls: Controls | None = None) -> Painter:
        """A painter, see `models.painter`; by default of full strength in the trained style, or of drawn holes.

        Raises:
            ValueError: the method does not honour a control, or a control cannot be applied.
        """
        if controls is None:
            return self.method.painter(self.config, self.generator, Controls())
        check_controls(self.method.Config, controls)
        if not controls.placed:
            return self.method.painter(self.config, self.generator, controls)
        painter = self.method.styles_painter(self.config, self.generator, controls)
        return PlacedPainter(painter, StylePlaces(controls.styles))

    def inputs(self, pictures: Tensor, first: int) -> Tensor:
        """What the painter is given where the model is measured on pictures, see `Method.inputs`."""
        return self.method.inputs(self.config, pictures, first)

    def generate(
        self,
        seed: int,
        indices: Sequence[int],
        most: float | None = None,
        codes: Mapping[int, float] | None = None,
    ) -> Tensor:
        """Images from noise, uint8 (B, 3, H, W); see `noise`.

        Raises:
            ValueError: the method does not generate.
        """
        return self.from_noise(self.noise(seed, indices, most, codes), most)

    def noise(
        self,
        seed: int,
        indices: Sequence[int],
        most: float | None = None,
        codes: Mapping[int, float] | None = None,
    ) -> Tensor:
        """What images are generated from, (B, noise); see `random_draws.coded_noise`.

        Args:
            most: within which noise is drawn; where layers have latents, these are truncated instead.
        """
        if self.config.layers:
            most = None
        return coded_noise(seed, indices, getattr(self.config, "noise", 1), most, self.config.codes, codes or {})

    def reconstruct(self, pictures: Tensor) -> Tensor:
        """Pictures as the model's latents hold them, see `Method.reconstruct`."""
        return self.method.reconstruct(self.config, self.generator, pictures)

    def from_noise(self, numbers: Tensor, truncation: float | None = None) -> Tensor:
        """Images from the given noise (B, noise); see `latents`."""
        return self.from_latents(self.latents(numbers, truncation))

    def latents(self, numbers: Tensor, truncation: float | None = None) -> Tensor:
        """What images are made of, from noise (B, noise); see `Method.latents`.

        Args:
            truncation: ψ of Karras et al. 2019, appendix B: where layers have latents, the share of their way from the
                mean latent that is left; None leaves all. Elsewhere noise is truncated already.
        """
        latents = self.method.latents(self.config, self.generator, numbers)
        if truncation is None or not self.config.layers:
            return latents
        return torch.lerp(self.mean_latent, latents, truncation)

    @property
    def mean_latent(self) -> Tensor:
        """The mean of many latents, (…)."""
        return self.latent_statistics[0]

    @cached_property
    def latent_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of many latents, (…) each."""
        latents = self.method.latents(self.config, self.generator, noise(0, range(MEANT), self.config.noise))
        return latents.mean(0), latents.std(0)

    def synthesize(self, latents: Tensor) -> Tensor:
        """Images (B, 3, H, W) in about [-1, 1] of the given latents; see `Method.synthesize`."""
        return self.method.synthesize(self.config, self.generator, latents)

    def from_latents(self, latents: Tensor) -> Tensor:
        """Images of the given latents; those of layers (B, layers, latent) may be mixed of several images."""
        return self.method.generate(self.config, self.generator, latents)


def save(folder: Path, method_config: Any, generator: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write the model, each file complete or not at all.

    Args:
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
    method, config = method_class(card.method), card.settings
    try:
        with torch.device("meta"):
            generator = method.build_generator(config, ENCODERS.get(card.encoder))
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder / MODEL_CARD} has a config that {card.method} does not take: {error}") from error
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a complete model: {WEIGHTS} is missing")
    _check_weights(path, generator)
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut short ({error})") from error
    if bad := [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise ValueError(f"{path} holds NaN or infinite weights, in {bad[0]}: {AGAIN}")
    wanted = generator.state_dict()
    generator.load_state_dict({key: value.to(wanted[key].dtype) for key, value in weights.items()}, assign=True)
    return TrainedModel(method, config, generator.to(device).eval().requires_grad_(False), card)


def _check_weights(path: Path, generator: nn.Module) -> None:
    """Check that a file holds the network's tensors and no others, by its header. Raises ValueError."""
    try:
        found = read_header(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged or cut short ({error})") from error
    wanted = {key: (_DTYPES[value.dtype], tuple(value.shape)) for key, value in generator.state_dict().items()}
    for key in [*wanted, *found]:
        if found.get(key) not in (wanted.get(key), _halved(wanted.get(key))):
            holds, needs = (_described(types.get(key)) for types in (found, wanted))
            raise ValueError(
                f"{path} does not hold the network that {MODEL_CARD} describes: {key[:100]} is {holds}, not {needs}"
            )


def _halved(kind: TensorType | None) -> TensorType | None:
    """How a file may hold a tensor at half its size."""
    return ("F16", kind[1]) if kind and kind[0] == "F32" else kind


def _described(kind: TensorType | None) -> str:
    return f"{kind[0]} {list(kind[1])}" if kind else "missing"
