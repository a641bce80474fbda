"""Differences between two versions of models: parameters, metrics, data, and canary pictures painted by both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.tasks.evaluation.canaries import Canary
from atelier.tasks.images.codec import encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.registry.dataset_diff import DatasetDiff, ValueChange, changed_values, diff_datasets
from atelier.tasks.registry.dataset_versions import find_dataset
from atelier.tasks.registry.dvc_objects import DvcObjects
from atelier.tasks.registry.model_details import model_facts, numeric_metrics
from atelier.tasks.registry.tags import Version
from atelier.tasks.runtime.files import write
from atelier.tasks.workspace.layout import Workspace

CELL_PX = 256
_DATA = ("dataset", "training_set")  # compared as datasets instead


@dataclass(frozen=True)
class MetricChange:
    """A metric of both versions."""

    before: float | None  # None if not measured
    after: float | None
    difference: float | None  # after minus before


@dataclass(frozen=True)
class ModelDiff:
    """Differences of the second version from the first."""

    before: str  # names, as style-model@v1.0.0
    after: str
    parameters: dict[str, ValueChange]
    metrics: dict[str, MetricChange]
    dataset: DatasetDiff | None  # None if it is the same, or unknown
    notes: tuple[str, ...]  # what could not be compared, and why
    picture: str = ""  # path of the canary pictures, "" without them

    @property
    def summary(self) -> str:
        """The differences in a few lines."""
        lines = [f"{self.before} → {self.after}"]
        width = max(map(len, self.metrics), default=0)
        lines += [
            f"  {name:<{width}} {_number(one.before):>11} → {_number(one.after):>11} {_number(one.difference, '+'):>11}"
            for name, one in self.metrics.items()
        ]
        lines += [f"  {name}: {one.before} → {one.after}" for name, one in self.parameters.items()]
        lines += self.dataset.summary.splitlines() if self.dataset else []
        lines += self.notes
        return "\n".join([*lines, *([f"pictures: {self.picture}"] if self.picture else [])])


def diff_models(workspace: Workspace, objects: DvcObjects, before: Version, after: Version) -> ModelDiff:
    """Compare two versions, of one model or of two. What cannot be compared is in the notes."""
    facts = [model_facts(objects, version) for version in (before, after)]
    notes = [
        f"the bytes of {version.name} are missing: its parameters are unknown"
        for version, known in zip((before, after), facts, strict=True)
        if not known
    ]
    given = [{name: value for name, value in known.items() if name not in _DATA} for known in facts]
    measured = [numeric_metrics(version) for version in (before, after)]
    names = dict.fromkeys([*measured[0], *measured[1]])
    dataset = None
    if before.dataset != after.dataset:
        try:
            old, new = (find_dataset(workspace, objects, version.name) for version in (before, after))
            dataset = diff_datasets(workspace, objects, old, new, None)
        except (RuntimeError, ValueError) as error:
            notes.append(f"their datasets cannot be compared: {error}")
    return ModelDiff(
        before=before.name,
        after=after.name,
        parameters={} if notes and not all(facts) else changed_values(*given),
        metrics={name: _measured(measured[0].get(name), measured[1].get(name)) for name in names},
        dataset=dataset,
        notes=tuple(notes),
    )


def write_comparison_sheet(pictures: Sequence[Canary], models: Sequence[tuple[str, Path]], out: Path) -> None:
    """Write a sheet of the canary pictures: a row for each picture, a column for the photograph and for each model.

    Args:
        pictures: the canary pictures.
        models: name and folder of each model.
        out: the PNG.

    Raises:
        ValueError: a picture cannot be read, or a folder holds no model.
    """
    from atelier.tasks.evaluation.measures import show

    files = [one.data for one in pictures]
    pairs = [show(files, folder, CELL_PX) for _, folder in models]
    rows = [[pairs[0][row][0], *(pair[row][1] for pair in pairs)] for row in range(len(files))]
    labels = [one.name[:24] for one in pictures]
    write(out, encode(contact_sheet(rows, labels, ["photograph", *(name for name, _ in models)], CELL_PX), "png"))


def _measured(before: float | None, after: float | None) -> MetricChange:
    return MetricChange(before, after, None if before is None or after is None else after - before)


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None or math.isnan(value) else f"{value:{sign}.4g}"
