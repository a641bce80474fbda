"""cyclegan: unpaired translation in both directions with cycle consistency.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks": full objective in
equation 3, cycle consistency in equation 2, identity loss in section 5.2, networks and optimizer in section 7. Defaults
are the paper's, with least squares, an image pool of 50 and λ = 10. What differs: the weights used for inference are
averages (Karras et al. 2018); each direction has its own backward pass, with the same gradient at half the memory. For
short trainings there are generators that change the picture instead of making it anew and discriminators that look
through the encoder too (`generator`, `discriminator`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.translation import CycleganConfig
from atelier.models.controls import Controls
from atelier.models.distributed import all_gather
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import accuracy, discriminator_loss, generator_loss
from atelier.models.losses.penalties import gradient_penalty, r1_penalty
from atelier.models.methods.base import Batch, Method, MicroBatch, augmented, autocast
from atelier.models.methods.style_inputs import fit_units
from atelier.models.methods.window import discriminator_view
from atelier.models.networks.dropout import draw_from
from atelier.models.networks.generator_choice import new_generator
from atelier.models.networks.image_pool import ImagePool
from atelier.models.networks.projected import new_discriminator
from atelier.models.networks.spectral import advance
from atelier.models.painter import Painter

DOMAINS = ("content", "style")


class BothWays(nn.Module):
    """Two generators: `forth` paints from content to style, `back` the other way."""

    def __init__(self, config: CycleganConfig) -> None:
        super().__init__()
        self.forth, self.back = (new_generator(config.architecture, config.dropout) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) of the content domain in [-1, 1] to the style domain."""
        y: Tensor = self.forth(x)
        return y


class Cyclegan(Method):
    """The training method; see the module."""

    Config: ClassVar[type[CycleganConfig]] = CycleganConfig
    network: ClassVar[str] = "forth"
    turns: ClassVar[dict[str, tuple[str, ...]]] = {
        "generator": ("generator",),
        "discriminator": ("discriminator_content", "discriminator_style"),
    }

    def __init__(self, config: CycleganConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.generator = BothWays(config).to(device)
        self.discriminators = {
            domain: new_discriminator(
                config.discriminator, config.discriminator_filters, config.spectral_norm, encoder, device
            )
            for domain in DOMAINS
        }
        self.pools = {domain: ImagePool(config.pool_size).to(device) for domain in DOMAINS}
        self.modules = {"generator": self.generator}
        self.weights = {}
        for domain in DOMAINS:
            self.modules[f"discriminator_{domain}"] = self.discriminators[domain]
            self.modules[f"pool_{domain}"] = self.pools[domain]
            self.weights |= {
                f"adversarial_{domain}": 1.0,
                f"cycle_{domain}": config.cycle_weight,
                f"identity_{domain}": config.identity_weight,
                f"discriminator_{domain}": 1.0,
                f"r1_{domain}": config.r1_weight / 2 * config.r1_every,
                f"gradient_penalty_{domain}": config.gradient_penalty_weight,
            }

    @staticmethod
    def build_generator(config: CycleganConfig, encoder: type[Encoder] | None) -> nn.Module:
        """Both generators of this config."""
        return BothWays(config)

    @classmethod
    def painter(cls, config: CycleganConfig, generator: nn.Module, controls: Controls) -> Painter:
        """The painter of the generator of one direction."""
        one_way = generator.get_submodule("forth" if controls.direction == "a2b" else "back")
        return super().painter(config, one_way, controls)

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Set the feature scales of the discriminators."""
        fit_units(self.discriminators.values(), batches, batch_size, self.device)

    def begin(self, turn: str, parts: Sequence[MicroBatch]) -> None:
        """Advance the spectral norms; before the discriminator's turn, exchange generated images with the pools."""
        for discriminator in self.discriminators.values():
            advance(discriminator)
        if turn == "generator":
            return
        for salt, domain in enumerate(DOMAINS):
            painted = torch.cat([batch.saved[domain] for batch in parts])
            whole = parts[0].batch_size
            new = all_gather(painted, parts[0].first, whole)  # (B, 3, H, W) of the global batch
            taken = self.pools[domain].replace(new, parts[0].uniform_at(range(whole), 2, salt), parts[0].step)
            for batch in parts:
                batch.saved[domain] = taken[batch.first : batch.first + len(batch.content)]

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """Each direction, then each discriminator, one after the other."""
        if turn == "generator":
            draw_from(self.generator, batch.uniform, 100)
            yield self._way("content", batch.content, "style", batch.style, batch)
            yield self._way("style", batch.style, "content", batch.content, batch)
            return
        for domain, real in (("content", batch.content), ("style", batch.style)):
            yield self._discrimination(domain, real, batch.saved[domain], batch)

    def _way(self, source: str, x: Tensor, target: str, y: Tensor, batch: MicroBatch) -> dict[str, Tensor]:
        """From the source to the target and back; and the identity loss of the same generator on the target."""
        there, back = self.generator.forth, self.generator.back
        if source == "style":
            there, back = back, there
        with autocast(self.device, self.dtype):
            # InstanceNorm sees one picture at a time, so both tasks share one pass
            outputs = there(torch.cat([x, y]) if self.config.identity_weight else x)
            painted = outputs[: len(x)]
            returned = back(painted)
            scores = self.discriminators[target](self._augmented(painted, target, batch))
        batch.saved[target] = painted.detach()
        losses = {
            f"adversarial_{target}": generator_loss(self.config.adversarial, scores),
            f"cycle_{source}": F.l1_loss(returned, x),
        }
        if self.config.identity_weight:
            losses[f"identity_{target}"] = F.l1_loss(outputs[len(x) :], y)
        return losses

    def _discrimination(self, domain: str, real: Tensor, painted: Tensor, batch: MicroBatch) -> dict[str, Tensor]:
        """The discriminator's losses on real and generated images, with their penalties."""
        c, n, discriminator = self.config, len(real), self.discriminators[domain]
        real, painted = self._augmented(real, domain, batch), self._augmented(painted, domain, batch)
        with autocast(self.device, self.dtype):
            scores = discriminator(torch.cat([real, painted]))  # one pass, exact without batch norm
        losses = {
            f"discriminator_{domain}": discriminator_loss(c.adversarial, scores[:n], scores[n:]),
            f"discriminator_accuracy_{domain}": accuracy(c.adversarial, scores[:n], scores[n:]),
        }
        if c.r1_weight and batch.step % c.r1_every == 0:
            losses[f"r1_{domain}"] = r1_penalty(discriminator, real)
        if c.adversarial == "wasserstein" and c.gradient_penalty_weight:
            mix = batch.uniform(1, 4 + DOMAINS.index(domain))[:, 0]
            losses[f"gradient_penalty_{domain}"] = gradient_penalty(discriminator, real, painted, mix)
        return losses

    def _augmented(self, x: Tensor, domain: str, batch: MicroBatch) -> Tensor:
        """A discriminator's input: cropped and augmented alike for real and generated images of a step."""
        x = discriminator_view(self.discriminators[domain], x, batch.step)
        return augmented(x, self.config.diffaugment, batch, 2 + DOMAINS.index(domain))
