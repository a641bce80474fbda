"""Methods of other packages: entry points of the group `atelier.methods`, each the class of a method.

A package registers one in its `pyproject.toml`:

    [project.entry-points."atelier.methods"]
    tint = "my_package:Tint"
"""

from importlib.metadata import entry_points
from typing import Any

from atelier.models.configs.base import MethodConfig

GROUP = "atelier.methods"


def plugin_names() -> list[str]:
    """Names of the methods that installed packages register."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_plugin(name: str) -> Any:
    """The class of a method that a package registers; this imports the package.

    Raises:
        ValueError: no package registers it, or what it registers is no method of this name.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise ValueError(f"no installed package registers a method {name!r}")
    try:
        method = found[0].load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"method {name!r} of {found[0].value} cannot be imported: {error}") from error
    config = getattr(method, "Config", None)
    if not (isinstance(config, type) and issubclass(config, MethodConfig) and config.name == name):
        raise ValueError(f"{found[0].value} is no method {name!r}: it needs a Config whose name is {name!r}")
    return method
