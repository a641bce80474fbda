"""Settings of dataclasses that params.yaml holds: a default, what it means, and its bounds."""

import math
from collections.abc import Callable, Mapping
from dataclasses import field, fields, is_dataclass
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
LARGEST_INTEGER = 2**63 - 1  # of a setting without a bound of its own


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


def from_json(kind: type[T], values: Any, where: str = "") -> T:
    """A settings dataclass from the JSON of itself, held to the types and bounds of its fields.

    Raises:
        ValueError: a value has another type or is out of bounds, a field is unknown or missing; names it.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where.rstrip('.') or 'it'} is no object")
    known, types = {f.name: f for f in fields(kind)}, get_type_hints(kind)  # type: ignore[arg-type]  # a dataclass
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"{where}{unknown[0][:100]!r} is unknown")
    given = {name: _value(types[name], value, where + name) for name, value in values.items()}
    for name, value in given.items():
        if isinstance(value, int | float) and (problem := _out_of_bounds(value, known[name].metadata)):
            raise ValueError(f"{where}{name} is {repr(value)[:40]}: {problem}")
    try:
        return kind(**given)
    except TypeError as error:  # a field without a default is missing
        raise ValueError(str(error).partition(" ")[2]) from error


def _value(kind: Any, value: Any, where: str) -> Any:
    """A JSON value as a field of this type holds it. Raises ValueError where it does not fit."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return from_json(kind, value, f"{where}.")
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], one, where) for one in value)
    if origin in (Union, UnionType):
        for one in arguments:
            try:
                return _value(one, value, where)
            except ValueError:
                continue
    elif origin is Literal:
        if any(type(value) is type(one) and value == one for one in arguments):
            return value
    elif kind is float:
        if type(value) is int or (type(value) is float and math.isfinite(value)):
            return value
    elif kind not in (int, bool, str, type(None), tuple) and origin is not tuple:
        return value  # a type of a plugin's own
    elif type(value) is kind:
        return value
    raise ValueError(f"{where} has the wrong value {repr(value)[:100]}")


def _out_of_bounds(value: float, bounds: Mapping[str, Any]) -> str:
    """Which bound a number violates, "" for none."""
    for name, sign, fits in (
        ("ge", "≥", value >= bounds.get("ge", value)),
        ("gt", ">", "gt" not in bounds or value > bounds["gt"]),
        ("le", "≤", value <= bounds.get("le", LARGEST_INTEGER if isinstance(value, int) else value)),
        ("lt", "<", "lt" not in bounds or value < bounds["lt"]),
    ):
        if not fits:
            return f"it must be {sign} {bounds.get(name, LARGEST_INTEGER)}"
    return ""
