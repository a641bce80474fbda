"""Export of a model as a folder for a model hub, such as Hugging Face's: weights, model card and network."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from atelier.models.card import MODEL_CARD, WEIGHTS, ModelCard
from atelier.models.controls import Controls
from atelier.tasks.evaluation.metric_catalogue import METRICS, Metrics, value
from atelier.tasks.inference.import_export import export_model

README, NETWORK, OWN_CARD = "README.md", "model.onnx", "CARD.md"


@dataclass(frozen=True)
class FolderExport:
    """An exported folder. It is a model folder too."""

    folder: Path
    files: tuple[str, ...]
    note: str  # why there is no network, "" where there is one

    @property
    def summary(self) -> str:
        """The result in a line or two."""
        return "\n".join(filter(None, [f"{self.folder}: {', '.join(self.files)}", self.note]))


def export_folder(model: Path, out: Path, name: str, metrics: Metrics, controls: Controls) -> FolderExport:
    """Write a folder with the weights, `model.json`, a model card and, of a single network, ONNX.

    Args:
        model: the model folder.
        out: the folder to make; it must not exist, or be empty.
        name: of the model, for the card.
        metrics: as the registry has them; empty where they are not known.
        controls: that choose the network for ONNX.

    Raises:
        FileExistsError: the folder has files.
        ValueError: the model is damaged.
    """
    card = ModelCard.read(model)
    check_new(out)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as made:
        draft, note = Path(made) / "folder", ""
        draft.mkdir()
        for file in (WEIGHTS, MODEL_CARD):
            shutil.copyfile(model / file, draft / file)
        try:
            export_model(model, draft / NETWORK, controls)
        except ValueError as error:
            note = f"no {NETWORK}: {error}"
        own = model / OWN_CARD
        text = own.read_text(encoding="utf-8") if own.is_file() else _described(name, card, metrics)
        (draft / README).write_text(_front(card) + text + _use(card.settings.scale, network=not note), encoding="utf-8")
        files = tuple(sorted(file.name for file in draft.iterdir()))
        draft.replace(out)  # also an empty folder
    return FolderExport(out, files, note)


def check_new(out: Path) -> None:
    """Check that a folder can be made here, and make those above it. Raises FileExistsError: it has files."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is not empty: name a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)


def _front(card: ModelCard) -> str:
    """The metadata that a hub reads: YAML, of which JSON is a part."""
    facts = {
        "library_name": "atelier",
        "pipeline_tag": "unconditional-image-generation" if card.kind == "generates" else "image-to-image",
        "tags": ["style-transfer", card.method, "safetensors"],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items()]
    return "\n".join(["---", *lines, "---", "", ""])


def _described(name: str, card: ModelCard, metrics: Metrics) -> str:
    """What the model is, what it was trained on, and how it was measured."""
    facts = {
        "method": card.method,
        "style": card.style_domain,
        "steps of training": card.content.get("steps", ""),
        "dataset (id)": card.dataset[:12],
    }
    lines = [f"# {name}", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {_cell(fact)} |" for key, fact in facts.items() if fact]
    measured = [metric.ratio if metric.baseline else metric for metric in METRICS]
    values = [(metric.label, value(metrics, metric.key)) for metric in measured]
    rows = [f"| {label} | {found:.3g} |" for label, found in values if not isnan(found)]
    if rows:
        lines += ["", "## Measured on held-out pictures", "", "| metric | value |", "|---|---|", *rows]
    lines += ["", "Add here: the licence, the sources of the pictures, and what it should not be used for.", ""]
    return "\n".join(lines)


def _use(scale: int, *, network: bool) -> str:
    """How the folder is used; `scale` is that of its outputs."""
    lines = ["", "## Use", "", "```console", "$ atelier stylize photo.jpg painted.jpg --model FOLDER", "```", ""]
    if network:
        lines += [
            f"`{NETWORK}` takes `pictures` (B, 3, H, W), float32 in [-1, 1] with sides that are multiples of 4, and "
            f"gives `painted` of {'the same shape' if scale == 1 else f'{scale} times that size'} and the same range.",
            "",
        ]
    return "\n".join(lines)


def _cell(fact: object) -> str:
    return " ".join(str(fact).split()).replace("|", "\\|")
