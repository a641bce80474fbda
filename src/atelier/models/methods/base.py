"""The interface of a training method: networks, losses, and a painter."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from atelier.models.configs.base import MethodConfig, Policy
from atelier.models.controls import Controls
from atelier.models.diffaugment import DRAWS, diffaugment
from atelier.models.encoders.base import Encoder
from atelier.models.painter import NetworkPainter, Painter, StylesPainter
from atelier.models.pixels import downscaled, finite, to_float, to_uint8
from atelier.models.random_draws import uniform


@dataclass(frozen=True)
class Batch:
    """Images of one rank for one step."""

    content: Tensor  # uint8 (B, 3, H, W): images to paint
    style: Tensor  # uint8 (B, 3, H, W): paintings
    content_labels: Tensor | None = None  # float32 (B, A), 0 or 1, of methods with attributes
    style_labels: Tensor | None = None  # as `content_labels`


@dataclass
class MicroBatch:
    """Images of one forward pass: a rank's batch, or a part of it when gradients accumulate."""

    content: Tensor  # (b, 3, H, W) float32 in [-1, 1]
    style: Tensor  # (b, 3, H, W) float32 in [-1, 1]
    seed: int  # of the training
    step: int  # from 0
    first: int  # position of its first image in the global batch
    batch_size: int  # images of the global batch
    is_whole: bool  # whether it is the whole batch of its rank
    content_labels: Tensor | None = None  # (b, A) float32, 0 or 1, of methods with attributes
    style_labels: Tensor | None = None  # as `content_labels`
    saved: dict[str, Any] = field(default_factory=dict)  # tensors of the generator's turn for the discriminator's

    @property
    def fraction(self) -> float:
        """Share of the global batch, 0…1."""
        return len(self.content) / self.batch_size

    def uniform(self, numbers: int, salt: int) -> Tensor:
        """Random numbers (b, numbers), uniform in [0, 1); see `random_draws.uniform`."""
        return self.uniform_at(range(self.first, self.first + len(self.content)), numbers, salt)

    def uniform_at(self, places: range, numbers: int, salt: int) -> Tensor:
        """The same for any positions of the global batch, (len(places), numbers)."""
        return uniform(self.seed, self.step, places.start, len(places), numbers, salt)


def augmented(x: Tensor, policy: tuple[Policy, ...], batch: MicroBatch, salt: int) -> Tensor:
    """DiffAugment of a discriminator's input (b, 3, H, W), with equal parameters for real and generated images."""
    return diffaugment(x, policy, batch.uniform(DRAWS, salt)) if policy else x


