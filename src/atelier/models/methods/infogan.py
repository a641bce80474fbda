"""infogan: pictures from noise, some numbers of which come to mean something, without any label.

Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial
Nets": codes c among the noise, and beside the adversarial game the lower bound of the mutual information of codes and
pictures, L_I(G, Q) = E[log Q(c|x)] + H(c) (equations 5 and 6), with λ = 1 for categories and less for continuous codes
(section 6). The recogniser Q is the discriminator with another last layer. As in the authors' code the generator is
trained on its loss and −λ L_I, the discriminator together with Q on theirs and −λ L_I.

Which categories come out is left to chance in the paper. By choice (`invariant`) they are what can be recognised after
affine changes too, as in Hu et al. 2017, "Learning Discrete Representations via Information Maximizing Self-Augmented
Training": shapes, not places and slants, which are left to the continuous codes.

What differs, besides what `methods.gan` says: continuous codes are uniform in ±2, which is the paper's ±1 in other
units; Q tells their deviation with their mean, bounded below, so that certainty has a limit.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from atelier.models.affine import DRAWS, affine
from atelier.models.codes import BOUND
from atelier.models.configs.gan import InfoganConfig
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import discriminator_losses, generator_loss
from atelier.models.losses.penalties import r1_penalty
from atelier.models.methods.base import MicroBatch, augmented, autocast
from atelier.models.methods.gan import NoiseMethod
from atelier.models.networks.infogan import CodedGenerator, RecognisingDiscriminator, code_values
from atelier.models.random_draws import noise, normal, traversals


class Infogan(NoiseMethod):
    """The training method; see the module."""

    Config: ClassVar[type[InfoganConfig]] = InfoganConfig

    def __init__(self, config: InfoganConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(config, encoder, device, dtype)
        self.discriminator: RecognisingDiscriminator = RecognisingDiscriminator(
            config.codes, config.discriminator_filters, config.size_px
        ).to(device)
        self.modules["discriminator"] = self.discriminator
        for turn in ("", "discriminator_"):
            self.weights |= {f"{turn}categories": config.category_weight, f"{turn}continuous": config.continuous_weight}
        self.entropies = torch.tensor([math.log(count or 2 * BOUND) for count in config.codes])  # nats

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

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        c = self.config
        if turn == "generator":
            drawn = normal(batch.uniform(c.noise, 0)).to(self.device)
            with autocast(self.device, self.dtype):
                made = self.generator(drawn)
                seen = augmented(made, c.diffaugment, batch, 1)
                scores, told = self.discriminator.both(self._with_moved(seen, batch))
            batch.saved |= {"made": made.detach(), "codes": code_values(drawn, c.codes)}
            found, scores = self._information(told, batch.saved["codes"]), scores[: len(made)]
            by_code = {f"information_{index}": value.detach() for index, value in enumerate(found)}
            yield {"adversarial": generator_loss(c.adversarial, scores), **self._code_losses(found), **by_code}
            return
        real, made = (augmented(x, c.diffaugment, batch, 1) for x in (batch.style, batch.saved["made"]))
        with autocast(self.device, self.dtype):
            scores, told = self.discriminator.both(torch.cat([real, self._with_moved(made, batch)]))
        losses = discriminator_losses(c.adversarial, scores[: 2 * len(real)])
        found = self._information(told[len(real) :], batch.saved["codes"])
        losses |= {f"discriminator_{name}": value for name, value in self._code_losses(found).items()}
        if c.r1_weight and batch.step % c.r1_every == 0:
            losses["r1"] = r1_penalty(self.discriminator, real)
        yield losses

    def _with_moved(self, made: Tensor, batch: MicroBatch) -> Tensor:
        """Generated pictures (b, 3, H, W), and by choice the same again with affine changes."""
        return torch.cat([made, affine(made, batch.uniform(DRAWS, 2))]) if self.config.invariant else made

    def _information(self, told: Tensor, codes: Tensor) -> Tensor:
        """L_I of each code, nats, (codes,): equation 5; of categories from the changed pictures, if there are some.

        Args:
            told: of generated pictures (b, …), or of them and of as many changed ones.
        """
        count = len(self.config.categories)
        as_made, moved = (
            self.discriminator.log_likelihoods(part, codes) for part in (told[: len(codes)], told[-len(codes) :])
        )
        found = torch.cat([moved[:, :count], as_made[:, count:]], 1)
        return found.mean(0) + self.entropies.to(told.device)

    def _code_losses(self, information: Tensor) -> dict[str, Tensor]:
        """What is not known of the codes, H(c) − L_I, by kind: not below 0 for categories."""
        unknown = self.entropies.to(information.device) - information
        count = len(self.config.categories)
        return {"categories": unknown[:count].sum(), "continuous": unknown[count:].sum()}
