"""params.yaml: the one place for parameters.

Every section is the frozen dataclass of the component that uses it, with a description and bounds on each field;
pydantic reads the file into them. A section is validated when it is first asked for, so that a command imports only
what it runs; `check` validates all of them.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

if TYPE_CHECKING:
    from atelier.flows.config.notify import NotifyConfig
    from atelier.flows.config.retrain import RetrainConfig
    from atelier.tasks.bulk.subscriptions import StylizeSection, Subscription
    from atelier.tasks.dataset.augment_config import AugmentConfig
    from atelier.tasks.dataset.checks import ChecksConfig
    from atelier.tasks.dataset.ingest import IngestConfig
    from atelier.tasks.evaluation.gate import GateConfig
    from atelier.tasks.evaluation.protocol import EvaluateConfig
    from atelier.tasks.inference.config import StylizeConfig
    from atelier.tasks.training.config import TrainConfig

C = TypeVar("C")
SECTIONS = ("ingest", "checks", "augment", "train", "evaluate", "gate", "retrain", "stylize", "notify")


class Params:
    """The parameters of a workspace.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no YAML, or holds an unknown key or a bad value; the message names the key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: `atelier init DIR` makes a workspace with one")
        try:
            content = YAML(typ="safe", pure=True).load(path.read_text())
        except (YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path} must hold sections: {', '.join(SECTIONS)}")
        for name in content:
            if name not in SECTIONS:
                raise ValueError(f"{path}: unknown section {name!r}{_nearest(str(name), SECTIONS)}")
        self._content: dict[str, Any] = content

    @cached_property
    def ingest(self) -> "IngestConfig":
        """Where pictures come from and which are taken."""
        from atelier.tasks.dataset.ingest import IngestConfig

        return self._section("ingest", IngestConfig)

    @cached_property
    def checks(self) -> "ChecksConfig":
        """What stops a night before anything is trained."""
        from atelier.tasks.dataset.checks import ChecksConfig

        return self._section("checks", ChecksConfig)

    @cached_property
    def augment(self) -> "AugmentConfig":
        """How the training set is varied."""
        from atelier.tasks.dataset.augment_config import AugmentConfig

        return self._section("augment", AugmentConfig)

    @cached_property
    def train(self) -> "TrainConfig":
        """Method, losses and the training loop."""
        from atelier.tasks.training.config import TrainConfig

        return self._section("train", TrainConfig)

    @cached_property
    def evaluate(self) -> "EvaluateConfig":
        """How a model is measured."""
        from atelier.tasks.evaluation.protocol import EvaluateConfig

        return self._section("evaluate", EvaluateConfig)

    @cached_property
    def gate(self) -> "GateConfig":
        """What a model must reach to become `prod`."""
        from atelier.tasks.evaluation.gate import GateConfig

        return self._section("gate", GateConfig)

    @cached_property
    def retrain(self) -> "RetrainConfig":
        """What a night does about what may pass, and where it takes what it made."""
        from atelier.flows.config.retrain import RetrainConfig

        return self._section("retrain", RetrainConfig)

    @property
    def stylize(self) -> "StylizeConfig":
        """How archives are restyled."""
        return self._stylize.job

    @property
    def subscriptions(self) -> "tuple[Subscription, ...]":
        """The archives that every version that becomes `prod` restyles."""
        return self._stylize.subscriptions

    @cached_property
    def _stylize(self) -> "StylizeSection":
        from atelier.tasks.bulk.subscriptions import StylizeSection

        return self._section("stylize", StylizeSection)

    @cached_property
    def notify(self) -> "NotifyConfig":
        """Who is told how a night ended."""
        from atelier.flows.config.notify import NotifyConfig

        return self._section("notify", NotifyConfig)

    def check(self) -> "Params":
        """Validate every section now."""
        for name in SECTIONS:
            getattr(self, name)
        return self

    def _section(self, name: str, config: type[C]) -> C:
        content = self._content.get(name) or {}
        try:
            return TypeAdapter(config).validate_python(content)
        except ValidationError as error:
            raise ValueError(f"{self.path}: {_explain(error.errors()[0], name, config)}") from error


def render(configs: Mapping[str, Any]) -> str:
    """The text of a params.yaml: every section's values, each with its description as a comment.

    Args:
        configs: an instance of its config dataclass for each section.
    """
    lines = ["# Every parameter of this workspace. DVC reruns exactly the stages below a value that changes.", ""]
    for name, config in configs.items():
        lines += [f"{name}:", *_render_fields(config, "  "), ""]
    return "\n".join(lines)


def _render_fields(config: Any, indent: str) -> list[str]:
    lines: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        description = field.metadata.get("description", "")
        comment = f"  # {description}" if description else ""
        lines += _render_value(field.name, value, indent, comment)
    return lines


def _render_value(key: str, value: Any, indent: str, comment: str) -> list[str]:
    if dataclasses.is_dataclass(value):
        return [f"{indent}{key}:{comment}", *_render_fields(value, indent + "  ")]
    if isinstance(value, Mapping) and value:
        lines = [f"{indent}{key}:{comment}"]
        for inner_key, inner in value.items():
            lines += _render_value(str(inner_key), inner, indent + "  ", "")
        return lines
    if isinstance(value, tuple | list) and any(dataclasses.is_dataclass(item) for item in value):
        lines = [f"{indent}{key}:{comment}"]
        for item in value:
            first, *rest = _render_fields(item, indent + "    ")
            lines += [f"{indent}  - {first.strip()}", *rest]
        return lines
    return [f"{indent}{key}: {_scalar(value)}{comment}"]


def _scalar(value: Any) -> str:
    """A value in YAML's flow style, on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # YAML 1.1 readers take 1e-05 for a string: they want the dot
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


def _nearest(name: str, known: "tuple[str, ...] | list[str]") -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": there are {', '.join(known)}"


def _explain(error: ErrorDetails, section: str, config: type) -> str:
    """One line for one pydantic error, with the key as it is written in the file."""
    where = [section, *(str(part) for part in error["loc"])]
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        siblings = _fields_at(config, [str(part) for part in error["loc"][:-1]])
        return f"unknown key {'.'.join(where)}{_nearest(where[-1], siblings)}"
    given = error["input"]
    shown = "" if isinstance(given, dict | list) or dataclasses.is_dataclass(given) else f" (it is {given!r})"
    return f"{'.'.join(where)}: {error['msg'].removeprefix('Value error, ')}{shown}"


def _fields_at(config: Any, path: list[str]) -> list[str]:
    """Names of the fields of the dataclass that a key path leads to."""
    current = config
    for part in path:
        types = {f.name: f.type for f in dataclasses.fields(current)} if dataclasses.is_dataclass(current) else {}
        candidate = types.get(part, current)
        inner = [a for a in getattr(candidate, "__args__", ()) if dataclasses.is_dataclass(a)]
        current = inner[0] if inner else candidate
    return [f.name for f in dataclasses.fields(current)] if dataclasses.is_dataclass(current) else []
