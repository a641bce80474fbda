"""Pictures painted in tiles are those painted whole: to rounding, at every border and of every generator."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models import tiling
from atelier.models.configs.architecture import Architecture
from atelier.models.configs.style_statistics import ColorConfig
from atelier.models.controls import Controls
from atelier.models.methods.base import autocast
from atelier.models.methods.color import Color
from atelier.models.networks.generator import Generator
from atelier.models.networks.generator_choice import new_generator
from atelier.models.networks.light import LightGenerator
from atelier.models.networks.local import LocalNetwork
from atelier.models.painter import NetworkPainter, Painter
from atelier.models.pixels import upscaled

SIDE = 64  # px, of the tiles
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "generator": lambda: Generator(8, 16, 2),
    "light": lambda: LightGenerator(4, 8, 2),
    "skip": lambda: new_generator(Architecture("skip", 4, 16, 1)),
    "residual": lambda: new_generator(Architecture("residual", 4, 16, 2)),
    "antialiased": lambda: new_generator(Architecture("antialiased", 4, 16, 2)),
    "wide": lambda: new_generator(Architecture("residual", 16, 64, 1)),
}


class EnlargingNetwork(LocalNetwork):
    """Convolutions with zeros around, which differ from what is around a tile."""

    reach = 3

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        sizes = [(3, 8), (8, 8), (8, 3 * scale**2)]
        self.body = nn.Sequential(*(nn.Conv2d(*size, 3, padding=1) for size in sizes), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=float(self.scale)) + self.body(x).tanh()


def network(kind: str) -> nn.Module:
    """With weights that change a picture visibly."""
    torch.manual_seed(0)
    made = NETWORKS[kind]()
    for name, parameter in made.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
        else:
            torch.nn.init.normal_(parameter, float(name.endswith("weight")), 0.3)
    return made.eval()


def photograph(height: int, width: int) -> Tensor:
    """(1, 3, height, width) in [-1, 1]: parts of it are unlike others, as in photographs."""
    random = torch.Generator().manual_seed(1)
    slope = torch.linspace(-1, 1, height)[:, None] * torch.linspace(0, 1, width)
    return (0.7 * slope + 0.1 * torch.randn(1, 3, height, width, generator=random)).clamp(-1, 1)


def tiles(made: nn.Module, strength: float = 1.0, dtype: torch.dtype = torch.float32) -> Painter:
    found = tiling.tiled(NetworkPainter(made, strength), SIDE, dtype)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", NETWORKS)
def test_tiles_are_the_whole_picture(kind: str) -> None:
    made = network(kind)
    # a last tile that is full, of one pixel, of one position; one tile in one direction or both; less than a tile
    for size in ((200, 150), (193, 129), (196, 132), (131, 64), (5, 70), (64, 64)):
        x = photograph(*size)
        whole, tiled = NetworkPainter(made, 1.0)(x), tiles(made)(x)
        assert tiled.shape == x.shape
        assert (whole - x).abs().mean() > 0.05
        assert (tiled - whole).abs().max() < 3e-5, size


def test_bytes_are_a_level_apart_at_most_and_strength_is_honoured() -> None:
    made = network("generator")
    x = ((photograph(150, 200) + 1) * 127.5).round().to(torch.uint8).repeat(2, 1, 1, 1)
    x[1] = x[1].flip(1)
    apart = (tiles(made, 0.5)(x).int() - NetworkPainter(made, 0.5)(x).int()).abs()
    assert apart.max() <= 1
    assert apart.float().mean() < 1e-3
    assert tiles(made, 0.0)(x) is x
    seen_last = x.contiguous(memory_format=torch.channels_last)  # as pictures come from files
    assert torch.equal(tiles(made, 0.5)(seen_last), tiles(made, 0.5)(x))


@pytest.mark.parametrize("kind", ["generator", "residual"])
def test_bfloat16_is_as_near_to_float32_as_it_is_untiled(kind: str) -> None:
    made, x = network(kind), photograph(200, 150)
    exact = NetworkPainter(made, 1.0)(x)
    with autocast(x.device, torch.bfloat16):
        whole = NetworkPainter(made, 1.0)(x)
    apart = (tiles(made, dtype=torch.bfloat16)(x) - exact).abs().mean()
    assert 0 < apart < 1.2 * (whole - exact).abs().mean()


def test_moments_of_parts_are_those_of_the_whole() -> None:
    """Also far from zero, where the mean of squares less the square of the mean would be lost."""
    x = torch.randn(1, 3, 50, 70, dtype=torch.float64) * torch.tensor([1.0, 0.01, 100.0])[:, None, None] + 1000
    moments = tiling.RunningMoments()
    for part in (x[:, :, :10], x[:, :, 10:, :1], x[:, :, 10:, 1:]):
        moments.add(part)
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    assert moments.count == 3500
    assert torch.allclose(torch.as_tensor(moments.mean), mean, rtol=1e-7)
    assert torch.allclose(torch.as_tensor(moments.squares) / 3500, variance, rtol=1e-2)


def test_what_looks_at_the_whole_picture_is_not_tiled() -> None:
    painter = Color.painter(ColorConfig(), Color.build_generator(ColorConfig(), None), Controls())
    assert tiling.tiled(painter, SIDE, torch.float32) is None
    assert tiling.tiled(NetworkPainter(nn.Identity(), 1.0), SIDE, torch.float32) is None


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_tiles_of_a_local_network_are_the_whole_picture(scale: int) -> None:
    torch.manual_seed(0)
    made = EnlargingNetwork(scale).eval()
    for size in ((200, 150), (193, 129), (131, 64), (5, 70), (1, 1)):
        x = photograph(*size)
        for strength, keep in ((1.0, False), (0.3, True)):
            painter = NetworkPainter(made, strength, keep, scale)
            tiled = tiling.tiled(painter, SIDE, torch.float32)
            assert tiled is not None
            assert tiled(x).shape == (1, 3, scale * size[0], scale * size[1])
            assert (tiled(x) - painter(x)).abs().max() < 1e-5, size
    levels = ((photograph(131, 64) + 1) * 127.5).round().to(torch.uint8)
    tiled = tiling.tiled(NetworkPainter(made, 1.0, scale=scale), SIDE, torch.float32)
    assert tiled is not None
    assert (tiled(levels).int() - NetworkPainter(made, 1.0, scale=scale)(levels).int()).abs().max() <= 1
    tiled = tiling.tiled(NetworkPainter(made, 0.0, scale=scale), SIDE, torch.float32)
    assert tiled is not None
    assert torch.equal(tiled(levels), upscaled(levels, scale))
