"""cin: many styles in one network, by conditional instance normalisation.

Dumoulin et al. 2017, "A Learned Representation for Artistic Style": every convolution is shared, and a style is the
scales and shifts of the norms (equation 5). Losses are those of Johnson et al. 2016, "Perceptual Losses for Real-Time
Style Transfer and Super-Resolution": content in equation 2, style in equations 3 and 4, total variation in section 3.2.
Styles mix by mixing their parameters (Dumoulin et al., section 3.3).

What differs: the parameters of a style are differences from common ones; losses are relative to their targets, so that
their weights serve every encoder; the target of a style is the mean Gram matrix of its pictures, most often windows of
one painting; the losses are computed on moving crops, see `window`; the network is a light one, see `networks.light`;
the weights that stylize are averages (Karras et al. 2018). A stability loss paints alike what differs by faint noise
alone (Zheng et al. 2016, "Improving the Robustness of Deep Neural Networks via Stability Training", equation 3):
without it the network fills a sky with a lattice of dots, which is the noise of the camera, enlarged. Strokes that it
is given instead, see `networks.stroke_planes`, and a loss on what repeats keep paint there, but not in rows. A tone
loss puts the painting's light and dark where the picture's are, a palette loss asks for its colours.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.style_statistics import CinConfig
from atelier.models.controls import Controls, Style
from atelier.models.distributed import all_reduce_together
from atelier.models.encoders import ENCODERS
from atelier.models.encoders.base import Encoder
from atelier.models.losses.perceptual import (
    CELL_PX,
    content_loss,
    gram,
    palette,
    palette_loss,
    style_loss,
    tone,
    tone_loss,
    total_variation,
)
from atelier.models.losses.repetition import repetition_loss
from atelier.models.methods.base import Batch, Method, MicroBatch, autocast
from atelier.models.methods.style_inputs import TRAINED, domain_means, region_of, shares, style_pixels
from atelier.models.methods.window import window
from atelier.models.networks.conditional import ConditionalGenerator, network_of
from atelier.models.networks.light import LightGenerator
from atelier.models.networks.stroke_planes import PERIOD
from atelier.models.painter import MaskedPainter, NetworkPainter, Painter, StylesPainter
from atelier.models.pixels import to_float

NOISE_SALT, PLACE_SALT = 0, 1  # of the random numbers
FAINT = 0.1  # most that noise changes a pixel in [-1, 1]
TONE, PALETTE = "tone", "palette"  # among the targets, beside the layers


class StyleTargets(nn.Module):
    """Gram matrices (styles, C, C) by layer, the tone and the palette; buffers, which checkpoints hold."""

    def __init__(self, encoder: type[Encoder], styles: int) -> None:
        super().__init__()
        for layer, channels in encoder.style_channels().items():
            self.register_buffer(layer, torch.zeros(styles, channels, channels))
        for name, measured in _colors(torch.zeros(1, 3, CELL_PX, CELL_PX)).items():
            self.register_buffer(name, torch.zeros(styles, *measured.shape[1:]))

    @torch.no_grad()
    def learn(
        self, encoder: Encoder, batches: Callable[[int], Batch], steps: int, names: tuple[str, ...], detail: float
    ) -> None:
        """Take the means over the pictures of each style in so many batches, over all ranks; see `reduced` for detail.

        Raises:
            ValueError: a style has no picture among them.
        """
        targets = dict(self.named_buffers())
        device = next(iter(targets.values())).device
        count = torch.zeros(len(names), device=device)
        for step in range(steps):
            batch = batches(step)
            assert batch.style_labels is not None
            labels = batch.style_labels.to(device)  # (B, styles)
            for name, measured in targets_of(encoder, reduced(to_float(batch.style, device), detail)).items():
                targets[name] += torch.einsum("bs,b...->s...", labels, measured)
            count += labels.sum(0)
        *sums, count = all_reduce_together([*targets.values(), count])
        if not count.all():
            missing = next(name for name, seen in zip(names, count.tolist(), strict=True) if not seen)
            raise ValueError(
                f"none of the first {steps} batches has a picture of the style {missing!r}: give it more pictures, or "
                "raise train.cin.style_images"
            )
        for target, total in zip(targets.values(), sums, strict=True):
            target.copy_(total / count.view(-1, *[1] * (total.ndim - 1)))

    def of(self, mixture: Tensor) -> dict[str, Tensor]:
        """The targets of pictures in mixtures (B, styles) of the styles, as `targets_of` has them."""
        return {name: torch.einsum("bs,s...->b...", mixture, target) for name, target in self.named_buffers()}


def grams_of(encoder: Encoder, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gram matrices (B, C, C) by layer of features (B, C, h, w)."""
    return {layer: gram(features[layer]) for layer in encoder.style_layers}


