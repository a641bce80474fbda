"""cut and fastcut: one-way unpaired translation that preserves content by a patchwise contrastive loss.

Park et al. 2020, "Contrastive Learning for Unpaired Image-to-Image Translation": patchwise contrastive loss in
equations 2 and 3, full objective in equation 5. A patch of the output must be closest to the input's patch at the same
position, among 255 others; features are those of the generator's encoder half, behind a small projector that is trained
with it. Defaults are the paper's (section 4 and appendix): least squares, 256 places, τ = 0.07, projections to 256
numbers; cut with λ_X = λ_Y = 1; fastcut with λ_X = 10, without identity and with equivariance to flips, as in the
authors' code.

What differs: the first weights of the residual generators are those of CycleGAN; each picture has its own places; the
weights used for inference are averages (Karras et al. 2018). For short trainings there are a generator with a skip
connection and a discriminator on encoder features (`generator`, `discriminator`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.translation import CutConfig, FastcutConfig
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import discriminator_losses, generator_loss
from atelier.models.methods.base import Batch, Method, MicroBatch, autocast
from atelier.models.methods.style_inputs import fit_units
from atelier.models.methods.window import discriminator_view
from atelier.models.networks.generator_choice import PlainGenerator, new_generator
from atelier.models.networks.projected import new_discriminator
from atelier.models.networks.spectral import advance

GAIN = 0.02  # of the projector's initial weights, as in the authors' code
FLIPS = 100  # salt of the random flips; salts of positions are the indices of the features


class Projector(nn.Module):
    """H of equation 3: a small network for each feature, from its channels at a position to a unit vector."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight, GAIN)
                nn.init.zeros_(module.bias)

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Features (B, C, h, w) at places (B, S) of the h · w to (B, S, width), each."""
        vectors = []
        for layer, feature, place in zip(self.layers, features, places, strict=True):
            flat = feature.flatten(2).transpose(1, 2)  # (B, h w, C)
            taken = flat.gather(1, place[:, :, None].expand(-1, -1, flat.shape[2]))
            vectors.append(F.normalize(layer(taken).float(), dim=2))
        return vectors


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """−log of exp(v · v⁺ / τ) over the sum with all exp(v · v⁻ / τ): Park et al. 2020, equation 2.

    The key at a query's own position is the positive, those at other positions of the image are the negatives.

    Args:
        queries: (B, S, D) unit vectors of what was painted.
        keys: (B, S, D) of what it was painted from, at the same places; no gradient goes back through them.
        temperature: τ.

    Returns:
        (B,), the mean over positions; log S at chance level.
    """
    logits = queries @ keys.detach().transpose(1, 2) / temperature  # (B, S, S)
    own = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
    return F.cross_entropy(logits.transpose(1, 2), own, reduction="none").mean(1)


def distinct(draws: Tensor, positions: int) -> Tensor:
    """Distinct positions in order, each nearly equally likely.

    Args:
        draws: (B, S) in [0, 1).
        positions: number of positions to choose from.

    Returns:
        (B, S) in 0…positions − 1, or all of them where they are fewer than S.
    """
    count = min(draws.shape[1], positions)
    # adding ranks makes equal ones distinct
    first = (draws[:, :count] * (positions - count + 1)).long().sort(1).values
    return first + torch.arange(count)


class Cut(Method):
    """The training method; see the module."""

    Config: ClassVar[type[CutConfig]] = CutConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {
        "generator": ("generator", "projector"),
        "discriminator": ("discriminator",),
    }

    def __init__(self, config: CutConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.generator = self.build_generator(config, type(encoder)).to(device)
        self.projector = Projector(self.generator.channels, config.projection).to(device)
        self.discriminator = new_discriminator(
            config.discriminator, config.discriminator_filters, False, encoder, device
        )
        self.modules = {"generator": self.generator, "projector": self.projector, "discriminator": self.discriminator}
        self.weights = {
            "adversarial": config.adversarial_weight,
            "nce": config.nce_weight,
            "identity_nce": config.identity_weight,
            "discriminator": 1.0,
        }

    @staticmethod
    def build_generator(config: CutConfig, encoder: type[Encoder] | None) -> PlainGenerator:
        """The generator of this config."""
        return new_generator(config.architecture)

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Set the feature scales of the discriminator."""
        fit_units([self.discriminator], batches, batch_size, self.device)

    def begin(self, turn: str, parts: Sequence[MicroBatch]) -> None:
        """Advance the spectral norms."""
        advance(self.discriminator)

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        yield self._generator_losses(batch) if turn == "generator" else self._discriminator_losses(batch)

    def _generator_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        """Equation 5, both contrasts in one pass: InstanceNorm sees one picture at a time."""
        c, n = self.config, len(batch.content)
        given = torch.cat([batch.content, batch.style]) if c.identity_weight else batch.content
        with autocast(self.device, self.dtype):
            painted, keys, queries = self._painted(given, batch)
            scores = self.discriminator(discriminator_view(self.discriminator, painted[:n], batch.step))
            places = [
                distinct(batch.uniform(c.patches, salt), key.shape[2] * key.shape[3])
                .to(self.device)
                .repeat(len(given) // n, 1)
                for salt, key in enumerate(keys)
            ]
            found = self.projector(queries, places)
            with torch.no_grad():
                wanted = self.projector(keys, places)
        batch.saved["painted"] = painted[:n].detach()
        layers = [patch_nce(q, k, c.temperature) for q, k in zip(found, wanted, strict=True)]
        nce = torch.stack(layers).mean(0)  # (B,), equation 3 with means for sums, as in the authors' code
        losses = {"adversarial": generator_loss(c.adversarial, scores), "nce": nce[:n].mean()}
        if c.identity_weight:
            losses["identity_nce"] = nce[n:].mean()
        return losses

    def _painted(self, given: Tensor, batch: MicroBatch) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The output, the features of the input, and the features of the output at the same positions."""
        if not self.config.flip_equivariance:
            keys = self.generator.features(given)
            painted = self.generator.finished(keys)
            return painted, keys, self.generator.features(painted)
        flips = batch.uniform(1, FLIPS)[:, 0].to(self.device) < 0.5
        painted = self.generator(flipped(given, flips))
        with torch.no_grad():  # not before: weights that are cast to another type without a gradient stay so
            keys = self.generator.features(given)
        return painted, keys, [flipped(feature, flips) for feature in self.generator.features(painted)]

    def _discriminator_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        both = torch.cat([batch.style, batch.saved["painted"]])
        with autocast(self.device, self.dtype):
            scores = self.discriminator(discriminator_view(self.discriminator, both, batch.step))
        return discriminator_losses(self.config.adversarial, scores)


class Fastcut(Cut):
    """cut with other defaults; see the module."""

    Config: ClassVar[type[FastcutConfig]] = FastcutConfig


def flipped(x: Tensor, flips: Tensor) -> Tensor:
    """(B, C, H, W) mirrored left to right where `flips`, (b,), says so; beyond b it begins again."""
    chosen = flips.repeat(len(x) // len(flips))[:, None, None, None]
    return torch.where(chosen, x.flip(3), x)
