"""fast: a feed-forward network in place of the optimisation of each image.

Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution": content loss in equation 2,
style loss in equations 3 and 4, total variation in section 3.2, network in its supplement, Adam's rate in section 4.1.
There is no discriminator: all that is known of the style are Gram matrices in an encoder's features. With one painting
as the style domain they are that painting's, as in the paper; with many they are the means over the domain.

What differs: the mean Gram matrix of many outputs is compared, as in cpgan, since one image of a domain is far from its
mean; losses are relative to their targets, so that their weights serve every encoder; the network upsamples without
checkerboards and paints over an underpainting (`networks.generator`); the losses are computed on moving crops, see
`window`; weights of content and style and Adam's memories are cpgan's; the weights that stylize are averages (Karras et
al. 2018).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from atelier.models.configs.style_statistics import FastConfig
from atelier.models.encoders.base import Encoder
from atelier.models.losses.perceptual import content_loss, style_loss, total_variation
from atelier.models.methods.base import Batch, Method, MicroBatch, autocast
from atelier.models.methods.cpgan import StyleStatistics
from atelier.models.methods.window import window
from atelier.models.networks.generator_choice import new_generator


class Fast(Method):
    """The training method; see the module."""

    Config: ClassVar[type[FastConfig]] = FastConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {"generator": ("generator",)}

    def __init__(self, config: FastConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.encoder = encoder.to(device)
        self.generator = self.build_generator(config, type(encoder)).to(device)
        self.style = StyleStatistics(encoder.style_channels(), config.style_memory).to(device)
        self.modules = {"generator": self.generator, "style": self.style}
        self.weights = {name: getattr(config, f"{name}_weight") for name in ("content", "style", "total_variation")}

    @staticmethod
    def build_generator(config: FastConfig, encoder: type[Encoder] | None) -> nn.Module:
        """A new generator; the output of an underpainted one is its input at first."""
        return new_generator(config.architecture)

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Measure the mean Gram matrices of the style domain."""
        self.style.learn(self.encoder, batches, batch_size, self.config.style_images, self.device)

    def _painted(self, batch: MicroBatch) -> Tensor:
        """The crop of the output that the losses are computed on."""
        with autocast(self.device, self.dtype):
            painted: Tensor = self.generator(batch.content).float()
        return painted[window(batch.step, *batch.content.shape[2:])]

    def begin(self, turn: str, parts: Sequence[MicroBatch]) -> None:
        """Update the mean Gram matrices with the whole batch, whose mean the style loss compares."""
        if not parts[0].is_whole:
            with torch.no_grad():
                grams = [self.style.grams(self.encoder.encode(self._painted(batch))) for batch in parts]
            self.style.update_from_parts([batch.fraction for batch in parts], grams, parts[0].step)

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; there is one turn with one group."""
        painted = self._painted(batch)
        content = batch.content[window(batch.step, *batch.content.shape[2:])]
        features, layer = self.encoder.encode(painted), self.encoder.content_layer
        with torch.no_grad():
            given = self.encoder.encode(content)[layer]
        grams = self.style.grams(features)
        if batch.is_whole:
            self.style.update_from_parts([batch.fraction], [grams], batch.step)
        yield {
            "content": content_loss(features[layer], given),
            "style": style_loss(self.style.mean_painted(grams), self.style.of("target")),
            "total_variation": total_variation(painted),
        }
