"""infogan: pictures from noise, some numbers of which come to mean something, without any label.

Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial
Nets": codes c among the noise, and beside the adversarial game the lower bound of the mutual information of codes and
pictures, L_I(G, Q) = E[log Q(c|x)] + H(c) (equations 5 and 6), with λ = 1 for categories and less for continuous codes
(section 6). The recogniser Q is the discriminator with another last layer. As in the authors' code the generator is
trained on its loss and −λ L_I, the discriminator together with Q on theirs and −λ L_I.

Which categories come out is left to chance in the paper. By choice (`clustered_pictures`) the first code's begin as
clusters of training pictures that are alike after affine changes, see `clusters`: Q is told them of real pictures, as
in Spurr et al. 2017, "Guiding InfoGAN with Semi-Supervision", but nobody labels any. So they are shapes, not places and
slants, which are left to the continuous codes.

What differs, besides what `methods.gan` says: continuous codes are uniform in ±2, which is the paper's ±1 in other
units; Q tells their deviation with their mean, bounded below, so that certainty has a limit.
"""

import math
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.affine import DRAWS
from atelier.models.clusters import Clusters, downsized
from atelier.models.codes import BOUND
from atelier.models.configs.gan import InfoganConfig
from atelier.models.distributed import all_gather, rank, rank_places, world_size
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import discriminator_losses, generator_loss
from atelier.models.losses.penalties import r1_penalty
from atelier.models.methods.base import Batch, MicroBatch, augmented, autocast
from atelier.models.methods.gan import NoiseMethod
from atelier.models.networks.infogan import CodedGenerator, RecognisingDiscriminator, code_values
from atelier.models.pixels import to_float
from atelier.models.random_draws import noise, normal, traversals, uniform

CHANGES = 32  # affine changes by which pictures are compared
CLUSTERS = 2  # salt of their draws


class Infogan(NoiseMethod):
    """The training method; see the module."""

    Config: ClassVar[type[InfoganConfig]] = InfoganConfig

    def __init__(self, config: InfoganConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(config, encoder, device, dtype)
        self.discriminator: RecognisingDiscriminator
        clustered = config.clustered_pictures if config.categories else 0
        self.clusters = Clusters(clustered) if clustered else None
        if self.clusters is not None:
            self.modules["clusters"] = self.clusters.to(device)
        for turn in ("", "discriminator_"):
            self.weights |= {f"{turn}categories": config.category_weight, f"{turn}continuous": config.continuous_weight}
        self.weights["discriminator_clusters"] = config.category_weight
        self.entropies = torch.tensor([math.log(count or 2 * BOUND) for count in config.codes])  # nats

    @staticmethod
    def build_discriminator(config: InfoganConfig, encoder: Encoder) -> RecognisingDiscriminator:
        """The discriminator of this config."""
        return RecognisingDiscriminator(config.codes, config.discriminator_filters, config.size_px)

    @staticmethod
    def build_generator(config: InfoganConfig, encoder: type[Encoder] | None) -> CodedGenerator:
        """The generator of this config."""
        return CodedGenerator(config.codes, config.noise, config.filters, config.size_px)

    @classmethod
    def sample_rows(cls, config: InfoganConfig, generator: nn.Module, pictures: Tensor, seed: int) -> dict[str, Tensor]:
        """See `Method.sample_rows`: the first picture with the values of each code."""
        (base,) = noise(seed, (0,), config.noise)
        rows = traversals(base, config.codes, max(2, len(pictures)))
        return {f"code {code}": cls.generate(config, generator, row) for code, row in enumerate(rows)}

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Cluster the first pictures of the style domain."""
        if self.clusters is None:
            return
        count, places = self.config.clustered_pictures, rank_places(rank(), world_size(), batch_size)
        shrunk = []
        for step in range(-(-count // batch_size)):
            own = downsized(to_float(batches(step).style, self.device))
            shrunk.append(all_gather(own, places.start, batch_size))
        changes = uniform(0, 0, 0, CHANGES, DRAWS, CLUSTERS).to(self.device)
        self.clusters.fit(torch.cat(shrunk)[:count], changes, self.config.categories[0])

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        c = self.config
        if turn == "generator":
            drawn = normal(batch.uniform(c.noise, 0)).to(self.device)
            with autocast(self.device, self.dtype):
                made = self.generator(drawn)
                scores, told = self.discriminator.both(augmented(made, c.diffaugment, batch, 1))
            batch.saved |= {"made": made.detach(), "codes": code_values(drawn, c.codes)}
            found = self._information(told, batch.saved["codes"])
            by_code = {f"information_{index}": value.detach() for index, value in enumerate(found)}
            yield {"adversarial": generator_loss(c.adversarial, scores), **self._code_losses(found), **by_code}
            return
        real, made = (augmented(x, c.diffaugment, batch, 1) for x in (batch.style, batch.saved["made"]))
        with autocast(self.device, self.dtype):
            scores, told = self.discriminator.both(torch.cat([real, made]))
        losses = discriminator_losses(c.adversarial, scores)
        found = self._information(told[len(real) :], batch.saved["codes"])
        taught = 0 if self.clusters is None else 1  # what real pictures teach is not unlearned of generated ones
        losses |= {f"discriminator_{name}": value for name, value in self._code_losses(found, taught).items()}
        if self.clusters is not None:
            logits = told[: len(real), : c.categories[0]]
            losses["discriminator_clusters"] = F.cross_entropy(logits, self.clusters(batch.style))
        if c.r1_weight and batch.step % c.r1_every == 0:
            losses["r1"] = r1_penalty(self.discriminator, real)
        yield losses

    def _information(self, told: Tensor, codes: Tensor) -> Tensor:
        """L_I of each code, nats, (codes,): equation 5; arguments as of `RecognisingDiscriminator.log_likelihoods`."""
        return self.discriminator.log_likelihoods(told, codes).mean(0) + self.entropies.to(told.device)

    def _code_losses(self, information: Tensor, first: int = 0) -> dict[str, Tensor]:
        """What is not known of the codes from a number on, H(c) − L_I, by kind: not below 0 for categories."""
        unknown = self.entropies.to(information.device) - information
        count = len(self.config.categories)
        return {"categories": unknown[first:count].sum(), "continuous": unknown[count:].sum()}
