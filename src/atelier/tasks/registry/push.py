"""Versions for other machines: all that they name, copied to the remote.

`dvc push --all-tags` does not do: it asks each commit for its remote, and one from before there was any has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from atelier.tasks.registry.dvc_objects import Lost, Objects, outputs
from atelier.tasks.registry.tags import Version
from atelier.tasks.workspace.layout import Workspace


@dataclass(frozen=True)
class Pushed:
    """What became of a version."""

    version: str  # as style-model@v1.2.0
    copied: int  # files that the remote did not have
    missing: tuple[str, ...]  # outputs that are not on this machine

    @property
    def story(self) -> str:
        """The same for a person."""
        missing = f"; not on this machine: {', '.join(self.missing)}" if self.missing else ""
        return f"{self.version}: {self.copied} files copied{missing}"


def push(workspace: Workspace, kept: Objects, versions: Sequence[Version]) -> list[Pushed]:
    """Copy versions to the remote: models, and what they were made from.

    Raises:
        ValueError: there is no remote.
        RuntimeError: something could not be copied.
    """
    found = []
    for version in versions:
        copied, missing = 0, []
        for path, digest in outputs(workspace, version).items():
            try:
                copied += kept.push(digest)
            except Lost:
                missing.append(path)
        found.append(Pushed(version.name, copied, tuple(missing)))
    return found
