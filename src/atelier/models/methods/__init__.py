"""Training methods by name."""

from atelier.models.methods.base import Batch, Method
from atelier.models.methods.color import Color
from atelier.models.methods.cpgan import Cpgan
from atelier.models.methods.cut import Cut, Fastcut
from atelier.models.methods.cyclegan import Cyclegan
from atelier.models.methods.fast import Fast
from atelier.models.methods.imported import Imported

__all__ = ["METHODS", "Batch", "Method"]

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (Color, Cpgan, Cut, Cyclegan, Fast, Fastcut, Imported)
}
