"""The style-based generator, its discriminators, and how it is trained."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.configs.loop import WatchdogConfig
from atelier.models.configs.stylegan import StyleganConfig
from atelier.models.losses.adversarial import relativistic_discriminator_losses, relativistic_generator_loss
from atelier.models.methods.base import Batch
from atelier.models.networks.residual_discriminator import ResidualDiscriminator
from atelier.models.networks.stage_discriminator import StageDiscriminator
from atelier.models.networks.stylegan import StyledConv, StyleGenerator
from tests.models.tiny import R3GAN, STYLEGAN, TRAINING, TinyEncoder, batches, ignore, pictures, trainer

pytestmark = pytest.mark.long

BOTH = pytest.mark.parametrize("config", [replace(STYLEGAN, attributes=()), R3GAN], ids=["projected", "plain"])


def generator(labels: int = 0) -> StyleGenerator:
    torch.manual_seed(0)
    return StyleGenerator(8, 8, 4, 32, labels)


def test_scaling_features_is_modulating_weights() -> None:
    """Equations 1 and 3 of Karras et al. 2020, as they are written: other weights for each picture, grouped."""
    torch.manual_seed(0)
    conv = StyledConv(5, 7, 8, up=False)
    nn.init.normal_(conv.bias)
    nn.init.constant_(conv.noise_strength, 0.3)
    x, latent, noise = torch.randn(3, 5, 6, 6), torch.randn(3, 8), torch.randn(3, 1, 6, 6)
    weight = conv.weight[None] * conv.style(latent)[:, None, :, None, None]  # (B, out, in, 3, 3)
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    grouped = F.conv2d(x.view(1, 15, 6, 6), weight.view(21, 5, 3, 3), padding=1, groups=3).view(3, 7, 6, 6)
    expected = F.leaky_relu(grouped * 2**0.5 + conv.bias[:, None, None] + 0.3 * noise, 0.2)
    torch.testing.assert_close(conv(x, latent, noise), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_every_size_has_its_networks(size: int) -> None:
    network = StyleGenerator(8, 8, 4, size)
    made = network([network.mapping(torch.randn(2, 8), None)] * network.layers)
    assert made.shape == (2, 3, size, size)
    assert network.layers == {16: 5, 32: 7, 64: 9, 128: 11}[size]
    assert ResidualDiscriminator(4, size)(made).shape == (2, 1)
    assert StageDiscriminator(TinyEncoder(), size, 4)(made).shape == (2, 2 * 16)


@torch.no_grad()
def test_layers_have_latents_of_their_own() -> None:
    """The coarse picture is that of the first latents, fine detail that of the last."""
    network = generator()
    a, b = (network.mapping(torch.randn(1, 8), None) for _ in range(2))

    def moved(layers: range) -> Tensor:
        mixed = network([b if layer in layers else a for layer in range(network.layers)])
        return mixed - network([a] * network.layers)

    coarse, fine = moved(range(2)), moved(range(5, 7))

    def low(x: Tensor) -> float:
        return float(F.avg_pool2d(x, 8).square().mean() / x.square().mean())

    assert low(coarse) > low(fine) > 0


@torch.no_grad()
def test_a_picture_does_not_depend_on_those_beside_it() -> None:
    network = generator(3).train()
    z, labels, noise = torch.randn(4, 8), torch.rand(4, 3).round(), torch.randn(4, sum(network.places))
    made = network([network.mapping(z, labels)] * network.layers, noise)
    alone = network([network.mapping(z[:1], labels[:1])] * network.layers, noise[:1])
    torch.testing.assert_close(made[:1], alone)
    for discriminator in (ResidualDiscriminator(4, 32, 3), StageDiscriminator(TinyEncoder(), 32, 4, 3)):
        discriminator.eval()
        torch.testing.assert_close(discriminator(made, labels)[:1], discriminator(made[:1], labels[:1]))


@torch.no_grad()
def test_labels_are_looked_at() -> None:
    network, labels = generator(3), torch.eye(3)
    made = network([network.mapping(torch.randn(1, 8).expand(3, -1), labels)] * network.layers)
    assert (made[0] - made[1]).abs().max() > 0.01
    for discriminator in (ResidualDiscriminator(4, 32, 3), StageDiscriminator(TinyEncoder(), 32, 4, 3)):
        discriminator.eval()
        scores = discriminator(made[:1].expand(3, -1, -1, -1), labels)
        assert scores.std(0).max() > 0


def test_the_relativistic_loss_compares_pairs() -> None:
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    losses = relativistic_discriminator_losses(torch.cat([real, fake]))
    assert losses["discriminator"].item() == pytest.approx(float(F.softplus(torch.tensor([-2.0, 1.0])).mean()))
    assert losses["discriminator_accuracy"].item() == 0.5
    shifted = relativistic_generator_loss(real + 5, fake + 5)
    torch.testing.assert_close(shifted, relativistic_generator_loss(real, fake))
    assert shifted.item() == pytest.approx(float(F.softplus(torch.tensor([2.0, -1.0])).mean()))


@BOTH
def test_the_pictures_of_the_style_are_learned(config: Any) -> None:
    """Red pictures."""
    red = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    red[:, 0] = torch.randint(150, 250, (4, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    config = replace(
        config, diffaugment=(), optimizer=replace(config.optimizer, generator_lr=5e-3, discriminator_lr=5e-3)
    )
    t = trainer(config, steps=150, watchdog=WatchdogConfig(enabled=False), decay_from=1.0)
    t.run(lambda step: Batch(pictures(1)[:4], red), ignore, ignore, ignore)
    made = t.sample(pictures(1)).float().mean((0, 2, 3))
    assert made[0] > made[1:].max() + 60


def test_a_model_generates_what_the_trainer_sampled(tmp_path: Any) -> None:
    t = trainer(STYLEGAN, steps=1)
    t.run(batches(TRAINING), ignore, ignore, ignore)
    artifact.save(tmp_path, STYLEGAN, t.generator_ema, {})
    model = artifact.load(tmp_path)
    assert model.config == STYLEGAN
    assert torch.equal(model.generate(TRAINING.seed, range(16)), t.sample(pictures(1)))


def test_sizes_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pictures of 100 px cannot be generated: set augment\.size_px to one of 16,"):
        StyleganConfig(size_px=100)
    with pytest.raises(ValueError, match=r"train\.stylegan\.size_px is 0"):
        trainer(StyleganConfig())
