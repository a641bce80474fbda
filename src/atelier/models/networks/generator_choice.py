"""The generators that methods of translation and of style choose from."""

from atelier.models.configs.base import GeneratorKind, PainterKind
from atelier.models.networks.antialiased import AntialiasedGenerator
from atelier.models.networks.generator import Generator
from atelier.models.networks.light import LightGenerator
from atelier.models.networks.resnet import ResnetGenerator

AnyGenerator = ResnetGenerator | Generator | LightGenerator

LIGHT_WIDTH = 3  # channels of a light generator at a quarter of the size, in those at full size


def new_generator(kind: GeneratorKind, filters: int, blocks: int, dropout: float = 0.0) -> AnyGenerator:
    """A generator with new weights; `filters` and `dropout` as in `ResnetGenerator`, which alone has dropout."""
    if kind == "light":
        return LightGenerator(filters, LIGHT_WIDTH * filters, blocks)
    if kind == "skip":
        return Generator(filters, 4 * filters, blocks, underpainted=False)
    return (AntialiasedGenerator if kind == "antialiased" else ResnetGenerator)(filters, blocks, dropout)


def new_painter(kind: PainterKind, filters: int, width: int, blocks: int) -> Generator | LightGenerator:
    """A generator with new weights, for methods whose losses say what a style is; an underpainted one changes nothing.

    Args:
        filters: channels at full size.
        width: channels at a quarter of the size.
    """
    return (LightGenerator if kind == "light" else Generator)(filters, width, blocks)
