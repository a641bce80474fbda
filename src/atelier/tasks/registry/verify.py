"""Proof that a version is complete to the last bit: every file that its commit names, read again and hashed again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.tasks.registry.dvc_objects import DvcObjects, MissingObject, is_folder, read_committed, tracked_outputs
from atelier.tasks.registry.tags import MODEL, Version
from atelier.tasks.runtime.progress import Progress, Report, silent
from atelier.tasks.workspace.layout import Workspace


@dataclass(frozen=True)
class VerifiedVersion:
    """What was found of a version."""

    version: str  # as style-model@v1.2.0
    files: int  # that its commit names
    problems: tuple[str, ...]  # what is missing or damaged, and what to do

    @property
    def whole(self) -> bool:
        """Nothing is missing or damaged."""
        return not self.problems

    @property
    def summary(self) -> str:
        """The finding for a person."""
        head = f"{self.version}: {self.files} files, " + ("all whole" if self.whole else f"{len(self.problems)} not")
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])


def verify_versions(
    workspace: Workspace, kept: DvcObjects, versions: Sequence[Version], report: Report = silent
) -> list[VerifiedVersion]:
    """Read every file of versions, where DVC keeps it and in the folders of this machine; shared ones once.

    Args:
        workspace: where.
        kept: its objects; of what is not in the cache the remote's are read.
        versions: which.
        report: told how many files are read.
    """
    known: dict[str, str] = {}
    return [_verify(workspace, kept, version, known, report) for version in versions]


def _verify(
    workspace: Workspace, kept: DvcObjects, version: Version, known: dict[str, str], report: Report
) -> VerifiedVersion:
    problems: list[str] = []
    files: dict[str, str] = {}  # by path
    try:
        named = tracked_outputs(workspace, version)
    except (RuntimeError, KeyError, IndexError, TypeError) as error:
        return VerifiedVersion(version.name, 0, (f"its commit does not say what it is: {error}",))
    folder = workspace.model_folder(version.model).relative_to(workspace.root).as_posix()
    if version.bytes != named.get(folder):
        problems.append(f"{folder}: the registry says {version.bytes}, the commit {named.get(folder)}")
    for path, digest in named.items():
        files[path] = digest
        if is_folder(digest) and not _problem(kept, digest, known):
            files |= {f"{path}/{name}": one for name, one in kept.files(digest).items()}
    for done, (path, digest) in enumerate(files.items(), 1):
        if problem := _problem(kept, digest, known):
            problems.append(f"{path}: {problem}")
        report(Progress("verify", done, len(files), "files", version.name))
    problems += _of_metrics(workspace, version)
    problems += _of_folder(
        workspace.models / version.model / version.version,
        {path.removeprefix(f"{folder}/"): digest for path, digest in files.items() if path.startswith(f"{folder}/")},
    )
    return VerifiedVersion(version.name, len(files), tuple(problems))


def _problem(kept: DvcObjects, digest: str, known: dict[str, str]) -> str:
    """What is wrong with an object; "" where nothing is."""
    if digest not in known:
        place = str(kept.path(digest)) if kept.path(digest).is_file() else ""
        try:
            whole = kept.md5(digest) == digest
        except MissingObject as error:
            known[digest] = f"missing: {error}"
        except OSError as error:
            known[digest] = f"cannot be read: {error}"
        else:
            remedy = f"delete {place} and `dvc fetch` it" if place else "`dvc push` it again from where it is whole"
            known[digest] = "" if whole else f"damaged in {'the cache' if place else 'the remote'}: {remedy}"
    return known[digest]


def _of_metrics(workspace: Workspace, version: Version) -> list[str]:
    """What is wrong with the metrics in the commit; those of a style's own model are in the registry alone."""
    if version.model != MODEL:
        return []
    path = workspace.evaluation.relative_to(workspace.root).as_posix()
    try:
        metrics = json.loads(read_committed(workspace, version, path))
    except (RuntimeError, ValueError) as error:
        return [f"{path}: missing in the commit or damaged: {error}"]
    return [] if metrics == version.metrics else [f"{path}: the commit and the registry say different things"]


def _of_folder(folder: Path, files: dict[str, str]) -> list[str]:
    """What is wrong with the folder that this machine uses; nothing where there is none."""
    if not folder.is_dir() or not files:
        return []
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    remedy = f"delete {folder}, it is made again"
    problems = [f"{folder / name}: missing: {remedy}" for name in sorted(files.keys() - found.keys())]
    problems += [f"{folder / name}: does not belong there: {remedy}" for name in sorted(found.keys() - files.keys())]
    for name in sorted(files.keys() & found.keys()):
        with found[name].open("rb") as file:
            if hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() != files[name]:
                problems.append(f"{folder / name}: damaged: {remedy}")
    return problems
