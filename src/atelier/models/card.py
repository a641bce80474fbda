"""The model card, `model.json`: facts of a model's training. It is read and written here alone, without torch.

A card has no times and no paths, so that equal training gives equal bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atelier.models.configs import MethodConfig, config_class
from atelier.models.files import replacing
from atelier.models.settings import from_json
from atelier.models.weights_file import read_header

MODEL_CARD, WEIGHTS = "model.json", "generator.safetensors"  # the files of a model folder
FORMAT = 1  # of the card
MAX_CARD_BYTES = 2**20
MAX_NAME = 1000  # characters of a name in it
MAX_SIZE_PX = 4096
NAMES = ("dataset", "content_domain", "style_domain", "encoder")  # facts of the training that are shown and looked up
LISTS = ("attributes", "styles")  # names in the settings, which are shown and looked up likewise
AGAIN = "train the model again or fetch it again"


@dataclass(frozen=True)
class ModelCard:
    """The content of a `model.json`."""

    method: str  # name of the training method
    config: Mapping[str, Any]  # its settings, as JSON values
    training: Mapping[str, Any] = field(default_factory=dict)  # the other facts: datasets, domains, parameters, …

    @classmethod
    def parse(cls, data: bytes, source: str) -> "ModelCard":
        """A card from the bytes of its file.

        Args:
            source: where they are from, for messages.

        Raises:
            ValueError: the card is damaged, or its format is another.
        """
        if len(data) > MAX_CARD_BYTES:
            raise ValueError(f"{source} is damaged (longer than {MAX_CARD_BYTES} bytes): {AGAIN}")
        try:
            content = json.loads(data)
            if not isinstance(content, dict):
                raise TypeError("it holds no facts")
            version, method, config = content.pop("format"), content.pop("method"), content.pop("config")
            if not isinstance(method, str) or not isinstance(config, dict):
                raise TypeError("method and config are of other types")
            for name in NAMES:
                _check_name(name, content.get(name))
            for kind in LISTS:
                for name in _listed(config, kind):
                    _check_name(kind, name)
        except KeyError as error:
            raise ValueError(f"{source} is damaged (it has no {error.args[0]}): {AGAIN}") from error
        except RecursionError:
            raise ValueError(f"{source} is damaged (nested too deeply): {AGAIN}") from None
        except (ValueError, TypeError) as error:
            raise ValueError(f"{source} is damaged ({error}): {AGAIN}") from error
        if type(version) is not int or version != FORMAT:
            raise ValueError(
                f"{source} has model format {repr(version)[:40]}; this version reads {FORMAT}: update atelier"
            )
        return cls(method, config, content)

    @classmethod
    def read(cls, folder: Path) -> "ModelCard":
        """The card of a model folder.

        Raises:
            FileNotFoundError: there is no card.
            ValueError: the card is damaged, its format or method is unknown to this version, or its config is not one
                of that method.
        """
        with _existing(folder, MODEL_CARD).open("rb") as file:
            card = cls.parse(file.read(MAX_CARD_BYTES + 1), str(folder / MODEL_CARD))
        try:
            config_class(card.method)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error
        try:
            card.settings  # noqa: B018  it is checked
        except ValueError as error:
            raise ValueError(f"{folder / MODEL_CARD} has a config that {card.method} does not take: {error}") from error
        return card

    @classmethod
    def read_trained(cls, folder: Path) -> "ModelCard":
        """The card of a model that was trained from a dataset: it names its domains, its encoder and its size.

        Raises:
            FileNotFoundError, ValueError: as `read`, or one of them is not named.
        """
        card = cls.read(folder)
        for name in ("content_domain", "style_domain", "encoder", "size_px"):
            if not getattr(card, name):
                raise ValueError(f"{folder / MODEL_CARD} does not name its {name}: train again")
        return card

    def write(self, folder: Path) -> None:
        """Write the card into a model folder, complete or not at all."""
        with replacing(folder / MODEL_CARD) as temporary:
            temporary.write_text(json.dumps(self.content, indent=2, sort_keys=True) + "\n")

    @property
    def settings(self) -> MethodConfig:
        """The config as the method's settings, within their bounds. Raises ValueError where it does not fit."""
        return from_json(config_class(self.method), self.config)

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object of the file."""
        return {**self.training, "format": FORMAT, "method": self.method, "config": dict(self.config)}

    @property
    def dataset(self) -> str:
        """Id of the dataset, "" where unknown."""
        return str(self.training.get("dataset") or "")

    @property
    def content_domain(self) -> str:
        """Domain of the pictures that were painted in training, "" where unknown."""
        return str(self.training.get("content_domain") or "")

    @property
    def style_domain(self) -> str:
        """Domain of the style, "" where unknown."""
        return str(self.training.get("style_domain") or "")

    @property
    def encoder(self) -> str:
        """Name of the perceptual encoder of the losses, "" where unknown."""
        return str(self.training.get("encoder") or "")

    @property
    def size_px(self) -> int:
        """Side of the training pictures, px; 0 where unknown."""
        augment = self.training.get("augment")
        size = augment.get("size_px") if isinstance(augment, dict) else None
        return size if type(size) is int and 0 < size <= MAX_SIZE_PX else 0

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes that the model can give; none for most methods."""
        return tuple(self.config.get("attributes", ()))

    @property
    def styles(self) -> tuple[str, ...]:
        """Styles that the model knows by name; none for most methods."""
        return tuple(self.config.get("styles", ()))

    @property
    def kind(self) -> str:
        """ "generates", "restores", "edits", or "" where it paints one domain in the style of another."""
        method = config_class(self.method)
        if method.generates:
            return "generates"
        if method.restores:
            return "restores"
        return "edits" if self.content_domain == self.style_domain else ""


@dataclass(frozen=True)
class ModelIdentity:
    """Which model made a picture."""

    name: str  # as the registry has it, such as "style-model"
    version: str  # such as "v1.2.0"; "" for a model that is in no registry
    method: str  # such as "cpgan"
    dataset: str  # id of the dataset it was trained on, "" where unknown
    weights_sha256: str

    @property
    def label(self) -> str:
        """The model as a person writes it: `style-model@v1.2.0`."""
        return f"{self.name}@{self.version}" if self.version else f"{self.name} ({self.weights_sha256[:12]})"


def identify(folder: Path, name: str, version: str) -> ModelIdentity:
    """The identity of the model in a folder, whose weights are hashed and not loaded.

    Args:
        name: of the model; of a path only the last part is used, since outputs show no paths.
        version: of the model, "" where it has none.

    Raises:
        FileNotFoundError: this is no model folder.
        ValueError: it is damaged, or of a method that this version does not have.
    """
    weights = _existing(folder, WEIGHTS)
    card = ModelCard.read(folder)
    try:
        read_header(weights)
    except ValueError as error:
        raise ValueError(f"{weights} is damaged ({error}): {AGAIN}") from error
    return ModelIdentity(Path(name).name, version, card.method, card.dataset, weights_sha256(folder))


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights in a model folder."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise FileNotFoundError(f"{folder} is no model folder ({name} is missing): run `atelier train`")
    return folder / name


def _listed(config: Mapping[str, Any], kind: str) -> list[Any]:
    """The names in a list of the settings; of other types the method's settings say what is wrong."""
    found = config.get(kind)
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _check_name(key: str, value: Any) -> None:
    """Refuse names that would end up as control characters on a terminal or as a megabyte in every picture."""
    if value is not None and not (isinstance(value, str) and len(value) <= MAX_NAME):
        raise ValueError(f"its {key} is no name")
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in value or ""):
        raise ValueError(f"its {key} has control characters")
