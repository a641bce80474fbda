"""Tiled inference: large images in little memory, with the same result as untiled.

InstanceNorm has statistics of the whole image, so independent tiles would differ in colour. Here each norm takes its
moments over all tiles before the next layer is computed: exact, without seams. A tile is read with a margin, which is
cut off again; at the edges of the image the network's own padding applies.

Features are kept for the whole image only at a quarter of its size. Larger ones, which are most of the memory, are
recomputed from the image for each norm that needs them.

A `LocalNetwork` has no such norms: each tile is computed once, with a margin of the network's reach.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.filling import FillingPainter
from atelier.models.methods.base import autocast
from atelier.models.networks.convolution import channels_last
from atelier.models.networks.generator import Generator
from atelier.models.networks.instance_norm import EPSILON, NONE, InstanceNorm
from atelier.models.networks.light import LightGenerator
from atelier.models.networks.local import LocalNetwork
from atelier.models.networks.resnet import ResnetGenerator
from atelier.models.painter import MINIMUM, MULTIPLE, MaskedPainter, NetworkPainter
from atelier.models.pixels import as_given, mixed, pad, to_float, upscaled

FAR, NEAR = 4, 2  # positions at a quarter of the size that layers see around a tile: up to the picture's size, or not

Network = Generator | LightGenerator | ResnetGenerator  # of local layers and InstanceNorms, of scale 1

Read = Callable[["Tile"], Tensor]  # of features (1, C, s · h, s · w), or of the picture, which are those of a tile


def tiled(painter: Callable[..., Tensor], side: int, dtype: torch.dtype) -> Callable[..., Tensor] | None:
    """A tiled painter, which takes tens of bytes of memory a pixel.

    Args:
        side: of the tiles, px; a multiple of 8, and at least 32.

    Returns:
        None if the painter is not of networks of local layers and InstanceNorms, or of a `LocalNetwork`.
    """
    if isinstance(painter, FillingPainter):
        return painter  # it paints in tiles
    if isinstance(painter, NetworkPainter) and isinstance(painter.network, Network | LocalNetwork):
        return TiledPainter(painter.network, painter.strength, painter.preserve_color, painter.scale, side, dtype)
    if isinstance(painter, MaskedPainter):
        parts = [tiled(part, side, dtype) for part in painter.painters]
        painters = [part for part in parts if part is not None]
        return replace(painter, painters=painters) if len(painters) == len(parts) else None
    return None


@dataclass(frozen=True, eq=False)
class TiledPainter:
    """The same as `NetworkPainter`, tile by tile."""

    network: Network | LocalNetwork
    strength: float  # 0…1
    preserve_color: bool
    scale: int
    side: int  # of the tiles, px
    dtype: torch.dtype  # that convolutions compute in

    def __call__(self, images: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`."""
        if self.strength == 0:
            return upscaled(images, self.scale)
        painted = torch.empty_like(images)
        if self.scale != 1:
            shape = (*images.shape[:2], *(self.scale * size for size in images.shape[2:]))
            painted = channels_last(images.new_empty(shape))  # as files have them
        with torch.inference_mode(), autocast(next(self.network.parameters()).device, self.dtype):
            for image, into in zip(torch.split(images, 1), torch.split(painted, 1), strict=True):
                _paint(self, image, into)
        return painted


@dataclass(frozen=True)
class Tile:
    """A tile, in positions at a quarter of the image size."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, features: Tensor, scale: int = 1) -> Tensor:
        """Its own among features (1, C, H, W) of the whole picture, of which `scale` are a position."""
        return features[:, :, scale * self.top : scale * self.bottom, scale * self.left : scale * self.right]


@dataclass(frozen=True)
class Tiles:
    """The tiles of an image."""

    height: int  # of the picture, in positions
    width: int
    side: int  # of a tile

    def __iter__(self) -> Iterator[Tile]:
        """Row by row."""
        return chain.from_iterable(self.rows())

    def rows(self) -> Iterator[list[Tile]]:
        """From top to bottom, each from left to right."""
        for top in range(0, self.height, self.side):
            bottom = min(top + self.side, self.height)
            yield [
                Tile(top, bottom, left, min(left + self.side, self.width)) for left in range(0, self.width, self.side)
            ]

    def around(self, tile: Tile, reach: int) -> Tile:
        """The tile with a margin, clipped to the image."""
        return Tile(
            max(tile.top - reach, 0),
            min(tile.bottom + reach, self.height),
            max(tile.left - reach, 0),
            min(tile.right + reach, self.width),
        )


@dataclass
class RunningMoments:
    """Mean and variance of each channel over many tiles: Chan et al. 1979, equations 2.1, in float64."""

    count: int = 0
    mean: Tensor | float = 0.0  # (C)
    squares: Tensor | float = 0.0  # (C), of the distances from the mean, summed

    def add(self, x: Tensor) -> None:
        """Add a tile (1, C, h, w)."""
        x, count = x.float(), x.shape[2] * x.shape[3]
        mean = x.mean((0, 2, 3))
        squares = (x - mean[:, None, None]).square_().sum((0, 2, 3))
        apart, whole = mean.double() - self.mean, self.count + count
        self.mean = self.mean + apart * (count / whole)
        self.squares = self.squares + squares.double() + apart.square() * (self.count * count / whole)
        self.count = whole


class FixedNorm(nn.Module):
    """An InstanceNorm with given moments, of the whole image: a pointwise layer."""

    def __init__(self, norm: InstanceNorm | nn.InstanceNorm2d, moments: RunningMoments) -> None:
        super().__init__()
        assert isinstance(moments.mean, Tensor)
        assert isinstance(moments.squares, Tensor)
        self.mean, self.variance = moments.mean.float(), (moments.squares / moments.count).float()
        if isinstance(norm, InstanceNorm):
            self.weight = self.bias = None
            self.epsilon, self.slope = EPSILON, norm.slope
        else:
            self.weight, self.bias = norm.weight, norm.bias
            self.epsilon, self.slope = norm.eps, NONE

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) to the same."""
        y = F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=self.epsilon)
        return y if self.slope == NONE else F.leaky_relu_(y, self.slope) if self.slope else y.relu_()


