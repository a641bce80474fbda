"""Validation of a new dataset against the one that `prod` was trained on: added and removed pictures, and checks."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from atelier.tasks.dataset.checks import ChecksConfig, Finding, validate
from atelier.tasks.dataset.profile import Profile, read_profile
from atelier.tasks.dataset.profiling import profile_dataset
from atelier.tasks.dataset.shards import Card, read_card
from atelier.tasks.registry.dataset_diff import diff_datasets
from atelier.tasks.registry.dataset_versions import find_dataset, read_version_card
from atelier.tasks.registry.dvc_objects import open_objects, tracked_outputs
from atelier.tasks.registry.tags import Version
from atelier.tasks.runtime.progress import Report, silent
from atelier.tasks.workspace.layout import Workspace


@dataclass(frozen=True)
class DataValidation:
    """The result."""

    changes: dict[str, dict[str, int]]  # by domain: "added" and "removed" since prod's dataset, and "pictures" now
    findings: list[Finding]


def validate_data(
    workspace: Workspace,
    night: Workspace,
    prod: Version | None,
    config: ChecksConfig,
    sheet: Path,
    report: Report = silent,
) -> DataValidation:
    """Compare the dataset of a night with the one that `prod` was trained on, and check it; Ray must be connected.

    Args:
        workspace: with the registry and the DVC cache.
        night: worktree with the new dataset.
        prod: the version; without one, checks that need a comparison are left out.
        config: limits of the checks.
        sheet: PNG to write, of added and removed pictures; deleted if there are none.
        report: receives the number of measured pictures.

    Raises:
        FileNotFoundError, ValueError: the dataset is missing or damaged.
        RuntimeError: the dataset of `prod` is missing in DVC.
    """
    cache = workspace.private / "profiles"
    before: Profile | None = None
    card_before: Card | None = None
    if prod is not None:
        with open_objects(workspace) as objects:
            card_before = read_version_card(workspace, objects, find_dataset(workspace, objects, prod.version))
        before = read_profile(card_before.id, cache)
        if before is None:  # for example on another machine than the one that trained it
            with _dataset_of(workspace, prod) as folder:
                before = profile_dataset(folder, cache, config.drift_sample, report=report)
    now = profile_dataset(night.dataset, cache, config.drift_sample, before, report)
    card_now = read_card(night.dataset)
    return DataValidation(_changes(night, card_now, prod, sheet), validate(config, now, before, card_now, card_before))


def _changes(night: Workspace, card: Card, prod: Version | None, sheet: Path) -> dict[str, dict[str, int]]:
    sheet.unlink(missing_ok=True)
    if prod is None:
        return {name: {"added": card.rows(name), "removed": 0, "pictures": card.rows(name)} for name in card.domains}
    with open_objects(night) as objects:
        before, now = (find_dataset(night, objects, name) for name in (prod.version, "now"))
        found = diff_datasets(night, objects, before, now, sheet)
    return {
        name: {"added": found.added[name], "removed": found.removed[name], "pictures": card.rows(name)}
        for name in found.added
    }


@contextmanager
def _dataset_of(workspace: Workspace, version: Version) -> Iterator[Path]:
    """The folder of a version's training dataset: the workspace's own, or a temporary copy from DVC."""
    try:
        if read_card(workspace.dataset).id == version.dataset:
            yield workspace.dataset
            return
    except (FileNotFoundError, ValueError):
        pass  # there is no dataset in the workspace
    with tempfile.TemporaryDirectory() as folder:
        path = workspace.dataset.relative_to(workspace.root).as_posix()
        out = Path(folder) / "dataset"
        with open_objects(workspace) as objects:
            objects.copy(tracked_outputs(workspace, version)[path], out)
        yield out
