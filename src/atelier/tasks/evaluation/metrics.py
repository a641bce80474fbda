"""Metrics by their dotted keys."""

import math
from collections.abc import Mapping
from typing import Any

Metrics = dict[str, Any]  # as reports/evaluation.json holds them


def lookup(metrics: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key, None when it is not there."""
    value: Any = metrics
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def value(metrics: Metrics, key: str) -> float:
    """A number by its dotted key; NaN, which passes no threshold, when it is not there."""
    found = _find(metrics, key)
    return float(found) if isinstance(found, int | float) else math.nan


def _find(metrics: Metrics, key: str) -> Any:
    found: Any = metrics
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
