"""Writing params.yaml: values of config dataclasses as YAML, each with its description as a comment."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any


def render(configs: Mapping[str, Any], shown: Collection[str] | None = None) -> str:
    """The text of sections of params.yaml.

    Args:
        shown: dotted keys such as "train.loop.steps", or "train.loop" for all below it. Of the other keys those with
            their default are left out. None writes every key.
    """
    sections = []
    for name, config in configs.items():
        if lines := _fields(config, type(config)(), name, shown):
            sections.append("\n".join([f"{name}:", *lines]) + "\n")
    return "\n".join(sections)


def _fields(config: Any, default: Any, path: str, shown: Collection[str] | None) -> list[str]:
    """The lines of a dataclass; `default` is None where every field is written."""
    lines: list[str] = []
    for field in dataclasses.fields(config):
        below = f"{path}.{field.name}"
        value, usual = getattr(config, field.name), getattr(default, field.name, None)
        description = field.metadata.get("description", "")
        comment = f"  # {description}" if description else ""
        if dataclasses.is_dataclass(value):
            if inner := _fields(value, usual, below, shown):
                lines += [f"{field.name}:{comment}", *inner]
        elif shown is None or default is None or value != usual or _within(below, shown):
            lines += _value(field.name, value, comment, shown)
    return [f"  {line}" for line in lines]


def _within(path: str, shown: Collection[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in shown)


def _value(key: str, value: Any, comment: str, shown: Collection[str] | None) -> list[str]:
    if isinstance(value, Mapping) and value:
        lines = [f"{key}:{comment}"]
        for name, inner in value.items():
            if dataclasses.is_dataclass(inner) and not isinstance(inner, type):
                lines += [f"  {name}:", *(f"  {line}" for line in _fields(inner, type(inner)(), "", shown))]
            else:
                lines += [f"  {line}" for line in _value(str(name), inner, "", shown)]
        return lines
    if isinstance(value, tuple | list) and any(dataclasses.is_dataclass(item) for item in value):
        lines = [f"{key}:{comment}"]
        for item in value:
            first, *rest = _fields(item, None, "", None)
            lines += [f"  - {first.strip()}", *(f"  {line}" for line in rest)]
        return lines
    return [f"{key}: {_scalar(value)}{comment}"]


def _scalar(value: Any) -> str:
    """A value in YAML's flow style, on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # YAML 1.1 readers take 1e-05 for a string: they need the dot
        text = repr(value)
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_scalar(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_scalar(v) for v in value) + "]"
    if isinstance(value, str):
        plain = value.replace("_", "").replace("-", "").isalnum() and not value[0].isdigit()
        reserved = value.lower() in {"null", "true", "false", "yes", "no", "on", "off"}
        return value if plain and not reserved else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
