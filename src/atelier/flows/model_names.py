"""What a person calls a model: a version in a workspace's registry, one that comes with the package, or a folder."""

from dataclasses import dataclass
from pathlib import Path

from atelier.tasks.lineage import ModelIdentity, identify
from atelier.tasks.starters import starter
from atelier.tasks.versions import named, resolve
from atelier.tasks.workspace import Workspace


@dataclass(frozen=True)
class Found:
    """A model's folder, and what it is called."""

    folder: Path
    name: str
    version: str  # "" where it is in no registry

    @property
    def identity(self) -> ModelIdentity:
        """Which model it is; see `lineage.identify`."""
        return identify(self.folder, self.name, self.version)


def find(text: str, workspace: Path | None) -> Found:
    """Find a model.

    Args:
        text: `style-model@STAGE`, `style-model@VERSION`, the same of a style's own model, `starter/NAME`, or the path
            of a folder.
        workspace: where to look for a workspace; None means from the current folder upwards.

    Raises:
        FileNotFoundError, ValueError: one line for a person. That a folder holds a model is not looked at.
    """
    if named(text):
        resolved = resolve(Workspace.find(workspace), text)
        return Found(resolved.path, resolved.model, resolved.version)
    folder = starter(text) or Path(text).expanduser().absolute()
    return Found(folder, folder.name, "")
