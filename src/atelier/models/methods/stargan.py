"""stargan: one generator for many domains or attributes, which are its second input.

Choi et al. 2018, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation":
adversarial loss (equation 1, or 8 with "wasserstein" and its gradient penalty), classification of real and of painted
pictures (2 and 3), reconstruction (4), full objectives (5 and 6). Weights are the paper's, λ_cls = 1 and λ_rec = 10.
Equation 7, masks for joining datasets that have different labels, is not here: a dataset has one set of attributes.

What differs. The authors train 200,000 steps with five of the discriminator's for one of the generator's, which no
processor does overnight: here the default is the hinge loss with spectral norms, which is stable with one step each and
needs no second derivatives. How the networks differ is said in `networks.conditioned`. The labels to give are those of
the pictures in the batch of the style domain, which come in an order of their own: set `train.content` and
`train.style` to the same domain to edit attributes, or to photographs and paintings to choose between styles. A
generator is told all attributes at once, but who edits a picture names a few: the others are kept, as a classifier
tells them, which is trained beside the discriminator on real pictures and is saved with the generator.

In a short training the classes of a discriminator that has to learn to see are answered with a pattern that fools it
and that nobody else sees. "projected" (Sauer et al. 2021) tells them from a frozen encoder's features, and with
translations (Zhao et al. 2020) no pattern keeps its place: the same attributes then show as people know them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.translation import StarganConfig
from atelier.models.controls import Controls, check_attributes, parse_wish
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import discriminator_losses, generator_loss
from atelier.models.losses.penalties import gradient_penalty
from atelier.models.methods.base import Batch, Method, MicroBatch, augmented, autocast
from atelier.models.methods.style_inputs import fit_units
from atelier.models.networks.classifier import Classifier
from atelier.models.networks.spectral import advance
from atelier.models.networks.stargan import (
    ClassifyingDiscriminator,
    ConditionedGenerator,
    ProjectedClassifyingDiscriminator,
)
from atelier.models.painter import Painter


class Editor(nn.Module):
    """The networks of a model folder: the generator, and the classifier of attributes."""

    def __init__(self, config: StarganConfig) -> None:
        super().__init__()
        count = len(config.attributes)
        self.painter = ConditionedGenerator(config.filters, config.blocks, count)
        self.classifier = Classifier(count, config.classifier_filters)


class EditRequest:
    """An edit of the labels of images.

    Args:
        to: names to give or take, see `controls.parse_wish`; an amount is the label to give, or 1 minus it to take.
            Nothing named is a demonstration: the first attribute is given to pictures that lack it and taken from the
            others, which get the next of the exclusive ones if it is one.

    Raises:
        ValueError: a name that the model does not know, or two that exclude each other.
    """

    def __init__(self, config: StarganConfig, to: Sequence[str]) -> None:
        names, self.config = config.attributes, config
        check_attributes(to, names)
        wishes = {names.index(name): amount for name, amount in map(parse_wish, to)}
        self.given = {index: amount if amount > 0 else 1 + amount for index, amount in wishes.items()}
        self.exclusive = [names.index(name) for name in config.exclusive]
        chosen = [index for index in self.exclusive if wishes.get(index, 0) > 0]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(names[i] for i in chosen)} exclude each other: name one of them")
        if chosen:
            self.given |= {index: 0.0 for index in self.exclusive if index not in chosen}

    def apply(self, labels: Tensor) -> Tensor:
        """Target labels (B, A) from the present ones."""
        wanted = labels.clone()
        for index, value in self.given.items():
            wanted[:, index] = value
        if not self.given:
            had = labels[:, 0].clone()
            if 0 in self.exclusive:
                wanted[:, self.exclusive] = 0
                following = self.exclusive[(self.exclusive.index(0) + 1) % len(self.exclusive)]
                wanted[:, following] = had
            wanted[:, 0] = 1 - had
        return wanted


class EditingNetwork(nn.Module):
    """A generator with a fixed edit, from image to image."""

    def __init__(self, editor: nn.Module, request: EditRequest) -> None:
        super().__init__()
        self.editor, self.request = editor, request

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to the same."""
        assert isinstance(self.editor, Editor)
        labels = (self.editor.classifier(x) > 0).float()
        y: Tensor = self.editor.painter(x, self.request.apply(labels))
        return y


