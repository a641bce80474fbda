"""cpgan: a content-preserving generator against a patch discriminator, guided by an encoder's features.

The generator is trained with content and Gram style losses in an encoder's features (Johnson et al. 2016), an
adversarial loss on the style domain (Miyato et al. 2018), a luminance loss against negatives, identity on pictures of
the style (Zhu et al. 2017) and a total-variation term. The style target is the mean Gram matrix of the style domain,
taken once before the first step.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import Adversarial, discriminator_loss, generator_loss
from atelier.models.losses.perceptual import (
    content_loss,
    gram,
    identity_loss,
    luminance_loss,
    style_loss,
    total_variation,
)
from atelier.models.methods.base import Batch, Method, Wrap, paint, to_float
from atelier.models.networks.discriminator import Discriminator
from atelier.models.networks.generator import MINIMUM, MULTIPLE, Generator

SHIFT = 16  # px: the longest stride of an encoder's style features, and twice that of the discriminator's pixels


@dataclass(frozen=True)
class CpganConfig:
    """Networks and loss weights of cpgan."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    filters: int = field(default=16, metadata={"description": "generator channels at full size", "ge": 4, "le": 256})
    width: int = field(
        default=96, metadata={"description": "generator channels at a quarter of the size", "ge": 8, "le": 1024}
    )
    blocks: int = field(default=4, metadata={"description": "residual blocks of the generator", "ge": 1, "le": 32})
    discriminator_filters: int = field(
        default=32, metadata={"description": "discriminator channels after its first convolution", "ge": 4, "le": 256}
    )
    discriminator_layers: int = field(
        default=3, metadata={"description": "halvings in the discriminator", "ge": 1, "le": 5}
    )
    adversarial: Adversarial = field(default="hinge", metadata={"description": "adversarial loss"})
    adversarial_weight: float = field(default=1.0, metadata={"description": "weight of the adversarial loss", "ge": 0})
    content_weight: float = field(default=0.75, metadata={"description": "weight of the content loss", "ge": 0})
    style_weight: float = field(default=10.0, metadata={"description": "weight of the Gram style loss", "ge": 0})
    luminance_weight: float = field(
        default=2.0, metadata={"description": "weight of the luminance loss, which keeps light light", "ge": 0}
    )
    identity_weight: float = field(
        default=0.0,
        metadata={"description": "weight of the identity loss; above 0 the style pictures are painted too", "ge": 0},
    )
    total_variation_weight: float = field(default=0.0, metadata={"description": "weight of total variation", "ge": 0})
    style_memory: float = field(
        default=0.9,
        metadata={"description": "share of earlier batches in the mean Gram of what was painted", "ge": 0, "lt": 1},
    )
    style_images: int = field(
        default=256, metadata={"description": "paintings whose mean Gram matrices are the style target", "ge": 1}
    )


