"""Settings of dataclasses that params.yaml holds: a default, what it means, and its bounds."""

from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")


class Settings:
    """Base class of settings dataclasses: unknown keys in params.yaml are refused."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


def setting(default: T, description: str, **metadata: Any) -> T:
    """A field of a settings dataclass.

    Args:
        default: its value where nothing is said.
        description: what it means, with its unit.
        metadata: bounds as pydantic names them (`ge`, `gt`, `le`, `lt`).
    """
    value: T = field(default=default, metadata={"description": description, **metadata})
    return value


def setting_of(factory: Callable[[], T], description: str, **metadata: Any) -> T:
    """The same of a value that is made anew each time, such as the settings of a part."""
    value: T = field(default_factory=factory, metadata={"description": description, **metadata})
    return value
