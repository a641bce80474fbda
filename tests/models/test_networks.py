"""The networks keep their promises whatever the picture's size."""

import pytest
import torch
from torch import nn

from atelier.models.networks.discriminator import Discriminator
from atelier.models.networks.generator import Generator
from atelier.models.networks.stroke_planes import LARGEST, PERIOD, StrokePlanes
from atelier.models.painter import NetworkPainter
from atelier.models.pixels import pad


def painted_over(seed: int = 0) -> Generator:
    """A generator that has begun to paint."""
    torch.manual_seed(seed)
    generator = Generator(4, 8, 1)
    nn.init.normal_(generator.draw.weight, std=0.1)
    return generator


def test_a_new_generator_leaves_the_underpainting() -> None:
    """The picture without its finest detail, and nothing moved."""
    coarse = torch.linspace(-1, 1, 24).expand(2, 3, 16, 24)
    assert (Generator(4, 8, 1)(coarse) - coarse)[..., 1:-1].abs().max() < 1e-6
    fine = torch.tensor([1.0, -1.0]).repeat(12).expand(2, 3, 16, 24)
    assert Generator(4, 8, 1)(fine).abs().max() < 1e-6


def test_no_parameter_is_dead() -> None:
    """A bias before a norm would get no gradient."""
    generator = painted_over()
    generator(torch.rand(2, 3, 16, 16) * 2 - 1).square().mean().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 1e-7, name


def test_a_flat_picture_stays_flat() -> None:
    """Resize-convolution with reflected borders: no checkerboard and no frame."""
    y = painted_over()(torch.full((1, 3, 32, 32), 0.3))
    assert (y - y.mean((2, 3), keepdim=True)).abs().max() < 1e-4


def test_each_picture_is_painted_by_itself() -> None:
    """What makes it exact to share one pass between content and identity."""
    generator, x = painted_over(), torch.rand(3, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(generator(x)[1:2], generator(x[1:2]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (7, 8), (16, 16), (17, 30), (33, 50)])
def test_any_size_is_painted(size: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    painted = NetworkPainter(painted_over(), 1.0)(images)
    assert painted.shape == images.shape
    assert painted.dtype == torch.uint8


def test_strength_goes_from_the_input_to_the_painting() -> None:
    generator, images = painted_over(), torch.randint(0, 256, (1, 3, 17, 21), dtype=torch.uint8)
    none, half, full = (NetworkPainter(generator, s)(images).float() for s in (0.0, 0.5, 1.0))
    assert torch.equal(none, images.float())
    assert (full - none).abs().mean() > 1
    assert (half - (full + none) / 2).abs().max() <= 1


def test_padding_reflects_as_often_as_it_takes() -> None:
    x = torch.tensor([[[[0.0, 1.0, 2.0]]]])
    assert pad(x, 4, 8).shape == (1, 1, 8, 8)
    assert pad(x, 4, 8)[0, 0, 5].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]


def test_discriminator_is_spectrally_normalised() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator({"shallow": 6}, 8, 2)
    for _ in range(30):  # the power iteration converges
        scores = discriminator(torch.rand(2, 3, 32, 32), {"shallow": torch.rand(2, 6, 16, 16)})
    assert [tuple(scale.shape) for scale in scores] == [(2, 1, 7, 7), (2, 1, 7, 7)]
    convolutions = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 3 + 2
    for convolution in convolutions:
        assert torch.linalg.matrix_norm(convolution.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_strokes_depend_on_the_place_alone_and_are_longer_than_wide() -> None:
    planes = StrokePlanes()
    assert torch.equal(planes.table, StrokePlanes().table)
    whole = planes(2 * PERIOD, 300)
    assert torch.equal(planes(64, 80, top=33, left=7), whole[:, :, 33:97, 7:87])
    assert torch.equal(whole[:, :, :PERIOD], whole[:, :, PERIOD:])
    assert whole.abs().max() <= LARGEST + 1e-6
    assert whole.std((2, 3)).sub(1).abs().max() < 0.2
    down, across = (whole.diff(dim=axis).square().mean((0, 2, 3)).sqrt() for axis in (2, 3))
    assert (down > 1.1 * across).all(), "most of them lie"
    assert down[0] > 1.5 * down[1], "those of the second are larger"
