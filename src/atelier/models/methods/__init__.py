"""Training methods by name."""

from atelier.models.configs import MethodConfig, config_class
from atelier.models.configs.plugins import load_plugin
from atelier.models.methods.adain import Adain
from atelier.models.methods.base import Batch, Method
from atelier.models.methods.cin import Cin
from atelier.models.methods.color import Color
from atelier.models.methods.cpgan import Cpgan
from atelier.models.methods.cut import Cut, Fastcut
from atelier.models.methods.cyclegan import Cyclegan
from atelier.models.methods.edit import Edit
from atelier.models.methods.fast import Fast
from atelier.models.methods.gan import Dcgan, Gan
from atelier.models.methods.gatys import Gatys
from atelier.models.methods.imported import Imported
from atelier.models.methods.infogan import Infogan
from atelier.models.methods.inpaint import Inpaint
from atelier.models.methods.restore import Restore
from atelier.models.methods.stargan import Stargan
from atelier.models.methods.stylegan import Stylegan
from atelier.models.methods.vae import Vae

__all__ = ["METHODS", "Batch", "Method", "method_class", "method_of"]

METHODS: dict[str, type[Method]] = {
    method.Config.name: method
    for method in (
        *(Adain, Cin, Color, Cpgan, Cut, Cyclegan, Dcgan, Edit, Fast, Fastcut, Gan, Gatys, Imported, Infogan, Inpaint),
        *(Restore, Stargan, Stylegan, Vae),
    )
}


def method_class(name: str) -> type[Method]:
    """The method of a name, of this package or of a plugin.

    Raises:
        ValueError: there is no such method; names those that there are.
    """
    config_class(name)
    method = METHODS[name] if name in METHODS else load_plugin(name)
    if not issubclass(method, Method):
        raise ValueError(f"plugin {name!r} is no subclass of atelier.models.methods.Method")
    return method


def method_of(config: MethodConfig) -> type[Method]:
    """The method whose settings these are."""
    return method_class(config.name)
