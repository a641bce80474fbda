"""Training methods by name."""

from atelier.models.methods.base import Batch, Method
from atelier.models.methods.cpgan import Cpgan

__all__ = ["METHODS", "Batch", "Method"]

METHODS: dict[str, type[Method]] = {Cpgan.name: Cpgan}
