"""Reading params.yaml, the one place for the parameters of a workspace.

Every section is a frozen dataclass of the component that uses it, with a description and bounds on each field; pydantic
reads the file into them. A key that is not in the file has its default. A section is validated when it is first used;
`check` validates all of them.
"""

import dataclasses
import difflib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from atelier.flows.config.notify import NotifyConfig
from atelier.flows.config.retrain import RetrainConfig
from atelier.tasks.dataset.augment_config import AugmentConfig
from atelier.tasks.evaluation.gate import GateConfig
from atelier.tasks.training.config import TrainConfig, train_config_class

if TYPE_CHECKING:  # these import more, and a command imports only what it runs
    from atelier.tasks.bulk.subscriptions import StylizeSection, Subscription
    from atelier.tasks.dataset.checks import ChecksConfig
    from atelier.tasks.dataset.ingest import IngestConfig
    from atelier.tasks.evaluation.protocol import EvaluateConfig
    from atelier.tasks.inference.config import StylizeConfig

C = TypeVar("C")
SECTIONS = ("ingest", "checks", "augment", "train", "evaluate", "gate", "retrain", "stylize", "notify")

_WORDS = {  # pydantic's, and ours
    "Input should be less than or equal to": "must be at most",
    "Input should be greater than or equal to": "must be at least",
    "Input should be less than": "must be below",
    "Input should be greater than": "must be above",
    "Input should be": "must be",
    ", unable to parse string as an integer": "",
    ", unable to parse string as a number": "",
}


class Params:
    """The parameters of a workspace.

    Args:
        path: params.yaml.
        text: what it will have; None reads the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not YAML, or has an unknown key or a bad value; the message names the key.
    """

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        if text is None and not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: `atelier init DIR` makes a workspace with one")
        try:
            content = YAML(typ="safe", pure=True).load(path.read_text() if text is None else text)
        except (YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path} must hold sections: {', '.join(SECTIONS)}")
        for name in content:
            if name not in SECTIONS:
                raise ValueError(f"{path}: unknown section {name!r}{nearest(str(name), SECTIONS)}")
        self._content: dict[str, Any] = content

    @cached_property
    def ingest(self) -> "IngestConfig":
        """Sources of pictures, and which pictures are taken."""
        from atelier.tasks.dataset.ingest import IngestConfig

        return self._section("ingest", IngestConfig)

    @cached_property
    def checks(self) -> "ChecksConfig":
        """Data validation before training."""
        from atelier.tasks.dataset.checks import ChecksConfig

        return self._section("checks", ChecksConfig)

    @cached_property
    def augment(self) -> AugmentConfig:
        """Augmentation of the training set."""
        return self._section("augment", AugmentConfig)

    @cached_property
    def train(self) -> TrainConfig:
        """Method, losses and the training loop."""
        try:
            config = train_config_class(self._content.get("train"))
        except ValueError as error:
            raise ValueError(f"{self.path}: train.method: {error}") from error
        return self._section("train", config)

    @cached_property
    def evaluate(self) -> "EvaluateConfig":
        """Evaluation of a model."""
        from atelier.tasks.evaluation.protocol import EvaluateConfig

        return self._section("evaluate", EvaluateConfig)

    @cached_property
    def gate(self) -> GateConfig:
        """Thresholds that a model must pass to become `prod`."""
        return self._section("gate", GateConfig)

    @cached_property
    def retrain(self) -> RetrainConfig:
        """Retries of a nightly run, and where it pushes its results."""
        return self._section("retrain", RetrainConfig)

    @property
    def stylize(self) -> "StylizeConfig":
        """Parameters of a bulk job."""
        return self._stylize.job

    @property
    def subscriptions(self) -> "tuple[Subscription, ...]":
        """The archives that every new `prod` restyles."""
        return self._stylize.subscriptions

    @cached_property
    def _stylize(self) -> "StylizeSection":
        from atelier.tasks.bulk.subscriptions import StylizeSection

        return self._section("stylize", StylizeSection)

    @cached_property
    def notify(self) -> NotifyConfig:
        """Notifications about nightly runs."""
        return self._section("notify", NotifyConfig)

    def check(self) -> "Params":
        """Validate every section now."""
        from atelier.tasks.registry.base_models import check_starter

        for name in SECTIONS:
            getattr(self, name)
        try:
            check_starter(self.train)
            self.train.check_size(self.augment.size_px)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error
        return self

    def check_training(self, *, each_style: bool = False) -> "Params":
        """Validate every section, and that the domains of the training have sources, before pictures are read.

        Args:
            each_style: as for `TrainConfig.check_domains`.
        """
        self.check()
        try:
            self.train.check_domains(self.ingest.domains, each_style=each_style)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}: name one, or give it sources under ingest.domains") from error
        return self

    def _section(self, name: str, config: type[C]) -> C:
        content = self._content.get(name) or {}
        try:
            return TypeAdapter(config).validate_python(content)
        except ValidationError as error:
            raise ValueError(f"{self.path}: {_explain(error.errors()[0], name, config)}") from error


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown name: the known one that is most like it, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": there are {', '.join(known)}"


def _explain(error: ErrorDetails, section: str, config: type) -> str:
    """A pydantic error in one line, with the key as the file has it."""
    where = [section, *(str(part) for part in error["loc"])]
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        siblings = _fields_at(config, [str(part) for part in error["loc"][:-1]])
        return f"unknown key {'.'.join(where)}{nearest(where[-1], siblings)}"
    return f"{'.'.join(where)}{reason_of(error)}"


def reason_of(error: ErrorDetails) -> str:
    """What pydantic found wrong with a value, to stand behind its name: " must be at most 1 (it is 2)"."""
    given, said = error["input"], error["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(given, dict | list) or dataclasses.is_dataclass(given) else f" (it is {given!r})"
    for theirs, ours in _WORDS.items():
        said = said.replace(theirs, ours)
    return f"{' ' if said.startswith('must') else ': '}{said}{shown}"


def _fields_at(config: Any, path: list[str]) -> list[str]:
    """The field names of the dataclass at a key path."""
    current = config
    for part in path:
        types = {f.name: f.type for f in dataclasses.fields(current)} if dataclasses.is_dataclass(current) else {}
        candidate = types.get(part, current)
        inner = [a for a in getattr(candidate, "__args__", ()) if dataclasses.is_dataclass(a)]
        current = inner[0] if inner else candidate
    return [f.name for f in dataclasses.fields(current)] if dataclasses.is_dataclass(current) else []