class Method(ABC):
    """One way to train a generator: networks and losses. The trainer does everything else.

    A step has turns, such as the generator's and the discriminator's. In each the trainer asks for the losses of each
    part of the batch, and moves the networks that have the turn down the gradient of their weighted sum. A method
    without turns learns all there is in `prepare`.
    """

    Config: ClassVar[type[MethodConfig]]  # the class of its settings, which names the method
    modules: dict[str, nn.Module]  # all that a checkpoint must hold; "generator" is the one that stylizes
    turns: ClassVar[dict[str, tuple[str, ...]]]  # by turn, the trained modules, or "module.submodule" of them
    weights: dict[str, float]  # by loss; a value without a weight is only logged
    network: ClassVar[str] = ""  # the submodule of the generator that has `Config.architecture`; "": the whole of it

    @abstractmethod
    def __init__(self, config: Any, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        """Make the networks; convolutions compute in `dtype`, weights stay float32."""

    def embed(self, encoder: Encoder) -> None:  # noqa: B027  most have none
        """Take the weights of the encoder that is a part of the generator: that of `Config.embedded`."""

    @staticmethod
    @abstractmethod
    def build_generator(config: Any, encoder: type[Encoder] | None) -> nn.Module:
        """A fresh generator, as a model folder holds it.

        Args:
            encoder: class of the perceptual encoder, for generators that contain one; None for a model from elsewhere.
        """

    @classmethod
    def painter(cls, config: Any, generator: nn.Module, controls: Controls) -> Painter:
        """A painter, by default a `NetworkPainter`; work that is the same for all images is done here, once.

        Args:
            generator: trained, in evaluation mode.
            controls: checked against those that the method honours (`Config.controls`).

        Returns:
            A painter whose results are `config.scale` times as large as its images.

        Raises:
            ValueError: a control cannot be applied, such as a style that the model does not know.
        """
        return NetworkPainter(generator.eval(), controls.strength, scale=config.scale)

    @classmethod
    def styles_painter(cls, config: Any, generator: nn.Module, controls: Controls) -> StylesPainter:
        """A painter of placed styles, in their order, of a method that has styles; arguments as of `painter`."""
        raise ValueError(f"{cls.Config.name} has no styles to place")

    @classmethod
    def inputs(cls, config: Any, pictures: Tensor, first: int) -> Tensor:
        """What a painter is given where samples are taken and models are measured: by default the pictures.

        Where a model enlarges they are smaller, so that what it makes can be compared with them.

        Args:
            pictures: uint8 (B, 3, H, W).
            first: number of the first of them, from 0.

        Returns:
            uint8 (B, 3, H / scale, W / scale).
        """
        return downscaled(pictures, config.scale)

    @classmethod
    def latents(cls, config: Any, generator: nn.Module, noise: Tensor) -> Tensor:
        """What `generate` makes pictures of, (B, …), from normal numbers (B, config.noise): by default these."""
        return noise

    @classmethod
    def synthesize(cls, config: Any, generator: nn.Module, latents: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in about [-1, 1] from latents, of a method that `generates`; differentiable.

        Raises:
            ValueError: the method paints.
        """
        raise ValueError(f"{cls.Config.name} paints pictures and makes none from noise: use `atelier stylize`")

    @classmethod
    @torch.inference_mode()
    def generate(cls, config: Any, generator: nn.Module, latents: Tensor) -> Tensor:
        """The same as uint8."""
        return to_uint8(finite(cls.synthesize(config, generator, latents)))

    @classmethod
    def from_noise(cls, config: Any, generator: nn.Module, noise: Tensor) -> Tensor:
        """The same from noise; arguments as of `latents`."""
        return cls.generate(config, generator, cls.latents(config, generator, noise))

    @classmethod
    def encode(cls, config: Any, generator: nn.Module, pictures: Tensor) -> Tensor:
        """Latents of pictures (B, 3, H, W) in [-1, 1], of the training's size, by a method that `reconstructs`.

        Raises:
            ValueError: the method has no encoder.
        """
        raise ValueError(f"{cls.Config.name} has no encoder, so that it reconstructs no pictures: train one by vae")

    @classmethod
    @torch.inference_mode()
    def reconstruct(cls, config: Any, generator: nn.Module, pictures: Tensor) -> Tensor:
        """What latents hold of uint8 pictures (B, 3, H, W); see `encode`."""
        device = next(generator.parameters()).device
        return cls.generate(config, generator, cls.encode(config, generator, to_float(pictures, device)))

    @classmethod
    def sample_rows(cls, config: Any, generator: nn.Module, pictures: Tensor, seed: int) -> dict[str, Tensor]:
        """Further rows of the grids of samples, uint8 pictures (n, 3, H, W) by label; most methods have none.

        Args:
            pictures: uint8 (B, 3, H, W), those of the grid's first row.
            seed: of the training.
        """
        return {}

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:  # noqa: B027  most need nothing
        """Measure the data once, before the first step of a new training."""

    def begin(self, turn: str, parts: Sequence[MicroBatch]) -> None:  # noqa: B027  most need nothing
        """Compute what a turn needs of the whole batch."""

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """The scalars of one turn, means over the part. A method without turns has none.

        What is yielded together shares a graph, which is gone when the next ones are asked for: losses that share
        nothing are yielded separately and need the memory of the larger only.
        """
        raise NotImplementedError


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Convolutions in `dtype`, norms and sums in float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
