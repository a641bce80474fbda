"""adain: any style, in one pass, by giving a picture's features the moments of the style's.

Huang & Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization": AdaIN in equation
8, architecture in equations 9 and 10, losses in equations 11 to 13 with t of equation 9 as content target, strength in
equation 14, several styles in equation 15, colour and spatial control in section 7.4. The encoder is frozen and part of
the model; only the decoder is trained.

What differs: distances are squared means, as in the published code; every layer is measured in units of its mean
activation over the style domain, which normalised VGG has as 1 by construction and other encoders do not; an
adversarial loss on the style domain can be added. What the decoder cannot reproduce is given back (`detail`): the
result is the picture plus the difference between two decodings, with the style and without, in which the decoder's own
faults cancel out; strength 0 is the picture itself, not its reconstruction. The losses see that result, so that the
decoder learns what has to be changed and not how to reproduce; content then stays without being asked for, and λ is 4.
They look through a moving window, see `window`. Detail 0 is the paper's, but for strength 0; public PyTorch code trains
that with 64 filters and λ = 1, at a rate of 1e-4 for 100,000 steps of 8 pictures. Without a style the model paints in
equal parts of all paintings of its training, whose variances are averaged. Colours are kept by luminance-only transfer,
after the painting.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.adain import AdainConfig
from atelier.models.controls import Controls, Style
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import discriminator_losses, generator_loss
from atelier.models.losses.moments import adain, moments, moments_loss
from atelier.models.methods.base import Batch, Method, Painter, Part, autocast
from atelier.models.methods.style_inputs import SMALLEST_PX, TRAINED, domain_means, picture, shares
from atelier.models.methods.window import window
from atelier.models.networks.adain_decoder import Mirror
from atelier.models.networks.patchgan import PatchGan
from atelier.models.pixels import as_given, keep_color, pad, to_float


@dataclass(frozen=True)
class Look:
    """What is taken from one style."""

    share: float  # of all styles
    mean: Tensor  # (1, C, 1, 1) of the content layer
    std: Tensor  # the same
    mask: Tensor | None  # (1, 1, h, w) in [0, 1], where it goes


class AdainGenerator(nn.Module):
    """Frozen encoder, decoder, and the moments of the style domain at the content layer.

    Args:
        config: of the method.
        kind: of the encoder.

    Raises:
        ValueError: the encoder's features are not a power of two smaller than the picture.
    """

    mean: Tensor  # (1, C, 1, 1)
    std: Tensor

    def __init__(self, config: AdainConfig, kind: type[Encoder]) -> None:
        super().__init__()
        layout = kind.layout()
        self.layer = kind.content_layer
        self.layers = tuple(layout)[: list(layout).index(self.layer) + 1]
        channels, self.stride = layout[self.layer]
        if self.stride & (self.stride - 1):
            raise ValueError(f"adain needs an encoder that halves pictures; {kind.__name__} divides by {self.stride}")
        self.encoder = kind()
        self.encoder.end_at(self.layer)
        self.encoder.freeze()
        self.decoder = Mirror(channels, self.stride.bit_length() - 1, config.filters)
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def features(self, pictures: Tensor) -> dict[str, Tensor]:
        """The encoder's view of pictures (B, 3, H, W) in [-1, 1], up to the content layer."""
        features = self.encoder.see(pictures)
        return {layer: features[layer] for layer in self.layers}

    def decode(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to pictures in [-1, 1], not clipped."""
        pictures: Tensor = self.decoder(features)
        return pictures * 2 - 1

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1], multiples of `stride`, to the style of the training."""
        return self.decode(adain(self.features(x)[self.layer], self.mean, self.std))


class Units(nn.Module):
    """Mean activation of each layer over the style domain; a buffer, so that a checkpoint has it."""

    layers: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("layers", torch.ones(count))


class Adain(Method):
    """The training method; see the module."""

    Config: ClassVar[type[AdainConfig]] = AdainConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {
        "generator": ("generator.decoder",),
        "discriminator": ("discriminator",),
    }

    def __init__(self, config: AdainConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.generator = AdainGenerator(config, type(encoder)).to(device)
        own = self.generator.encoder.state_dict()
        self.generator.encoder.load_state_dict({key: encoder.state_dict()[key] for key in own})
        self.units = Units(len(self.generator.layers)).to(device)
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
        return AdainGenerator(config, encoder)

    # ---- training

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Take the moments of the style domain, and the units of the layers."""
        generator = self.generator

        def measure(style: Tensor) -> dict[str, Tensor]:
            features = generator.features(style)
            mean, std = moments(features[generator.layer])
            units = torch.stack([x.float().abs().mean() for x in features.values()])
            return {"mean": mean.mean(0, keepdim=True), "variance": std.square().mean(0, keepdim=True), "units": units}

        means = domain_means(measure, batches, batch_size, self.config.style_images, self.device)
        generator.mean.copy_(means["mean"])
        generator.std.copy_(means["variance"].sqrt())
        self.units.layers.copy_(means["units"])

    def losses(self, turn: str, part: Part) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        yield self._generator_losses(part) if turn == "generator" else self._discriminator_losses(part)

    def _generator_losses(self, part: Part) -> dict[str, Tensor]:
        """Equations 11 to 13."""
        generator, layer = self.generator, self.generator.layer
        view = window(part.step, *part.content.shape[2:])
        with torch.no_grad():
            with autocast(self.device, self.dtype):
                content, seen = (generator.features(x)[layer] for x in (part.content, part.content[view]))
                style = generator.features(part.style)
            restyled, target = (adain(x, *moments(style[layer])) for x in (content, seen))
        painted = self._painted(part.content, content, restyled)
        with autocast(self.device, self.dtype):
            features = generator.features(painted[view])
        units = dict(zip(generator.layers, self.units.layers.square(), strict=True))
        per_layer = [moments_loss(features[name], style[name]) / units[name] for name in generator.layers]
        losses = {
            "content": F.mse_loss(features[layer].float(), target) / units[layer],
            "style": torch.stack(per_layer).sum(),
        }
        if self.config.adversarial_weight:
            with autocast(self.device, self.dtype):
                losses["adversarial"] = generator_loss(self.config.adversarial, self.discriminator(painted))
            part.memo["painted"] = painted.detach()
        return losses

    def _painted(self, pictures: Tensor, content: Tensor, restyled: Tensor) -> Tensor:
        """As people will see them, with the detail that is given back: the losses must see what is shown."""
        generator, detail = self.generator, self.config.detail
        with autocast(self.device, self.dtype):
            if not detail:
                return generator.decode(restyled).float()
            painted, plain = generator.decode(torch.cat([restyled.to(content.dtype), content])).float().chunk(2)
        return painted + detail * (pictures - plain)

    def _discriminator_losses(self, part: Part) -> dict[str, Tensor]:
        with autocast(self.device, self.dtype):
            scores = self.discriminator(torch.cat([part.style, part.memo["painted"]]))
        return discriminator_losses(self.config.adversarial, scores)

    # ---- painting

    @classmethod
    def painter(cls, config: AdainConfig, generator: nn.Module, controls: Controls) -> Painter:
        """See `Method.painter`; the moments of styles are taken here, once."""
        assert isinstance(generator, AdainGenerator)
        styles = controls.styles or (TRAINED,)
        looks = [_look(generator, style, share) for style, share in zip(styles, shares(styles), strict=True)]
        if all(look.mask is None for look in looks):
            # equation 15 for whole pictures: AdaIN is linear in the style's moments
            mean, std = (
                sum((look.share * x for look, x in zip(looks, kind, strict=True)), torch.zeros_like(looks[0].mean))
                for kind in ([look.mean for look in looks], [look.std for look in looks])
            )
            looks = [Look(1.0, mean, std, None)]
        return partial(_paint, generator, looks, controls.strength, config.detail, controls.preserve_color)


@torch.no_grad()
def _look(generator: AdainGenerator, style: Style, share: float) -> Look:
    """Look at a style."""
    mean, std = generator.mean, generator.std
    if (seen := picture(style, mean.device)) is not None:
        mean, std = moments(generator.features(seen)[generator.layer])
    mask = None
    if style.mask is not None:
        mask = torch.from_numpy(style.mask.copy())[None, None].to(mean.device) / 255
    return Look(share, mean, std, mask)


def _paint(
    generator: AdainGenerator,
    looks: Sequence[Look],
    strength: float,
    detail: float,
    preserve_color: bool,
    images: Tensor,
) -> Tensor:
    """Paint pictures (B, 3, H, W) of any size, see `Painter`."""
    if strength == 0:
        return images
    height, width = images.shape[2:]
    sizes = generator.stride, max(2 * generator.stride, SMALLEST_PX)  # reflection inside needs two positions
    x = pad(to_float(images, generator.mean.device), *sizes)
    with torch.inference_mode():
        masks = [pad(_stretched(look, height, width), *sizes) for look in looks]
        content = generator.features(x)[generator.layer].float()
        y = generator.decode(torch.lerp(content, _restyled(content, looks, masks), strength))
        if (kept := 1 - strength * (1 - detail)) > 0:
            y += kept * (x - generator.decode(content))
        y = y.clamp(-1, 1)
        if preserve_color:
            y = keep_color(y, x)
        y = torch.lerp(x, y, torch.stack(masks).sum(0).clamp(max=1))
    return as_given(y[:, :, :height, :width], images)


def _stretched(look: Look, height: int, width: int) -> Tensor:
    """Where a style goes, (1, 1, height, width) in [0, 1]."""
    if look.mask is None:
        return look.mean.new_ones(1, 1, height, width)
    return F.interpolate(look.mask, size=(height, width), mode="bilinear", antialias=True).clamp(0, 1)


def _restyled(content: Tensor, looks: Sequence[Look], masks: Sequence[Tensor]) -> Tensor:
    """t of equation 9 where each style goes, by the moments of the content there, and mixed by equation 15.

    Args:
        content: features (B, C, h, w).
        looks: the styles.
        masks: of each, (1, 1, H, W) at the size of the picture.
    """
    if len(looks) == 1 and looks[0].mask is None:
        return adain(content, looks[0].mean, looks[0].std)
    total, mixed = torch.zeros_like(content[:1, :1]), torch.zeros_like(content)
    for look, mask in zip(looks, masks, strict=True):
        where = F.adaptive_avg_pool2d(mask, (content.shape[2], content.shape[3]))  # (1, 1, h, w)
        mixed += look.share * where * adain(content, look.mean, look.std, where)
        total += look.share * where
    return torch.where(total > 0, mixed / total.clamp(min=1e-6), content)
