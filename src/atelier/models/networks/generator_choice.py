"""The generators that methods choose from, by architecture."""

from atelier.models.configs.architecture import Architecture
from atelier.models.networks.antialiased import AntialiasedGenerator
from atelier.models.networks.generator import Generator
from atelier.models.networks.light import LightGenerator
from atelier.models.networks.resnet import ResnetGenerator

PlainGenerator = ResnetGenerator | Generator | LightGenerator  # one picture in, one picture out


def new_generator(architecture: Architecture, dropout: float = 0.0) -> PlainGenerator:
    """A generator with new weights; only "residual" and "antialiased" have dropout."""
    a = architecture
    if a.generator == "light":
        return LightGenerator(a.filters, a.width, a.blocks)
    if a.generator in ("skip", "underpainted"):
        return Generator(a.filters, a.width, a.blocks, underpainted=a.generator == "underpainted")
    return (AntialiasedGenerator if a.generator == "antialiased" else ResnetGenerator)(a.filters, a.blocks, dropout)
