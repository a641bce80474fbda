"""adain: any style in one forward pass, by matching the moments of features.

Huang & Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization": AdaIN in equation
8, architecture in equations 9 and 10, losses in equations 11 to 13 with t of equation 9 as content target, strength in
equation 14, several styles in equation 15, colour and spatial control in section 7.4. The encoder is frozen and part of
the model; only the decoder is trained.

What differs: distances are squared means, as in the published code; every layer is measured in units of its mean
activation over the style domain, which normalised VGG has as 1 by construction and other encoders do not; an
adversarial loss on the style domain can be added. Detail that the decoder loses is added back (`detail`): the result is
the input plus the difference of two decodings, with and without the style, in which reconstruction errors cancel;
strength 0 is the input itself, not its reconstruction. The losses are computed on that result, so that the decoder
learns the change and not the reconstruction; content is then preserved with little weight, and λ is 4. They are
computed on moving crops, see `window`. Detail 0 is the paper's, but for strength 0; public PyTorch code trains it with
64 filters and λ = 1, at a rate of 1e-4 for 100,000 steps of 8 images. Without a style image the style is the mean of
the training's paintings, whose variances are averaged. Colours are preserved by luminance-only transfer after the
stylization.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.style_statistics import AdainConfig
from atelier.models.controls import Controls
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import discriminator_losses, generator_loss
from atelier.models.losses.moments import adain, moments, moments_loss
from atelier.models.methods.adain_painter import adain_painter
from atelier.models.methods.base import Batch, Method, MicroBatch, autocast
from atelier.models.methods.style_inputs import domain_means
from atelier.models.methods.window import window
from atelier.models.networks.adain_generator import AdainGenerator
from atelier.models.networks.patchgan import PatchGan
from atelier.models.painter import Painter, StylesPainter


class Adain(Method):
    """The training method; see the module."""

    Config: ClassVar[type[AdainConfig]] = AdainConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {
        "generator": ("generator.decoder",),
        "discriminator": ("discriminator",),
    }

    def __init__(self, config: AdainConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.generator = AdainGenerator(config.filters, type(encoder)).to(device)
        own = self.generator.encoder.state_dict()
        self.generator.encoder.load_state_dict({key: encoder.state_dict()[key] for key in own})
        self.units = nn.Module()  # mean activation of each layer over the style domain, which checkpoints hold
        self.units.register_buffer("layers", torch.ones(len(self.generator.layers), device=device))
        self.modules = {"generator": self.generator, "units": self.units}
        self.weights = {name: getattr(config, f"{name}_weight") for name in ("content", "style", "adversarial")}
        if config.adversarial_weight:
            self.discriminator = PatchGan(config.discriminator_filters, False).to(device)
            self.modules["discriminator"] = self.discriminator
            self.weights["discriminator"] = 1.0
        else:
            # what is not asked for has no turn
            self.turns = {"generator": self.turns["generator"]}  # type: ignore[misc]

    @staticmethod
    def build_generator(config: AdainConfig, encoder: type[Encoder] | None) -> nn.Module:
        """A generator with an encoder of this class; its weights come with the model's, or with the training's."""
        if encoder is None:
            raise ValueError("adain contains its encoder, but the model does not say which it was trained with")
        return AdainGenerator(config.filters, encoder)

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Measure the moments of the style domain, and the scale of each layer."""
        generator = self.generator

        def measure(style: Tensor) -> dict[str, Tensor]:
            features = generator.features(style)
            mean, std = moments(features[generator.layer])
            units = torch.stack([x.float().abs().mean() for x in features.values()])
            return {"mean": mean.mean(0, keepdim=True), "variance": std.square().mean(0, keepdim=True), "units": units}

        means = domain_means(measure, batches, batch_size, self.config.style_images, self.device)
        generator.mean.copy_(means["mean"])
        generator.std.copy_(means["variance"].sqrt())
        self.units.get_buffer("layers").copy_(means["units"])

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        yield self._generator_losses(batch) if turn == "generator" else self._discriminator_losses(batch)

    def _generator_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        """Equations 11 to 13."""
        generator, layer = self.generator, self.generator.layer
        view = window(batch.step, *batch.content.shape[2:])
        with torch.no_grad():
            with autocast(self.device, self.dtype):
                content, seen = (generator.features(x)[layer] for x in (batch.content, batch.content[view]))
                style = generator.features(batch.style)
            restyled, target = (adain(x, *moments(style[layer])) for x in (content, seen))
        painted = self._painted(batch.content, content, restyled)
        with autocast(self.device, self.dtype):
            features = generator.features(painted[view])
        units = dict(zip(generator.layers, self.units.get_buffer("layers").square(), strict=True))
        per_layer = [moments_loss(features[name], style[name]) / units[name] for name in generator.layers]
        losses = {
            "content": F.mse_loss(features[layer].float(), target) / units[layer],
            "style": torch.stack(per_layer).sum(),
        }
        if self.config.adversarial_weight:
            with autocast(self.device, self.dtype):
                losses["adversarial"] = generator_loss(self.config.adversarial, self.discriminator(painted))
            batch.saved["painted"] = painted.detach()
        return losses

    def _painted(self, pictures: Tensor, content: Tensor, restyled: Tensor) -> Tensor:
        """The final result, with the detail that is added back: the losses are computed on it."""
        generator, detail = self.generator, self.config.detail
        with autocast(self.device, self.dtype):
            if not detail:
                return generator.decode(restyled).float()
            painted, plain = generator.decode(torch.cat([restyled.to(content.dtype), content])).float().chunk(2)
        return painted + detail * (pictures - plain)

    def _discriminator_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        with autocast(self.device, self.dtype):
            scores = self.discriminator(torch.cat([batch.style, batch.saved["painted"]]))
        return discriminator_losses(self.config.adversarial, scores)

    @classmethod
    def painter(cls, config: AdainConfig, generator: nn.Module, controls: Controls) -> Painter:
        """See `Method.painter`."""
        assert isinstance(generator, AdainGenerator)
        return adain_painter(config, generator, controls)

    @classmethod
    def styles_painter(cls, config: AdainConfig, generator: nn.Module, controls: Controls) -> StylesPainter:
        """See `Method.styles_painter`."""
        assert isinstance(generator, AdainGenerator)
        return adain_painter(config, generator, controls)
