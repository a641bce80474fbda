"""Settings of the training methods and of the training loop, without torch: reading parameters takes no second."""

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.edit import EditConfig
from atelier.models.configs.filling import InpaintConfig
from atelier.models.configs.gan import DcganConfig, GanConfig, InfoganConfig, VaeConfig
from atelier.models.configs.plugins import load_plugin, plugin_names
from atelier.models.configs.restoration import RestoreConfig
from atelier.models.configs.style_statistics import (
    AdainConfig,
    CinConfig,
    ColorConfig,
    CpganConfig,
    FastConfig,
    GatysConfig,
)
from atelier.models.configs.stylegan import StyleganConfig
from atelier.models.configs.translation import CutConfig, CycleganConfig, FastcutConfig, ImportedConfig, StarganConfig

__all__ = ["CONFIGS", "MethodConfig", "config_class"]

CONFIGS: dict[str, type[MethodConfig]] = {  # by name of the method
    config.name: config
    for config in (
        *(AdainConfig, CinConfig, ColorConfig, CpganConfig, CutConfig, CycleganConfig, DcganConfig, EditConfig),
        *(FastConfig, FastcutConfig, GanConfig, GatysConfig, ImportedConfig, InfoganConfig, InpaintConfig),
        *(RestoreConfig, StarganConfig, StyleganConfig, VaeConfig),
    )
}


def config_class(method: str) -> type[MethodConfig]:
    """The settings class of a method, of this package or of a plugin.

    Raises:
        ValueError: there is no such method; names those that there are.
    """
    if method in CONFIGS:
        return CONFIGS[method]
    if method in (plugins := plugin_names()):
        config: type[MethodConfig] = load_plugin(method).Config
        return config
    raise ValueError(f"method {method!r} is unknown to this version (known: {', '.join([*CONFIGS, *plugins])})")
