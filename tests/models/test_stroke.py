"""Large pictures are painted small and enlarged; strength, masks and colours are those of the full size."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from atelier.models.configs.style_statistics import GatysConfig
from atelier.models.controls import Controls, Style
from atelier.models.methods.gatys import Gatys, GatysGenerator
from atelier.models.painter import Painter
from atelier.models.pixels import as_given, luminance, to_float
from atelier.models.placement import PlacedPainter, StylePlaces
from atelier.models.stroke import StrokePainter
from tests.models.tiny import TinyEncoder

PICTURE = torch.randint(0, 256, (2, 3, 60, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
Sizes = list[tuple[int, ...]]


def smaller(height: int, width: int) -> tuple[int, int]:
    """Half the size of large pictures."""
    return (height // 2, width // 2) if width > 40 else (height, width)


def finer(height: int, width: int) -> tuple[int, int]:
    return height * 2, width * 2


def painter(
    controls: Controls, seen: Sizes | None = None, size: Callable[[int, int], tuple[int, int]] = smaller
) -> StrokePainter:
    """Of negatives."""

    def of(controls: Controls) -> Painter:
        def paint(images: Tensor, *masks: Tensor) -> Tensor:
            if seen is not None:
                seen.append(tuple(images.shape[2:]))
            x = to_float(images, images.device)
            return as_given(torch.lerp(x, -x, controls.strength), images)

        return paint

    return StrokePainter(of(replace(controls, strength=1.0)), of(controls), controls, size)


def test_a_picture_whose_working_size_is_its_own_is_painted_as_it_is() -> None:
    small = PICTURE[..., :40]
    for strength in (0.0, 0.5, 1.0):
        made = painter(Controls(strength))
        assert torch.equal(made(small), made.at_own_size(small))


def test_a_larger_one_is_painted_small() -> None:
    seen: Sizes = []
    made = painter(Controls(), seen)(PICTURE)
    assert seen == [(30, 40)]
    assert (made.shape, made.dtype) == (PICTURE.shape, PICTURE.dtype)
    assert torch.equal(made, painter(Controls())(PICTURE)), "equal every time"
    assert torch.equal(made[1:], painter(Controls())(PICTURE[1:])), "whatever is beside it"
    last = PICTURE.contiguous(memory_format=torch.channels_last)  # as pictures come from files
    assert torch.equal(made, painter(Controls())(last))
    deep = painter(Controls())(to_float(PICTURE, PICTURE.device))
    assert deep.dtype == torch.float32
    assert ((deep + 1) * 127.5 - made).abs().max() <= 0.501, "16 bits have the precision of floats"
    seen.clear()
    assert painter(Controls(), seen, finer)(PICTURE).shape == PICTURE.shape
    assert seen == [(120, 160)], "finer strokes"


def test_strength_mixes_at_full_size() -> None:
    assert painter(Controls(0.0))(PICTURE) is PICTURE
    full, half = (painter(Controls(strength))(PICTURE).float() for strength in (1.0, 0.5))
    assert (half - (full + PICTURE) / 2).abs().max() <= 1


def test_nothing_changes_outside_a_mask() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[:, :20] = 255
    mask[:, 20:24] = (200, 150, 100, 50)  # a soft border
    made = PlacedPainter(painter(Controls()), StylePlaces([Style("a", mask=mask)]))(PICTURE)
    assert torch.equal(made[..., 52:], PICTURE[..., 52:])
    everywhere = painter(Controls())(PICTURE)
    assert torch.equal(made[..., :32], everywhere[..., :32])
    assert (made[..., 42:46] != PICTURE[..., 42:46]).float().mean() > 0


def test_colours_are_kept_at_full_size() -> None:
    x = 0.4 * to_float(PICTURE, PICTURE.device)  # nothing is clipped
    made = painter(Controls(preserve_color=True))(x)
    assert torch.allclose(made - luminance(made), x - luminance(x), atol=1e-5)
    assert torch.allclose(luminance(made), luminance(painter(Controls())(x)), atol=1e-5)


def test_a_painter_that_optimises_has_its_gradients() -> None:
    generator = GatysGenerator(TinyEncoder).eval()
    for target in generator.grams.buffers():
        target.fill_(0.1)
    paint = Gatys.painter(GatysConfig(steps=1, scales=1), generator, Controls())
    made = StrokePainter(paint, paint, Controls(), lambda height, width: (height // 2, width // 2))(PICTURE)
    assert (made != PICTURE).float().mean() > 0.5