def targets_of(encoder: Encoder, pictures: Tensor) -> dict[str, Tensor]:
    """Gram matrices (B, C, C) by layer of pictures (B, 3, H, W) in [-1, 1], their tone and palette."""
    return grams_of(encoder, encoder.encode(pictures)) | _colors(pictures)


def _colors(pictures: Tensor) -> dict[str, Tensor]:
    """The tone (B, 2) and the palette (B, 13, T) of pictures (B, 3, H, W) in [-1, 1]."""
    return {TONE: tone(pictures), PALETTE: palette(pictures)}


def reduced(pictures: Tensor, detail: float) -> Tensor:
    """Pictures (B, 3, H, W) with this share of their detail, 0…1: made smaller by it, and large again."""
    height, width = pictures.shape[2:]
    if (small := (max(1, round(detail * height)), max(1, round(detail * width)))) == (height, width):
        return pictures
    smaller = F.interpolate(pictures, small, mode="bilinear", antialias=True)
    return F.interpolate(smaller, (height, width), mode="bicubic", align_corners=False)


class Cin(Method):
    """The training method; see the module."""

    Config: ClassVar[type[CinConfig]] = CinConfig
    network: ClassVar[str] = "network"
    turns: ClassVar[dict[str, tuple[str, ...]]] = {"generator": ("generator",)}

    def __init__(self, config: CinConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        encoder.end_at(encoder.style_layers[-1])
        self.encoder = encoder.to(device)
        self.content_layer = config.content_layer or encoder.content_layer
        if self.content_layer not in encoder.style_layers:
            raise ValueError(
                f"cin.content_layer is {self.content_layer!r}: choose one of {', '.join(encoder.style_layers)}"
            )
        self.content_encoder = copy.deepcopy(encoder)  # a part of it, for pictures of which no more is asked
        self.content_encoder.end_at(self.content_layer)
        self.generator = self.build_generator(config, type(encoder)).to(device)
        self.modules = {"generator": self.generator}
        if config.embedded:
            # its encoder is frozen
            self.turns = {"generator": ("generator.network", "generator.predictor.body")}  # type: ignore[misc]
        else:
            self.targets = StyleTargets(type(encoder), len(config.styles)).to(device)
            self.modules["targets"] = self.targets
        names = ("content", "style", "tone", "palette", "total_variation", "stability", "repetition")
        self.weights = {name: getattr(config, f"{name}_weight") for name in names}

    @staticmethod
    def build_generator(config: CinConfig, encoder: type[Encoder] | None) -> ConditionalGenerator:
        """A new network, in which all styles are the same."""
        kind = ENCODERS[config.embedded] if config.embedded else None
        return ConditionalGenerator(LightGenerator(config.filters, config.width, config.blocks), config.styles, kind)

    def embed(self, encoder: Encoder) -> None:
        """See `Method.embed`."""
        self.generator.predictor.encoder.load_state_dict(encoder.state_dict())

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Measure the Gram matrices of each style, or the range of what styles are predicted from."""
        images = self.config.style_images
        with autocast(self.device, self.dtype):
            if not self.config.embedded:
                steps, styles = -(-images // batch_size), self.config.styles
                self.targets.learn(self.encoder, batches, steps, styles, self.config.style_detail)
                return
            predictor = self.generator.predictor

            def measure(style: Tensor) -> dict[str, Tensor]:
                seen = predictor.statistics(style)
                return {"mean": seen.mean(0), "square": seen.square().mean(0)}

            means = domain_means(measure, batches, batch_size, images, self.device)
        predictor.mean.copy_(means["mean"])
        predictor.deviation.copy_((means["square"] - means["mean"].square()).clamp(min=1e-6).sqrt())

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; there is one turn with one group. A picture is painted in the style beside it."""
        styles, targets = self._styles(batch)
        wanted_tone, colors = targets.pop(TONE), targets.pop(PALETTE)
        view = window(batch.step, *batch.content.shape[2:])
        with autocast(self.device, self.dtype):
            painted, again = self._painted_twice(batch, styles)
            painted = painted[view]
            features = self.encoder.encode(painted)
            with torch.no_grad():
                given = self.content_encoder.encode(batch.content[view])[self.content_layer]
            grams = grams_of(self.encoder, features)
        yield {
            "content": content_loss(features[self.content_layer], given),
            "style": style_loss(grams, targets),
            "tone": tone_loss(painted, batch.content[view], wanted_tone),
            "palette": palette_loss(painted, colors),
            "total_variation": total_variation(painted),
            "stability": (again[view] - painted).square().mean(),
            "repetition": repetition_loss(painted, batch.content[view]),
        }

    def _painted_twice(self, batch: MicroBatch, styles: Tensor) -> tuple[Tensor, Tensor]:
        """What is painted of the pictures, and of the same with faint noise, (B, 3, H, W) each."""
        count, *shape = batch.content.shape
        drawn = batch.uniform(batch.content[0].numel() + 1, NOISE_SALT).to(self.device)
        most = FAINT * drawn[:, :1, None, None]  # another strength for each picture
        noise = most * (2 * drawn[:, 1:].view(count, *shape) - 1)
        # in one pass: InstanceNorm sees one picture at a time
        both = torch.cat([batch.content, batch.content + noise])
        top, left = (int(PERIOD * share) for share in batch.uniform_at(range(1), 2, PLACE_SALT)[0])
        painted, again = self.generator(both, torch.cat([styles, styles]), top, left).float().chunk(2)
        return painted, again

    def _styles(self, batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The styles (B, P) of a batch, and the targets of its pictures."""
        if not self.config.embedded:
            assert batch.style_labels is not None
            mixture = _mixture(batch.style_labels)
            return mixture @ self.generator.styles, self.targets.of(mixture)
        with torch.no_grad(), autocast(self.device, self.dtype):
            targets = targets_of(self.encoder, reduced(batch.style, self.config.style_detail))
        return self.generator.predictor(batch.style), targets

    @classmethod
    def painter(cls, config: CinConfig, generator: nn.Module, controls: Controls) -> Painter:
        """See `Method.painter`: the painter of the plain network of a style, or of a mixture."""
        given, parts = _styles(config, generator, controls)
        mixture = sum((share * style for share, style in zip(shares(given), parts, strict=True)), 0 * parts[0])
        return _painter(generator, mixture, controls)

    @classmethod
    def styles_painter(cls, config: CinConfig, generator: nn.Module, controls: Controls) -> StylesPainter:
        """See `Method.styles_painter`: each style has its plain network."""
        given, parts = _styles(config, generator, controls)
        return MaskedPainter([_painter(generator, style, controls) for style in parts], shares(given))


def _styles(config: CinConfig, generator: nn.Module, controls: Controls) -> tuple[Sequence[Style], list[Tensor]]:
    """The styles that are asked for, or the model's own one, and the parameters (P) of each."""
    assert isinstance(generator, ConditionalGenerator)
    given = controls.styles or ((TRAINED,) if config.embedded else (Style(config.styles[0]),))
    return given, [_style(generator, one) for one in given]


def _painter(generator: nn.Module, style: Tensor, controls: Controls) -> NetworkPainter:
    """The painter of one style (P)."""
    assert isinstance(generator, ConditionalGenerator)
    plain = network_of(generator.network, style).eval()
    return NetworkPainter(plain, controls.strength, controls.preserve_color)


def _mixture(labels: Tensor) -> Tensor:
    """Shares (B, styles) of the styles that pictures have by their labels (B, styles), of all where they have none."""
    count = labels.sum(1, keepdim=True)
    return torch.where(count > 0, labels / count.clamp(min=1), 1 / labels.shape[1])


@torch.no_grad()
def _style(generator: ConditionalGenerator, given: Style) -> Tensor:
    """A style (P): a named one, that of a picture, or that of the mean statistics of the training's paintings.

    Raises:
        ValueError: the model knows no style of that name, or takes no pictures as styles.
    """
    if names := generator.names:
        if given.pixels is not None or given.name not in names:
            raise ValueError(f"the model knows no style {given.name!r}: it knows {', '.join(names)}")
        return generator.styles[names.index(given.name)]
    device = generator.predictor.mean.device
    if (pixels := style_pixels(given, device)) is None:
        return generator.predictor.common()
    predicted: Tensor = generator.predictor(pixels, region_of(given, device))[0]
    return predicted
