"""Verification of versions: every file that a version's commit names is read and hashed again."""

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
    """Result for one version."""

    version: str  # as style-model@v1.2.0
    files: int  # number of files that its commit names
    problems: tuple[str, ...]  # missing or damaged files, with the remedy

    @property
    def whole(self) -> bool:
        """Whether nothing is missing or damaged."""
        return not self.problems

    @property
    def summary(self) -> str:
        """The result in a few lines."""
        head = f"{self.version}: {self.files} files, " + ("all whole" if self.whole else f"{len(self.problems)} not")
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])


def verify_versions(
    workspace: Workspace, objects: DvcObjects, versions: Sequence[Version], report: Report = silent
) -> list[VerifiedVersion]:
    """Read every file of versions, in DVC's cache or remote and in the folders of this machine; shared files once.

    Args:
        workspace: with the registry.
        objects: its DVC objects; objects that are not in the cache are read from the remote.
        versions: to verify.
        report: receives the number of files read.
    """
    known: dict[str, str] = {}
    return [_verify(workspace, objects, version, known, report) for version in versions]


def _verify(
    workspace: Workspace, objects: DvcObjects, version: Version, known: dict[str, str], report: Report
) -> VerifiedVersion:
    problems: list[str] = []
    files: dict[str, str] = {}  # by path
    try:
        named = tracked_outputs(workspace, version)
    except (RuntimeError, KeyError, IndexError, TypeError) as error:
        return VerifiedVersion(version.name, 0, (f"its commit does not name its files: {error}",))
    folder = workspace.model_folder(version.model).relative_to(workspace.root).as_posix()
    if version.bytes != named.get(folder):
        problems.append(f"{folder}: the registry has {version.bytes}, the commit {named.get(folder)}")
    for path, digest in named.items():
        files[path] = digest
        if is_folder(digest) and not _problem(objects, digest, known):
            files |= {f"{path}/{name}": one for name, one in objects.files(digest).items()}
    for done, (path, digest) in enumerate(files.items(), 1):
        if problem := _problem(objects, digest, known):
            problems.append(f"{path}: {problem}")
        report(Progress("verify", done, len(files), "files", version.name))
    problems += _metrics_problems(workspace, version)
    problems += _folder_problems(
        workspace.models / version.model / version.version,
        {path.removeprefix(f"{folder}/"): digest for path, digest in files.items() if path.startswith(f"{folder}/")},
    )
    return VerifiedVersion(version.name, len(files), tuple(problems))


def _problem(objects: DvcObjects, digest: str, known: dict[str, str]) -> str:
    """The problem of an object, "" if it is whole."""
    if digest not in known:
        place = str(objects.path(digest)) if objects.path(digest).is_file() else ""
        try:
            whole = objects.md5(digest) == digest
        except MissingObject as error:
            known[digest] = f"missing: {error}"
        except OSError as error:
            known[digest] = f"cannot be read: {error}"
        else:
            remedy = f"delete {place} and `dvc fetch` it" if place else "`dvc push` it again from where it is whole"
            known[digest] = "" if whole else f"damaged in {'the cache' if place else 'the remote'}: {remedy}"
    return known[digest]


def _metrics_problems(workspace: Workspace, version: Version) -> list[str]:
    """Problems of the metrics in the commit; those of a style's own model are in the registry only."""
    if version.model != MODEL:
        return []
    path = workspace.evaluation.relative_to(workspace.root).as_posix()
    try:
        metrics = json.loads(read_committed(workspace, version, path))
    except (RuntimeError, ValueError) as error:
        return [f"{path}: missing in the commit or damaged: {error}"]
    return [] if metrics == version.metrics else [f"{path}: the commit and the registry differ"]


def _folder_problems(folder: Path, files: dict[str, str]) -> list[str]:
    """Problems of the folder that this machine uses, if there is one."""
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
