"""What a training method is: networks, a step, and a way to stylize."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from atelier.models.encoders.base import Encoder

Wrap = Callable[[nn.Module], nn.Module]


@dataclass(frozen=True)
class Batch:
    """Pictures for one step of one rank."""

    content: Tensor  # uint8 (B, 3, H, W): what to paint
    style: Tensor  # uint8 (B, 3, H, W): paintings


def to_float(images: Tensor, device: torch.device) -> Tensor:
    """uint8 0…255 to float32 in [-1, 1], on the device."""
    return images.to(device, non_blocking=True).float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Float in [-1, 1] (clipped) to uint8 0…255, rounded."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class Method(ABC):
    """One way to train a generator. `modules` is everything that a checkpoint must hold besides the optimizers."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]  # the method's frozen dataclass
    modules: dict[str, nn.Module]  # as they are, never wrapped; "generator" is the one that stylizes
    optimizers: dict[str, Optimizer]

    @abstractmethod
    def __init__(
        self,
        config: Any,
        encoder: Encoder,
        device: torch.device,
        dtype: torch.dtype,
        learning_rates: tuple[float, float],
        wrap: Wrap,
    ) -> None:
        """Make networks and optimizers.

        Args:
            config: the method's.
            encoder: frozen perceptual encoder.
            device: where to compute.
            dtype: that convolutions compute in; weights stay float32.
            learning_rates: of the generator and the discriminator.
            wrap: for each network that is trained, see `Trainer`.
        """

    @staticmethod
    @abstractmethod
    def build_generator(config: Any) -> nn.Module:
        """A fresh generator for the method's config: (B, 3, H, W) in [-1, 1] to the same."""

    @staticmethod
    @abstractmethod
    def stylize(generator: nn.Module, images: Tensor, strength: float) -> Tensor:
        """Paint uint8 pictures (B, 3, H, W) of any size; `strength` 0…1, and 0 returns them unchanged."""

    def prepare(self, batches: Callable[[int], Batch]) -> None:  # noqa: B027  most methods need nothing
        """Look at the data once, before the first step of a fresh training."""

    @abstractmethod
    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One update of every network. Returns detached scalars, still on the device."""


def paint(generator: nn.Module, images: Tensor, strength: float, multiple: int, minimum: int) -> Tensor:
    """Run a generator that keeps positions over uint8 pictures of any size, and mix its result with the original.

    Mixing is linear in sRGB: x + strength · (G(x) − x). The generator keeps every shape where it is, so halfway shows a
    half-painted picture and no double contours; strength 0 is the input bit by bit.

    Args:
        generator: (B, 3, H, W) in [-1, 1] to the same.
        images: uint8 (B, 3, H, W).
        strength: 0…1.
        multiple: sizes that the generator takes are multiples of this, px.
        minimum: and at least this, px.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 and 1, not {strength}")
    if strength == 0:
        return images
    height, width = images.shape[2:]
    x = pad(to_float(images, next(generator.parameters()).device), multiple, minimum)
    with torch.inference_mode():
        y = torch.lerp(x, generator(x).float().clamp(-1, 1), strength)
    return to_uint8(y[:, :, :height, :width]).to(images.device)


def pad(x: Tensor, multiple: int, minimum: int) -> Tensor:
    """Continue (B, C, H, W) to the right and below by reflection (as often as it takes) to sizes that fit."""
    for axis in (2, 3):
        size = x.shape[axis]
        wanted = max(-(-size // multiple) * multiple, minimum)
        while (size := x.shape[axis]) < wanted:
            extra = min(wanted - size, max(size - 1, 1))
            mode = "reflect" if size > 1 else "replicate"
            x = F.pad(x, (0, 0, 0, extra) if axis == 2 else (0, extra, 0, 0), mode=mode)
    return x
