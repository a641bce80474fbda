"""The record of its origin that an output carries, as text for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.models.card import ModelIdentity
from atelier.tasks.images.codec import BadImage, read_file
from atelier.tasks.images.formats import is_video
from atelier.tasks.images.provenance import Provenance, read, read_packet
from atelier.tasks.video.join import read_provenance


@dataclass(frozen=True)
class Inspected:
    """One file."""

    file: str
    lineage: Provenance | None
    problem: str = ""  # why there is no lineage

    @property
    def summary(self) -> str:
        """The lineage as lines of text; only for a file that has one."""
        assert self.lineage is not None
        made = self.lineage
        facts = [fact for model, parameters in made.steps for fact in _facts(model, parameters)]
        facts += [
            ("software", f"{made.software}, revision {made.revision or 'unknown'}"),
            ("input", f"sha256 {made.input_sha256}" if made.input_sha256 else "none, it was made from noise"),
        ]
        return "\n".join(_printable(line) for line in [self.file, *(f"  {name:<12}{fact}" for name, fact in facts)])


def _facts(model: ModelIdentity, parameters: dict[str, Any]) -> list[tuple[str, str]]:
    """What is said of one model."""
    return [
        ("model", f"{model.label}, {model.method}"),
        ("weights", model.weights_sha256),
        ("dataset", model.dataset or "unknown"),
        ("parameters", ", ".join(f"{key} {value}" for key, value in parameters.items() if value is not None)),
    ]


def _printable(text: str) -> str:
    """The text without control characters, which a terminal would obey: files are untrusted."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def inspect(files: Sequence[Path]) -> list[Inspected]:
    """Read the lineage of pictures; one without a lineage has a `problem`, and does not stop the others."""
    return [_inspect(file) for file in files]


def _inspect(file: Path) -> Inspected:
    try:
        lineage = read_packet(read_provenance(file)) if is_video(file.name) else read(read_file(file))
    except FileNotFoundError as error:
        return Inspected(str(file), None, _printable(str(error)))
    except BadImage as error:
        return Inspected(str(file), None, _printable(f"{file}: {error}"))
    return Inspected(str(file), lineage, "" if lineage else _printable(f"{file} does not say that atelier made it"))
