"""edit: attributes of pictures, given and taken by moving their latents in a model that generates.

The picture's middle square, as small as the model's pictures, is encoded or inverted (see `gan_inversion`), its latent
is moved along attribute directions (see `directions`), and what changes in the generated picture is added to the given
one: so what the model cannot draw stays as it is, such as the background and whose face it is. Larsen et al. 2016,
"Autoencoding beyond pixels", edit by attribute vectors in the latents of a VAE.

How far a latent is moved is found in a few steps: a classifier looks at the picture so far, and all attributes that the
model has are moved by what they lack, those that were not asked for too, so that they stay. In a model that has no
encoder latents are then moved on by the classifier's gradient (see `latent_refinement`), since far along a direction
its pictures are none. A model of this method is not trained but made of another one: see `learn`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models import random_draws
from atelier.models.configs.edit import EditConfig
from atelier.models.controls import Controls, check_attributes, parse_wish
from atelier.models.directions import find_excluding, learn_directions
from atelier.models.encoders.base import Encoder
from atelier.models.gan_inversion import find_latents
from atelier.models.latent_refinement import refine
from atelier.models.methods.base import Method
from atelier.models.methods.gan import Dcgan, Gan
from atelier.models.methods.infogan import Infogan
from atelier.models.methods.stylegan import Stylegan
from atelier.models.methods.vae import Vae
from atelier.models.networks.classifier import Classifier
from atelier.models.networks.latent_editor import LatentEditor
from atelier.models.painter import Painter
from atelier.models.pixels import as_given, finite, to_float
from atelier.models.settings import from_json

BASES: dict[str, type[Method]] = {one.Config.name: one for one in (Dcgan, Gan, Infogan, Stylegan, Vae)}
SURE = 4.0  # logit of an attribute that is given by 1: 98 %
TOGETHER = 64  # pictures that are learned from at once
MOVES = 8  # steps in which a latent is moved
GAIN = 0.7  # of a step: the share of what is lacking
FURTHEST = 10.0  # that it is moved, in deviations of latents
NEAR = 2.0  # the same where the gradient goes on from there
REFINEMENTS = 30  # its steps
SIDE = 0.5  # weight of attributes that were not asked for, in what is best
SLACK = 1.0  # logits by which attributes that were not asked for are moved back, at most
LEAST_CHANGE = 0.05  # of colours in [-1, 1], that is kept
EDGE = 1 / 16  # of the square's side, over which changes fade where the picture goes on


class Edit(Method):
    """The method; see the module."""

    Config: ClassVar[type[EditConfig]] = EditConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, config: EditConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        raise ValueError("edit is not trained: train vae or stylegan, then run `atelier directions`")

    @staticmethod
    def build_generator(config: EditConfig, encoder: type[Encoder] | None) -> LatentEditor:
        """The networks of this config."""
        method, settings = base_of(config)
        if encoder is None:
            raise ValueError("the model does not name its encoder")
        base = method.build_generator(settings, None)
        latent = settings.latent if settings.layers else settings.noise
        seen = encoder()
        seen.freeze()
        return LatentEditor(base, latent, len(config.attributes), config.classifier_filters, seen)

    @classmethod
    def painter(cls, config: EditConfig, generator: nn.Module, controls: Controls) -> Painter:
        """See `EditPainter`."""
        assert isinstance(generator, LatentEditor)
        check_attributes(controls.to, config.attributes)
        given = dict(map(parse_wish, controls.to))
        wishes = {config.attributes.index(name): amount for name, amount in given.items()}
        steps = config.steps if controls.steps is None else controls.steps
        return EditPainter(config, generator, wishes, steps, controls.strength)


def base_of(config: EditConfig) -> tuple[type[Method], Any]:
    """Method and settings of the model whose latents are moved. Raises ValueError where it is none that generates."""
    if config.base not in BASES:
        raise ValueError(f"{config.base!r} has no latents that could be moved: {', '.join(BASES)} have")
    method = BASES[config.base]
    return method, from_json(method.Config, config.base_settings)


def learn(
    base: Any,
    generator: nn.Module,
    classifier: Classifier,
    attributes: Sequence[str],
    encoder: Encoder,
    pictures: Tensor,
) -> tuple[EditConfig, LatentEditor]:
    """A model that edits, from one that generates. The same arguments give the same model.

    Args:
        base: settings of the model that generates.
        generator: its networks.
        classifier: of the attributes.
        encoder: for inversions.
        pictures: uint8 (N, 3, S, S), N well above the numbers of a latent: training pictures, whose latents are taken
            where the model has an encoder; elsewhere as many latents are drawn.
    """
    settings = json.loads(json.dumps(asdict(base)))
    # what an encoder finds is near enough, and where it puts pictures directions reach far
    steps, refinements = (0, 0) if base.reconstructs else (EditConfig.steps, REFINEMENTS)
    config = EditConfig(base.name, settings, tuple(attributes), classifier.filters, steps, refinements)
    method, _ = base_of(config)
    networks = Edit.build_generator(config, type(encoder))
    networks.base, networks.classifier, networks.encoder = generator, classifier, encoder
    found, logits, beside, real = [], [], [], []
    with torch.inference_mode():
        for first in range(0, len(pictures), TOGETHER):
            part = to_float(pictures[first : first + TOGETHER], networks.mean.device)
            real.append(classifier(part))
            if base.reconstructs:
                latents = method.encode(base, generator, part)
            else:
                numbers = random_draws.noise(0, range(first, first + len(part)), base.noise)
                latents = method.latents(base, generator, numbers)
            made = method.synthesize(base, generator, latents)
            logits.append(classifier(made))
            beside.append(_surroundings(made))
            found.append(latents[:, 0] if latents.ndim == 3 else latents)
    all_latents = torch.cat(found)
    networks.excluding.copy_(find_excluding(torch.cat(real) > 0))
    found_directions = learn_directions(all_latents, torch.cat(logits), networks.excluding, torch.cat(beside))
    networks.changes.copy_(found_directions.changes)
    networks.squares.copy_(found_directions.squares)
    networks.mean.copy_(all_latents.mean(0))
    networks.spread.copy_(all_latents.std(0).clamp(min=1e-6))
    return config, networks.eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class EditPainter:
    """Edits pictures.

    Args:
        wishes: by number of the attribute, how much it is given, or below 0 taken. None is a demonstration: the first
            attribute is given to pictures that lack it, and taken from the others.
    """

    config: EditConfig
    networks: LatentEditor
    wishes: Mapping[int, float]
    steps: int
    strength: float

    def __call__(self, images: Tensor) -> Tensor:
        """Edit pictures; see `Painter`."""
        if self.strength == 0:
            return images
        _, settings = base_of(self.config)
        x = to_float(images, self.networks.mean.device)
        side = min(x.shape[2:])
        top, left = ((size - side) // 2 for size in x.shape[2:])
        place = (..., slice(top, top + side), slice(left, left + side))
        with torch.inference_mode():
            pictures = _resized(x[place], settings.size_px).clamp(-1, 1)
            change = _resized(self.change(pictures, self.latents(pictures)), side)
            edited = x.clone()
            edited[place] += finite(change) * self.strength * _fade(x.shape[2], x.shape[3], x.device)
        return as_given(edited, images)

    def latents(self, pictures: Tensor) -> Tensor:
        """Latents (B, …, D) of pictures (B, 3, S, S) in [-1, 1], of the size that the model has."""
        method, settings = base_of(self.config)
        net = self.networks
        return find_latents(method, settings, net.base, net.encoder, pictures, net.mean, net.spread, self.steps)

    @torch.inference_mode()
    def change(self, pictures: Tensor, latents: Tensor) -> Tensor:
        """What is added to pictures (B, 3, S, S) in [-1, 1], whose latents these are."""
        method, settings = base_of(self.config)
        networks = self.networks
        made = finite(method.synthesize(settings, networks.base, latents))
        had = finite(networks.classifier(pictures))
        wanted, asked = self.wanted(had)
        best, least = torch.zeros_like(pictures), torch.full_like(had[:, 0], torch.inf)

        def change(move: Tensor) -> Tensor:
            """What a move (B, D), in deviations of latents, the same for all layers, changes in pictures."""
            step = networks.spread * move
            return (
                method.synthesize(settings, networks.base, latents + (step[:, None] if settings.layers else step))
                - made
            )

        def compare(changed: Tensor) -> Tensor:
            """Keep of each picture what misses least; returns the logits (B, A) that are lacking."""
            nonlocal best, least
            now = networks.classifier((pictures + changed).clamp(-1, 1))
            # what was not asked for is moved back where it is another now
            lacking: Tensor = (wanted - now) * (asked | (now.sign() != had.sign()))
            missed = (lacking.abs() * torch.where(asked, 1.0, SIDE)).sum(1)
            best = torch.where((missed < least)[:, None, None, None], changed, best)
            least = torch.minimum(missed, least)
            return lacking

        refined = self.config.refinements
        furthest, shift, changed = NEAR if refined else FURTHEST, torch.zeros_like(had), torch.zeros_like(pictures)
        for _ in range(MOVES):
            shift = shift + GAIN * compare(changed)
            shift = torch.where(asked, shift, shift.clamp(-SLACK, SLACK))
            length = ((shift @ networks.squares) * shift).sum(1, keepdim=True).sqrt()
            shift = shift * (furthest / length.clamp(min=furthest))
            move = shift @ networks.changes / networks.spread  # (B, D)
            changed = _kept(change(move))
        compare(changed)
        if refined:
            refine(
                change, networks.classifier, pictures, move, wanted, asked, refined, lambda drawn: compare(_kept(drawn))
            )
        return best

    def wanted(self, had: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B, A) that pictures should have, from those that they have; and which were asked for, (B, A)."""
        wishes = {index: torch.full_like(had[:, index], amount) for index, amount in self.wishes.items()}
        wishes = wishes or {0: -had[:, 0].sign()}
        wanted, asked = had.clone(), torch.zeros_like(had, dtype=torch.bool)
        for index, amount in wishes.items():
            given = amount > 0
            wanted[:, index] = torch.where(
                given, torch.maximum(had[:, index], SURE * amount), torch.minimum(had[:, index], SURE * amount)
            )
            asked[:, index] = True
            # what excludes it may go
            gone = self.networks.excluding[index] & given[:, None] & ~asked
            wanted = torch.where(gone, had.clamp(max=-SURE / 4), wanted)
        return wanted, asked


