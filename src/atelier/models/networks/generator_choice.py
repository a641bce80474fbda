"""The generators that methods choose from, by architecture."""

from atelier.models.configs.architecture import Architecture
from atelier.models.networks.antialiased import AntialiasedGenerator
from atelier.models.networks.generator import Generator
from atelier.models.networks.resnet import ResnetGenerator


def new_generator(architecture: Architecture, dropout: float = 0.0) -> ResnetGenerator | Generator:
    """A generator with new weights; one with skip connections has no dropout."""
    a = architecture
    if a.generator in ("skip", "underpainted"):
        return Generator(a.filters, a.width, a.blocks, underpainted=a.generator == "underpainted")
    return (AntialiasedGenerator if a.generator == "antialiased" else ResnetGenerator)(a.filters, a.blocks, dropout)