class Stargan(Method):
    """The training method; see the module."""

    Config: ClassVar[type[StarganConfig]] = StarganConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {
        "generator": ("generator.painter",),
        "discriminator": ("discriminator", "generator.classifier"),
    }

    def __init__(self, config: StarganConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        if not config.attributes:
            raise ValueError("train.stargan.attributes is empty: name the attributes that the generator shall give")
        self.config, self.device, self.dtype = config, device, dtype
        self.generator = Editor(config).to(device)
        self.discriminator = _discriminator(config, encoder, device)
        self.modules = {"generator": self.generator, "discriminator": self.discriminator}
        self.weights = {
            "adversarial": config.adversarial_weight,
            "classification": config.classification_weight,
            "reconstruction": config.reconstruction_weight,
            "discriminator": config.adversarial_weight,
            "discriminator_classification": config.classification_weight,
            "gradient_penalty": config.gradient_penalty_weight,
            "classifier": 1.0,
        }

    @staticmethod
    def build_generator(config: StarganConfig, encoder: type[Encoder] | None) -> nn.Module:
        """The generator of this config, with its classifier."""
        return Editor(config)

    @classmethod
    def painter(cls, config: StarganConfig, generator: nn.Module, controls: Controls) -> Painter:
        """The generator with a fixed edit, see `EditRequest`."""
        return super().painter(config, EditingNetwork(generator, EditRequest(config, controls.to)), controls)

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Set the feature scales of the discriminator."""
        fit_units(self.discriminator.modules(), batches, batch_size, self.device)

    def begin(self, turn: str, parts: Sequence[MicroBatch]) -> None:
        """Advance the spectral norms."""
        advance(self.discriminator)

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """The generator's; or the discriminator's, then the classifier's."""
        assert batch.content_labels is not None
        assert batch.style_labels is not None
        if turn == "generator":
            yield self._painting(batch, batch.content_labels, batch.style_labels)
            return
        yield self._discrimination(batch, batch.style_labels)
        with autocast(self.device, self.dtype):
            told = self.generator.classifier(torch.cat([batch.content, batch.style]))
        labels = torch.cat([batch.content_labels, batch.style_labels])
        yield {
            "classifier": classification_loss(told, labels),
            "attribute_accuracy": ((told > 0) == (labels > 0.5)).float().mean(),
        }

    def _painting(self, batch: MicroBatch, given: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Equation 6: to the target labels, and back to the given ones."""
        with autocast(self.device, self.dtype):
            painted = self.generator.painter(batch.content, wanted)
            returned = self.generator.painter(painted, given)
            scores, told = self.discriminator(augmented(painted, self.config.diffaugment, batch, 1))
        batch.saved["painted"] = painted.detach()
        return {
            "adversarial": generator_loss(self.config.adversarial, scores),
            "classification": classification_loss(told, wanted),
            "reconstruction": F.l1_loss(returned, batch.content),
        }

    def _discrimination(self, batch: MicroBatch, labels: Tensor) -> dict[str, Tensor]:
        """Equation 5, with the penalty of equation 8 for wasserstein."""
        c, painted = self.config, batch.saved["painted"]
        with autocast(self.device, self.dtype):
            both = torch.cat([augmented(x, c.diffaugment, batch, 1) for x in (batch.style, painted)])
            scores, told = self.discriminator(both)
        losses = discriminator_losses(c.adversarial, scores)
        losses["discriminator_classification"] = classification_loss(told[: len(batch.style)], labels)
        if c.adversarial == "wasserstein" and c.gradient_penalty_weight:
            losses["gradient_penalty"] = gradient_penalty(
                lambda x: self.discriminator(x)[0], batch.style, painted, batch.uniform(1, 0)[:, 0]
            )
        return losses


def _discriminator(config: StarganConfig, encoder: Encoder, device: torch.device) -> nn.Module:
    filters, count = config.discriminator_filters, len(config.attributes)
    if config.discriminator == "projected":
        return ProjectedClassifyingDiscriminator(encoder.to(device), filters, count).to(device)
    network = ClassifyingDiscriminator(filters, config.discriminator_layers, count, config.spectral_norm)
    return network.to(device)


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """−log D_cls(c | x) of logits and labels (B, A): Choi et al. 2018, equations 2 and 3, by sigmoids; sum over A."""
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1).mean()
