"""A model's card, `model.json`: what a model says of its training, read and written without torch."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from atelier.models.controls import GENERATING, HONOURED


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
    """Read a model folder's identity without loading the model.

    Args:
        folder: holds `generator.safetensors` and `model.json`.
        name: what to call the model; of a path only the last part is used, since outputs tell no paths.
        version: its version, "" where it has none.

    Raises:
        FileNotFoundError: this is no model folder.
        ValueError: it is damaged, or of a method that this version does not have.
    """
    weights, card = folder / "generator.safetensors", folder / "model.json"
    for path in (weights, card):
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is no model folder ({path.name} is missing): run `atelier train`")
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
        method, dataset = str(facts["method"]), str(facts.get("dataset", ""))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{card} is damaged ({error!r}): train the model again or fetch it again") from error
    if method not in HONOURED:
        raise ValueError(f"{folder}: method {method!r} is unknown to this version (known: {', '.join(HONOURED)})")
    _check_length(weights)
    with weights.open("rb") as file:
        return ModelIdentity(Path(name).name, version, method, dataset, hashlib.file_digest(file, "sha256").hexdigest())


def _check_length(weights: Path) -> None:
    """See from its header alone that a safetensors file is whole: loading it would take seconds and torch."""
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
        raise ValueError(f"{weights} is damaged ({error}): train the model again or fetch it again") from error


def known_to(model: Path) -> tuple[str, ...]:
    """The attributes that a model can give, without loading it.

    Raises:
        ValueError: the model does not say.
    """
    path = model / "model.json"
    try:
        return tuple(json.loads(path.read_text())["config"].get("attributes", ()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): train the model again or fetch it again") from error


@dataclass(frozen=True)
class Facts:
    """What evaluation must know of a model's training."""

    content_domain: str
    style_domain: str
    encoder: str  # of the loss
    size_px: int  # of the training pictures
    method: str

    @property
    def kind(self) -> dict[str, str]:
        """What the model does where it does not paint one domain in the style of another: see `gate.NOT_APPLICABLE`."""
        if self.method in GENERATING:
            return {"kind": "generates"}
        return {"kind": "edits"} if self.content_domain == self.style_domain else {}


def read_facts(model: Path) -> Facts:
    """What a model says of its training.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: its `model.json` does not tell.
    """
    path = model / "model.json"
    if not path.is_file():
        raise FileNotFoundError(f"{model} holds no model (model.json is missing): run `atelier train`")
    try:
        facts = json.loads(path.read_bytes())
        domains = facts["content_domain"], facts["style_domain"]
        return Facts(*domains, facts["encoder"], int(facts["augment"]["size_px"]), facts["method"])
    except KeyError as error:
        raise ValueError(f"{path} does not name its {error.args[0]}: train again") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): train again or fetch the version again") from error
