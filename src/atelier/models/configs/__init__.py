"""Settings of the training methods and of the training loop, without torch: reading parameters takes no second."""

from atelier.models.configs.adain import AdainConfig
from atelier.models.configs.base import MethodConfig
from atelier.models.configs.color import ColorConfig
from atelier.models.configs.cpgan import CpganConfig
from atelier.models.configs.cut import CutConfig, FastcutConfig
from atelier.models.configs.cyclegan import CycleganConfig
from atelier.models.configs.fast import FastConfig
from atelier.models.configs.gan import DcganConfig, GanConfig
from atelier.models.configs.gatys import GatysConfig
from atelier.models.configs.imported import ImportedConfig
from atelier.models.configs.stargan import StarganConfig

__all__ = ["CONFIGS", "MethodConfig", "config_class"]

CONFIGS: dict[str, type[MethodConfig]] = {  # by name of the method
    config.name: config
    for config in (
        *(AdainConfig, ColorConfig, CpganConfig, CutConfig, CycleganConfig, DcganConfig, FastConfig, FastcutConfig),
        *(GanConfig, GatysConfig, ImportedConfig, StarganConfig),
    )
}


def config_class(method: str) -> type[MethodConfig]:
    """The settings class of a method.

    Raises:
        ValueError: this version has no such method; names those that it has.
    """
    if method not in CONFIGS:
        raise ValueError(f"method {method!r} is unknown to this version (known: {', '.join(CONFIGS)})")
    return CONFIGS[method]
