"""A night's look at its data: what has come and gone since `prod` was trained, and whether training on it is safe."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from atelier.tasks.data_checks import ChecksConfig, Finding, check
from atelier.tasks.data_profile import Profile, cached, profile
from atelier.tasks.dataset import Card, read_card
from atelier.tasks.processes import dvc
from atelier.tasks.progress import Report, silent
from atelier.tasks.registry import MODEL, Version
from atelier.tasks.workspace import Workspace


@dataclass(frozen=True)
class Looked:
    """What was found."""

    changes: dict[str, dict[str, int]]  # domain: "added", "removed" since prod's dataset, and "pictures" now
    findings: list[Finding]


def look(
    workspace: Workspace, night: Workspace, prod: Version | None, config: ChecksConfig, report: Report = silent
) -> Looked:
    """Compare a night's dataset with the one that `prod` was trained on; Ray must be connected.

    Args:
        workspace: whose registry and DVC know `prod`.
        night: has the new dataset.
        prod: the version; without one, only what needs no comparison is checked.
        config: the limits.
        report: hears of each picture that is looked at.

    Raises:
        FileNotFoundError, ValueError: the dataset is missing or damaged.
        RuntimeError: DVC does not have that of `prod`.
    """
    cache = workspace.private / "profiles"
    before: Profile | None = None
    card_before: Card | None = None
    if prod is not None:
        with _dataset_of(workspace, prod) as folder:
            card_before = read_card(folder)
            before = cached(card_before.id, cache) or profile(folder, cache, config.drift_sample, report=report)
    now = profile(night.dataset, cache, config.drift_sample, before, report)
    findings = check(config, now, before, read_card(night.dataset), card_before)
    return Looked(_changes(now, before), findings)


def _changes(now: Profile, before: Profile | None) -> dict[str, dict[str, int]]:
    changes = {}
    for name in sorted(now.domains.keys() | (before.domains.keys() if before else set())):
        new = set(now.domains[name].groups) if name in now.domains else set()
        old = set(before.domains[name].groups) if before and name in before.domains else set()
        changes[name] = {"added": len(new - old), "removed": len(old - new), "pictures": len(new)}
    return changes


@contextmanager
def _dataset_of(workspace: Workspace, version: Version) -> Iterator[Path]:
    """The dataset that a version was trained on: the workspace's, or a copy of DVC's."""
    try:
        if read_card(workspace.dataset).id == version.dataset:
            yield workspace.dataset
            return
    except (FileNotFoundError, ValueError):
        pass  # what is there now is none
    with tempfile.TemporaryDirectory() as folder:
        path = workspace.dataset.relative_to(workspace.root).as_posix()
        out = Path(folder) / "dataset"
        dvc(workspace.root, "get", "--quiet", ".", path, "--rev", f"{MODEL}@{version.version}", "--out", str(out))
        yield out
