"""The model card, `model.json`: facts of a model's training. It is read and written here alone, without torch.

A card has no times and no paths, so that equal training gives equal bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atelier.models.configs import config_class
from atelier.models.files import replacing

MODEL_CARD, WEIGHTS = "model.json", "generator.safetensors"  # the files of a model folder
FORMAT = 1  # of the card
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
            data: of a `model.json`.
            source: where they are from, for messages.

        Raises:
            ValueError: the card is damaged, or its format is another.
        """
        try:
            content = json.loads(data)
            version, method, config = content.pop("format"), content.pop("method"), content.pop("config")
            if not isinstance(method, str) or not isinstance(config, dict):
                raise TypeError("method and config are of other types")
        except KeyError as error:
            raise ValueError(f"{source} is damaged (it has no {error.args[0]}): {AGAIN}") from error
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"{source} is damaged ({error}): {AGAIN}") from error
        if version != FORMAT:
            raise ValueError(f"{source} has model format {version!r}; this version reads {FORMAT}: update atelier")
        return cls(method, config, content)

    @classmethod
    def read(cls, folder: Path) -> "ModelCard":
        """The card of a model folder.

        Raises:
            FileNotFoundError: there is no card.
            ValueError: the card is damaged, or its format or method is unknown to this version.
        """
        card = cls.parse(_existing(folder, MODEL_CARD).read_bytes(), str(folder / MODEL_CARD))
        try:
            config_class(card.method)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error
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
        return size if isinstance(size, int) else 0

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes that the model can give; none for most methods."""
        return tuple(self.config.get("attributes", ()))

    @property
    def kind(self) -> str:
        """ "generates", "edits", or "" where it paints one domain in the style of another."""
        if config_class(self.method).generates:
            return "generates"
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
        folder: holds `generator.safetensors` and `model.json`.
        name: of the model; of a path only the last part is used, since outputs show no paths.
        version: of the model, "" where it has none.

    Raises:
        FileNotFoundError: this is no model folder.
        ValueError: it is damaged, or of a method that this version does not have.
    """
    weights = _existing(folder, WEIGHTS)
    card = ModelCard.read(folder)
    _check_length(weights)
    return ModelIdentity(Path(name).name, version, card.method, card.dataset, weights_sha256(folder))


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights in a model folder."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise FileNotFoundError(f"{folder} is no model folder ({name} is missing): run `atelier train`")
    return folder / name


def _check_length(weights: Path) -> None:
    """Compare the length of a safetensors file with what its header says: loading it would take seconds and torch."""
    size = weights.stat().st_size
    try:
        with weights.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            if header_size > size:
                raise ValueError("its header is cut off")
            header = json.loads(file.read(header_size))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        if size != 8 + header_size + max(ends):
            raise ValueError(f"it has {size} bytes and should have {8 + header_size + max(ends)}")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{weights} is damaged ({error}): {AGAIN}") from error