class StyleStatistics(nn.Module):
    """Mean Gram matrices by layer, of the style and of what was painted lately; buffers, so that a checkpoint has them.

    Means of many pictures are compared, not single pictures with the style's mean: one painting is further from the
    mean of all than the mean of photographs is, so asking it of each picture would make them all alike.

    Args:
        channels: of each style layer.
        memory: share of the old in the mean of the painted, after each batch.
    """

    def __init__(self, channels: Mapping[str, int], memory: float) -> None:
        super().__init__()
        self.memory, self.layers = memory, tuple(channels)
        for kind in ("target", "painted"):
            buffers = nn.Module()
            for layer, size in channels.items():
                buffers.register_buffer(layer, torch.zeros(size, size))
            self.add_module(kind, buffers)

    def of(self, kind: str) -> dict[str, Tensor]:
        """(C, C) by layer, of the "target" or of the "painted"."""
        return dict(self.get_submodule(kind).named_buffers())

    def scaled(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features in units of the style's own root mean square, channel by channel; shapes as they are."""
        return {
            layer: features[layer] * torch.rsqrt(target.diagonal() + 1e-6)[:, None, None]
            for layer, target in self.of("target").items()
        }

    def follow(self, features: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """Take a batch into the mean of the painted.

        Args:
            features: by layer, (B, C, h, w) of this rank's painted pictures.
            step: index of the step, from 0.

        Returns:
            By layer, the mean (C, C): its value is of many batches, its gradient that of this one.
        """
        means = {}
        for layer, mean in self.of("painted").items():
            batch = gram(features[layer]).mean(0)
            everywhere = all_reduced(batch.detach())
            # the plain mean of the first steps, the running one after them
            mean.lerp_(everywhere, max(1 - self.memory, 1 / (step + 1)))
            means[layer] = mean.clone() + batch - batch.detach()
        return means


def all_reduced(value: Tensor) -> Tensor:
    """The mean over all ranks."""
    if torch.distributed.is_initialized() and (world_size := torch.distributed.get_world_size()) > 1:
        torch.distributed.all_reduce(value)
        value = value / world_size
    return value


class Cpgan(Method):
    """The training method; see the module."""

    name: ClassVar[str] = "cpgan"
    Config: ClassVar[type[CpganConfig]] = CpganConfig

    def __init__(
        self,
        config: CpganConfig,
        encoder: Encoder,
        device: torch.device,
        dtype: torch.dtype,
        learning_rates: tuple[float, float],
        wrap: Wrap,
    ) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.encoder = encoder.to(device)
        self.generator = self.build_generator(config).to(device)
        with torch.no_grad():
            features = self.encoder(torch.zeros(1, 3, 64, 64, device=device))
        channels = {layer: features[layer].shape[1] for layer in encoder.style_layers}
        self.style = StyleStatistics(channels, config.style_memory).to(device)
        self.discriminator = Discriminator(channels, config.discriminator_filters, config.discriminator_layers)
        self.discriminator.to(device)
        self.modules = {"generator": self.generator, "discriminator": self.discriminator, "style": self.style}
        self.wrapped_generator, self.wrapped_discriminator = wrap(self.generator), wrap(self.discriminator)
        generator_lr, discriminator_lr = learning_rates
        self.optimizers = {
            "generator": torch.optim.Adam(self.generator.parameters(), generator_lr, (0.5, 0.99)),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), discriminator_lr, (0.5, 0.99)),
        }

    @staticmethod
    def build_generator(config: CpganConfig) -> nn.Module:
        """The generator of this config, which paints nothing over its underpainting yet."""
        return Generator(config.filters, config.width, config.blocks)

    @staticmethod
    def stylize(generator: nn.Module, images: Tensor, strength: float) -> Tensor:
        """See `methods.base.paint`."""
        return paint(generator, images, strength, MULTIPLE, MINIMUM)

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        """The encoder's view of pictures in [-1, 1]."""
        features: dict[str, Tensor] = self.encoder((images + 1) / 2)
        return features

    @torch.no_grad()
    def prepare(self, batches: Callable[[int], Batch]) -> None:
        """Average the Gram matrices of about `style_images` paintings, over all ranks."""
        targets, count, step = self.style.of("target"), 0, 0
        world = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        while count * world < self.config.style_images:
            style = batches(step).style
            features = self._features(to_float(style, self.device))
            for layer, target in targets.items():
                target += gram(features[layer]).sum(0)
            count, step = count + len(style), step + 1
        for target in targets.values():
            target.copy_(all_reduced(target / count))

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One update of the generator, then one of the discriminator."""
        c = self.config
        content, style = to_float(batch.content, self.device), to_float(batch.style, self.device)

        # generator: InstanceNorm sees one picture at a time, so both tasks share one pass
        self.discriminator.requires_grad_(False)
        with self._autocast():
            inputs = torch.cat([content, style]) if c.identity_weight else content
            outputs = self.wrapped_generator(inputs).float()
        view = window(step, *content.shape[2:])
        painted, real = outputs[: len(content)][view], style[view]
        features = self._features(painted)
        with torch.no_grad():
            wanted = self._features(content[view])[self.encoder.content_layer]
            style_features = self._features(real)
        with self._autocast():
            fake = self.discriminator(painted, self.style.scaled(features))
        losses = {
            "adversarial": mean(generator_loss(c.adversarial, scale) for scale in fake),
            "content": content_loss(features[self.encoder.content_layer], wanted),
            "style": style_loss(self.style.follow(features, step), self.style.of("target")),
            "luminance": luminance_loss(painted, content[view]),
            "total_variation": total_variation(painted),
        }
        if c.identity_weight:
            losses["identity"] = identity_loss(outputs[len(content) :], style)
        total = sum((getattr(c, f"{name}_weight") * value for name, value in losses.items()), torch.zeros(()))
        self.optimizers["generator"].zero_grad()
        torch.autograd.backward(total)
        self.optimizers["generator"].step()

        # discriminator: real and painted in one pass, exact without a batch norm
        self.discriminator.requires_grad_(True)
        both = {layer: torch.cat([style_features[layer], features[layer].detach()]) for layer in self.style.layers}
        with self._autocast():
            scores = self.wrapped_discriminator(torch.cat([real, painted.detach()]), self.style.scaled(both))
        n = len(style)
        losses["discriminator"] = mean(discriminator_loss(c.adversarial, scale[:n], scale[n:]) for scale in scores)
        self.optimizers["discriminator"].zero_grad()
        torch.autograd.backward(losses["discriminator"])
        self.optimizers["discriminator"].step()
        return {name: value.detach() for name, value in losses.items()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


def window(step: int, height: int, width: int) -> tuple[slice, ...]:
    """The part of the pictures (B, C, H, W) that the losses see at this step: all but up to `SHIFT` px at each side.

    Encoder and discriminator stride over the picture, so their gradients repeat with that period; where it begins moves
    with every step, else the generator learns it as a grid. Small pictures are seen whole.
    """
    slices = [slice(None), slice(None)]
    for size, offset in zip(
        (height, width), np.random.default_rng(step).integers(0, SHIFT, 2, endpoint=True).tolist(), strict=True
    ):
        slices.append(slice(offset, offset + size - SHIFT) if size >= 4 * SHIFT else slice(None))
    return tuple(slices)


def mean(losses: Iterable[Tensor]) -> Tensor:
    """The mean of scalars."""
    return torch.stack(list(losses)).mean()
