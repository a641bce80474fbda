"""gatys: each image is optimised until its features match those of the style; no network is trained.

Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks": content loss in equation 1, style loss by
Gram matrices in equations 3 to 5, both together in equation 7, L-BFGS and the content as first picture in section 2.
Coarse to fine as in Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 6: a smaller
picture is painted first and its enlargement is where the next size begins. Several styles have their places by the
Gram matrices of each place, as in its section 4.

What differs: the style is a picture, or the mean Gram matrices of the style domain, which is all that `prepare` learns;
losses are relative to their targets, so that their weights serve every encoder; the content layer is the encoder's own
(relu4_1 of VGG-19 instead of conv4_2); an enlargement gets the fine detail of the content back; total variation is
held down. L-BFGS has a line search, which keeps it from diverging. Every picture is optimised on its own, so that what
it becomes does not depend on its neighbours in a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.style_statistics import GatysConfig
from atelier.models.controls import Controls, Style
from atelier.models.encoders.base import Encoder
from atelier.models.losses.perceptual import content_loss, gram, style_loss, total_variation
from atelier.models.methods.base import Batch, Method
from atelier.models.methods.style_inputs import SMALLEST_PX, TRAINED, domain_means, region_of, shares, style_pixels
from atelier.models.painter import Painter, StylesPainter
from atelier.models.pixels import as_given, finite, fitted, keep_color, pad, to_float

COARSEST_PX = 64  # shortest side of the coarsest scale
HISTORY = 20  # of L-BFGS, steps

Grams = Mapping[str, Tensor]  # Gram matrices (C, C) by layer


class GatysGenerator(nn.Module):
    """Frozen encoder, and the mean Gram matrices of the style domain."""

    def __init__(self, kind: type[Encoder]) -> None:
        super().__init__()
        self.encoder = kind()
        self.encoder.freeze()
        self.grams = nn.Module()
        for layer, channels in kind.style_channels().items():
            self.grams.register_buffer(layer, torch.zeros(channels, channels))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Features by name of pictures (B, 3, H, W) in [-1, 1]."""
        return self.encoder.encode(pictures)

    def trained(self) -> dict[str, Tensor]:
        """(C, C) by layer."""
        return dict(self.grams.named_buffers())

    def seen(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> dict[str, Tensor]:
        """Gram matrices (C, C) by layer, means over the pictures; of the places in a mask (1, 1, h, w)."""
        return {
            layer: gram(x, None if mask is None else fitted(mask, *x.shape[2:])).mean(0)
            for layer, x in ((layer, features[layer]) for layer in self.trained())
        }


class Gatys(Method):
    """The method; see the module."""

    Config: ClassVar[type[GatysConfig]] = GatysConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, config: GatysConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device = config, device
        self.generator = GatysGenerator(type(encoder)).to(device)
        self.generator.encoder.load_state_dict(encoder.state_dict())
        self.modules, self.weights = {"generator": self.generator}, {}

    @staticmethod
    def build_generator(config: GatysConfig, encoder: type[Encoder] | None) -> nn.Module:
        """An encoder of this class; its weights come with the model's, or with the training's."""
        if encoder is None:
            raise ValueError("gatys contains its encoder, but the model does not say which it was trained with")
        return GatysGenerator(encoder)

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Average the Gram matrices of the style domain."""
        means = domain_means(
            lambda style: self.generator.seen(self.generator(style)),
            batches, batch_size, self.config.style_images, self.device,
        )  # fmt: skip
        for layer, trained in self.generator.trained().items():
            trained.copy_(means[layer])

    @classmethod
    def painter(cls, config: GatysConfig, generator: nn.Module, controls: Controls) -> Painter:
        """See `Method.painter`; the mixed Gram matrices of the styles are taken here, once."""
        return _painter(config, generator, controls, [controls.styles or (TRAINED,)])

    @classmethod
    def styles_painter(cls, config: GatysConfig, generator: nn.Module, controls: Controls) -> StylesPainter:
        """See `Method.styles_painter`; the Gram matrices of each style are taken here, once."""
        return _painter(config, generator, controls, [[style] for style in controls.styles or (TRAINED,)])


def _painter(
    config: GatysConfig, generator: nn.Module, controls: Controls, groups: Sequence[Sequence[Style]]
) -> "GatysPainter":
    """The painter of groups of styles, each of which is mixed."""
    assert isinstance(generator, GatysGenerator)
    optimisation = Optimisation(
        config,
        generator,
        [[_target(generator, group, 2**halvings) for group in groups] for halvings in range(config.scales)],
        controls.steps or config.steps,
        config.style_weight * (1.0 if controls.style_weight is None else controls.style_weight),
    )
    return GatysPainter(optimisation, controls.strength, controls.preserve_color)


@torch.no_grad()
def _target(generator: GatysGenerator, styles: Sequence[Style], factor: int) -> dict[str, Tensor]:
    """Mixed Gram matrices by layer, of style pictures made smaller by a factor."""
    target = {layer: torch.zeros_like(trained) for layer, trained in generator.trained().items()}
    for style, share in zip(styles, shares(styles), strict=True):
        grams = generator.trained()
        if (seen := style_pixels(style, next(generator.parameters()).device)) is not None:
            grams = generator.seen(generator(_smaller(seen, factor)), region_of(style, seen.device))
        for layer, mixed in target.items():
            mixed += share * grams[layer]
    return target


def _smaller(x: Tensor, factor: int) -> Tensor:
    """(B, 3, H, W) divided by a factor, but no smaller than `SMALLEST_PX` a side."""
    if factor == 1:
        return x
    return _resized(x, [max(min(side, SMALLEST_PX), side // factor) for side in x.shape[2:]])


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=list(size), mode="bilinear", antialias=True)


@dataclass(frozen=True)
class Optimisation:
    """The optimisation of one image."""

    config: GatysConfig
    generator: GatysGenerator
    targets: Sequence[Sequence[Grams]]  # of each placed style, for full size, half, quarter …
    steps: int  # at each size
    style_weight: float

    def __call__(self, content: Tensor, masks: Tensor | None = None) -> Tensor:
        """One picture (1, 3, H, W) in [-1, 1] to its painting; coarse to fine. Masks (1, S, h, w) place the styles."""
        factors = [2**n for n in range(len(self.targets)) if n == 0 or min(content.shape[2:]) >= COARSEST_PX * 2**n]
        painted: Tensor | None = None
        before = content
        for factor, targets in reversed(list(zip(factors, self.targets, strict=False))):
            places = [None] if masks is None else torch.split(masks, 1, 1)
            placed = list(zip(targets, places, strict=True))
            given = _smaller(content, factor)
            start = given
            if painted is not None:
                # the change of the smaller one, and the detail of this size
                start = given + _resized(painted - before, given.shape[2:])
            painted, before = self._optimised(start, given, placed), given
        assert painted is not None
        return painted

    def loss(self, x: Tensor, content: Tensor, placed: Sequence[tuple[Grams, Tensor | None]]) -> Tensor:
        """Equation 7, with total variation; of x (1, 3, H, W), features (1, C, h, w), and styles with their masks."""
        c, generator = self.config, self.generator
        features = generator(x)
        losses = [_area(mask) * style_loss(generator.seen(features, mask), target) for target, mask in placed]
        return (
            c.content_weight * content_loss(features[generator.encoder.content_layer], content)
            + self.style_weight * sum(losses[1:], losses[0]) / sum(_area(mask) for _, mask in placed)
            + c.total_variation_weight * total_variation(x)
        )

    def _optimised(self, start: Tensor, given: Tensor, placed: Sequence[tuple[Grams, Tensor | None]]) -> Tensor:
        """At one size."""
        placed = [(target, mask) for target, mask in placed if _area(mask) > 0]
        with torch.no_grad():
            content = self.generator(given)[self.generator.encoder.content_layer]
        x = start.clone(memory_format=torch.contiguous_format).requires_grad_()  # L-BFGS views it as a vector
        optimizer: torch.optim.Optimizer
        if self.config.algorithm == "lbfgs":
            # gradients of single pixels are small: only the number of steps ends it
            optimizer = torch.optim.LBFGS(
                [x], max_iter=self.steps, max_eval=2 * self.steps, tolerance_grad=0, tolerance_change=0,
                history_size=HISTORY, line_search_fn="strong_wolfe",
            )  # fmt: skip
        else:
            optimizer = torch.optim.Adam([x], self.config.learning_rate)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss(x, content, placed)
            torch.autograd.backward(loss)
            return loss

        for _ in range(1 if self.config.algorithm == "lbfgs" else self.steps):
            optimizer.step(closure)  # type: ignore[no-untyped-call]
        return finite(x.detach()).clamp(-1, 1)


def _repeated(masks: Tensor | None, index: int) -> bool:
    """Whether the picture before has the same masks."""
    return masks is None or len(masks) == 1 or torch.equal(masks[index], masks[index - 1])


def _area(mask: Tensor | None) -> float:
    """Share of the picture in a mask."""
    return 1.0 if mask is None else float(mask.mean())


@dataclass(frozen=True, eq=False)
class GatysPainter:
    """Stylizes pictures, one after the other; in several styles where their masks are."""

    optimisation: Optimisation
    strength: float  # 0…1
    preserve_color: bool

    def __call__(self, images: Tensor, masks: Tensor | None = None) -> Tensor:
        """Stylize pictures; see `Painter`, and `StylesPainter` for the masks."""
        if self.strength == 0:
            return images
        height, width = images.shape[2:]
        device = next(self.optimisation.generator.parameters()).device
        painted: list[Tensor] = []
        # gradients are needed, also inside the caller's inference mode
        with torch.inference_mode(False), torch.enable_grad():
            for index, image in enumerate(images):
                mask = None if masks is None else masks[index % len(masks)][None].clone().to(device)
                if index and torch.equal(image, images[index - 1]) and _repeated(masks, index):
                    painted.append(painted[-1])  # batches are padded with copies
                    continue
                x = pad(to_float(image[None].clone(), device), 1, SMALLEST_PX)
                y = self.optimisation(x, mask)
                if self.preserve_color:
                    y = keep_color(y, x)
                painted.append(torch.lerp(x, y, self.strength)[:, :, :height, :width])
        return as_given(torch.cat(painted), images)
