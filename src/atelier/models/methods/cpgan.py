"""cpgan: a content-preserving generator against a patch discriminator, guided by an encoder's features.

The generator is trained with content and Gram style losses in an encoder's features (Johnson et al. 2016), an
adversarial loss on the style domain (Miyato et al. 2018), a luminance loss against negatives, identity on pictures of
the style (Zhu et al. 2017), a total-variation term and a loss on what repeats. The style target is the mean Gram
matrix of the style domain, taken once before the first step.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.distributed import all_reduce_together
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import accuracy, discriminator_loss, generator_loss
from atelier.models.losses.perceptual import (
    content_loss,
    gram,
    identity_loss,
    luminance_loss,
    style_loss,
    total_variation,
)
from atelier.models.losses.repetition import repetition_loss
from atelier.models.methods.base import Batch, Method, MicroBatch, autocast
from atelier.models.methods.style_inputs import domain_means
from atelier.models.methods.window import window
from atelier.models.networks.discriminator import Discriminator, in_units
from atelier.models.networks.generator_choice import new_generator
from atelier.models.networks.spectral import advance


class StyleStatistics(nn.Module):
    """Mean Gram matrices by layer, of the style and of recent outputs; buffers, which checkpoints hold.

    Means of many images are compared, not single images with the mean of the style: one painting is further from the
    mean of all than the mean of photographs is, so a loss on each image would make all outputs alike.

    Args:
        memory: share of the old value in the running mean of the outputs, after each batch.
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
        """Features divided by the style's root mean square, channel by channel; of the same shapes."""
        return in_units(features, {layer: target.diagonal() for layer, target in self.of("target").items()})

    def grams(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gram matrices (C, C) by layer, means over the pictures whose features (B, C, h, w) these are."""
        return {layer: gram(features[layer]).mean(0) for layer in self.layers}

    def learn(
        self, encoder: Encoder, batches: Callable[[int], Batch], batch_size: int, images: int, device: torch.device
    ) -> None:
        """Take the mean Gram matrices of about `images` pictures of the style domain as the target: `domain_means`."""
        means = domain_means(lambda style: self.grams(encoder.encode(style)), batches, batch_size, images, device)
        for layer, target in self.of("target").items():
            target.copy_(means[layer])

    def follow(self, grams: Mapping[str, Tensor], step: int) -> None:
        """Update the running mean of the outputs with a batch's mean (C, C) by layer, at a step from 0."""
        for layer, mean in self.of("painted").items():
            # the plain mean of the first steps, an exponential one after them
            mean.lerp_(grams[layer], max(1 - self.memory, 1 / (step + 1)))

    def update_from_parts(self, shares: Sequence[float], grams: Sequence[Mapping[str, Tensor]], step: int) -> None:
        """The same with the micro-batches of all ranks; each has a share of the global batch and Gram matrices."""
        sums = [
            sum((share * g[layer].detach() for share, g in zip(shares, grams, strict=True)), torch.zeros(()))
            for layer in self.layers
        ]
        self.follow(dict(zip(self.layers, all_reduce_together(sums), strict=True)), step)

    def mean_painted(self, grams: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The running mean (C, C) by layer, with the gradient of the micro-batch that has these means."""
        return {
            layer: mean.clone() + grams[layer] - grams[layer].detach() for layer, mean in self.of("painted").items()
        }


class Cpgan(Method):
    """The training method; see the module."""

    Config: ClassVar[type[CpganConfig]] = CpganConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {"generator": ("generator",), "discriminator": ("discriminator",)}

    def __init__(self, config: CpganConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.encoder = encoder.to(device)
        self.generator = self.build_generator(config, type(encoder)).to(device)
        channels = encoder.style_channels()
        self.style = StyleStatistics(channels, config.style_memory).to(device)
        self.discriminator = Discriminator(channels, config.discriminator_filters, config.discriminator_layers)
        self.discriminator.to(device)
        self.modules = {"generator": self.generator, "discriminator": self.discriminator, "style": self.style}
        names = ("adversarial", "content", "style", "luminance", "identity", "total_variation", "repetition")
        self.weights = {"discriminator": 1.0} | {name: getattr(config, f"{name}_weight") for name in names}

    @staticmethod
    def build_generator(config: CpganConfig, encoder: type[Encoder] | None) -> nn.Module:
        """A new generator; the output of an underpainted one is its input at first."""
        return new_generator(config.architecture)

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Measure the mean Gram matrices of the style domain."""
        self.style.learn(self.encoder, batches, batch_size, self.config.style_images, self.device)

    def begin(self, turn: str, parts: Sequence[MicroBatch]) -> None:
        """Update the mean Gram matrices with the whole batch, whose mean the style loss compares."""
        advance(self.discriminator)
        if turn == "generator" and not parts[0].is_whole:
            with torch.no_grad():
                grams = [
                    self.style.grams(self.encoder.encode(self._paint(batch)[self._view(batch)])) for batch in parts
                ]
            self.style.update_from_parts([batch.fraction for batch in parts], grams, parts[0].step)

    def _paint(self, batch: MicroBatch) -> Tensor:
        """The stylized content, followed by the stylized style images if there is an identity loss."""
        with autocast(self.device, self.dtype):
            # InstanceNorm sees one picture at a time, so both tasks share one pass
            inputs = torch.cat([batch.content, batch.style]) if self.config.identity_weight else batch.content
            painted: Tensor = self.generator(inputs).float()
        return painted

    def _view(self, batch: MicroBatch) -> tuple[slice, ...]:
        """The crop of the stylized content that the losses are computed on."""
        return slice(len(batch.content)), *window(batch.step, *batch.content.shape[2:])[1:]

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        yield self._generator_losses(batch) if turn == "generator" else self._discriminator_losses(batch)

    def _generator_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        c, n, view = self.config, len(batch.content), self._view(batch)
        outputs = self._paint(batch)
        painted, content, real = outputs[view], batch.content[view], batch.style[view]
        features = self.encoder.encode(painted)
        with torch.no_grad():
            given = self.encoder.encode(torch.cat([content, real]))
        with autocast(self.device, self.dtype):
            scores = self.discriminator(painted, self.style.scaled(features))
        grams = self.style.grams(features)
        if batch.is_whole:
            self.style.update_from_parts([batch.fraction], [grams], batch.step)
        batch.saved |= {
            "pictures": torch.cat([real, painted.detach()]),
            "features": {layer: torch.cat([given[layer][n:], features[layer].detach()]) for layer in self.style.layers},
        }
        losses = {
            "adversarial": mean(generator_loss(c.adversarial, scale) for scale in scores),
            "content": content_loss(features[self.encoder.content_layer], given[self.encoder.content_layer][:n]),
            "style": style_loss(self.style.mean_painted(grams), self.style.of("target")),
            "luminance": luminance_loss(painted, content),
            "total_variation": total_variation(painted),
        }
        if c.identity_weight:
            losses["identity"] = identity_loss(outputs[n:], batch.style)
        if c.repetition_weight:
            losses["repetition"] = repetition_loss(painted, content)
        return losses

    def _discriminator_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        kind, n = self.config.adversarial, len(batch.style)
        with autocast(self.device, self.dtype):
            # real and generated in one pass, exact without batch norm
            scores = self.discriminator(batch.saved["pictures"], self.style.scaled(batch.saved["features"]))
        return {
            "discriminator": mean(discriminator_loss(kind, scale[:n], scale[n:]) for scale in scores),
            "discriminator_accuracy": mean(accuracy(kind, scale[:n], scale[n:]) for scale in scores),
        }


def mean(losses: Iterable[Tensor]) -> Tensor:
    """The mean of scalars."""
    return torch.stack(list(losses)).mean()
