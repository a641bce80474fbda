"""Training methods by name."""

from atelier.models.methods.adain import Adain
from atelier.models.methods.base import Batch, Method
from atelier.models.methods.color import Color
from atelier.models.methods.cpgan import Cpgan
from atelier.models.methods.cut import Cut, Fastcut
from atelier.models.methods.cyclegan import Cyclegan
from atelier.models.methods.dcgan import Dcgan
from atelier.models.methods.fast import Fast
from atelier.models.methods.gan import Gan
from atelier.models.methods.gatys import Gatys
from atelier.models.methods.imported import Imported
from atelier.models.methods.stargan import Stargan

__all__ = ["METHODS", "Batch", "Method"]

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (Adain, Color, Cpgan, Cut, Cyclegan, Dcgan, Fast, Fastcut, Gan, Gatys, Imported, Stargan)
}