def _surroundings(pictures: Tensor) -> Tensor:
    """Mean colours (B, 3) of the left and right edges of pictures (B, 3, S, S), which are background."""
    edge, above = pictures.shape[3] // 8, 3 * pictures.shape[2] // 4
    both = torch.cat([pictures[:, :, :above, :edge], pictures[:, :, :above, -edge:]], 3)
    return both.mean((2, 3))


def _resized(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) to (B, C, side, side)."""
    return F.interpolate(x, (side, side), mode="bicubic", antialias=True)


def _kept(change: Tensor) -> Tensor:
    """A change of pictures without what is small everywhere around, so that the background stays."""
    size = F.avg_pool2d(F.pad(change.abs().amax(1, keepdim=True), (2, 2, 2, 2), mode="replicate"), 5, 1)
    return change * (size / LEAST_CHANGE - 0.5).clamp(0, 1)


def _fade(height: int, width: int, device: torch.device) -> Tensor:
    """Weights of a change of the middle square, (side, side), that fade where the picture goes on beside it."""
    side = min(height, width)
    near = torch.arange(side, device=device)
    ramp = ((torch.minimum(near, side - 1 - near) + 0.5) / (EDGE * side)).clamp(max=1)
    if height == width:
        return torch.ones(side, side, device=device)
    return ramp[:, None].expand(side, side) if height > width else ramp.expand(side, side)