@dataclass
class LayerStack:
    """Layers applied tile by tile, from the image or from kept features; the moments of their norms are known."""

    tiles: Tiles
    read: Read  # what it begins with
    reach: int  # positions that the layers may see around a tile
    layers: list[nn.Module] = field(default_factory=list)
    kept: Tensor | None = None  # (1, C, h, w) of the whole picture, the way's own

    def follow(self, layers: Iterable[nn.Module]) -> None:
        """Append layers; the moments of each norm are measured over all tiles."""
        for layer in layers:
            settled = layer
            if isinstance(layer, InstanceNorm | nn.InstanceNorm2d):
                moments = RunningMoments()
                self.see(moments.add)
                settled = FixedNorm(layer, moments)
            self.layers.append(settled)

    def made(self, tile: Tile, last: Callable[[Tile, Tensor], Tensor] | None = None) -> Tensor:
        """The output of the layers at a tile; `last` is applied to the tile with its margin."""
        wide = self.tiles.around(tile, self.reach if self.layers else 0)
        y = self.read(wide)
        for layer in self.layers:
            y = layer(y)
        if last is not None:
            y = last(wide, y)
        own = Tile(tile.top - wide.top, tile.bottom - wide.top, tile.left - wide.left, tile.right - wide.left)
        return own.of(y, y.shape[2] // (wide.bottom - wide.top))

    def see(self, look: Callable[[Tensor], None]) -> None:
        """Call `look` with the output at each tile; outputs at a quarter of the size are kept, and read later."""
        new: list[tuple[Tile, Tensor]] = []
        for row in self.tiles.rows():
            old, new = new, []
            for tile in row:
                y = self.made(tile)
                look(y)
                if y.shape[2] == tile.bottom - tile.top:
                    new.append((tile, y))
            self._keep(old)  # a row late: this row's margins needed it
        self._keep(new)
        if self.kept is not None and new:
            self.read, self.reach, self.layers = partial(Tile.of, features=self.kept), NEAR, []

    def _keep(self, made: list[tuple[Tile, Tensor]]) -> None:
        for tile, y in made:
            if self.kept is None:
                self.kept = channels_last(y.new_empty(1, y.shape[1], self.tiles.height, self.tiles.width))
            tile.of(self.kept).copy_(y)


def _paint(painter: TiledPainter, image: Tensor, painted: Tensor) -> None:
    """Stylize one image (1, 3, H, W) into `painted`, which is `scale` times as large."""
    network, scale = painter.network, painter.scale * MULTIPLE
    device = next(network.parameters()).device
    height, width = (max(-(-size // MULTIPLE) * MULTIPLE, MINIMUM) // MULTIPLE for size in image.shape[2:])
    tiles = Tiles(height, width, painter.side // MULTIPLE)

    def picture(tile: Tile) -> Tensor:
        return pad(to_float(tile.of(image, MULTIPLE), device).contiguous(), MULTIPLE, MINIMUM)

    def finished(wide: Tile, y: Tensor) -> Tensor:
        x = picture(wide)
        y = y if isinstance(network, LocalNetwork) else network.drawn(x, y)
        return mixed(x, y, painter.strength, painter.preserve_color)

    if isinstance(network, LocalNetwork):
        # a position at least, for the enlarged picture that the result is mixed with
        way = LayerStack(tiles, picture, max(-(-network.reach // MULTIPLE), 1), [network])
    else:
        way = _normalised(network, tiles, picture)
    for tile in tiles:
        own = tile.of(painted, scale)
        y = way.made(tile, finished)
        own.copy_(as_given(y[:, :, : own.shape[2], : own.shape[3]], image))


def _normalised(network: Network, tiles: Tiles, picture: Read) -> LayerStack:
    """The layers of a network up to the last one, with the moments of all norms."""

    def seen(tile: Tile) -> Tensor:
        x = picture(tile)
        at = MULTIPLE * tile.top, MULTIPLE * tile.left
        return network.given(x, *at) if isinstance(network, LightGenerator) else x

    way = LayerStack(tiles, seen, FAR)
    way.follow(network.encode)
    for block in network.transform:
        if way.layers:
            way.see(lambda y: None)
        inside = LayerStack(tiles, way.read, NEAR)
        inside.follow(block.body)  # type: ignore[arg-type]  # of either kind of block it is a sequence of layers
        assert way.kept is not None
        for tile in tiles:
            tile.of(way.kept).add_(inside.made(tile))
    way.reach = FAR
    way.follow(network.decode)
    return way
