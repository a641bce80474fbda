"""Finding a model by name: a version in a workspace's registry, a starter model of the package, or a folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from atelier.models.card import ModelIdentity, identify
from atelier.tasks.evaluation.metric_catalogue import Metrics
from atelier.tasks.registry.resolve import find_version, resolve
from atelier.tasks.registry.starter_models import find_starter
from atelier.tasks.registry.tags import MODEL, PROD, VERSION, parse_name
from atelier.tasks.workspace.layout import Workspace

_OTHERS = "a model of the package like starter/paintings, or a model folder"


@dataclass(frozen=True)
class FoundModel:
    """A model's folder and name."""

    folder: Path
    name: str
    version: str  # "" for a model that is in no registry

    @cached_property
    def identity(self) -> ModelIdentity:
        """Identity of the model, see `card.identify`."""
        return identify(self.folder, self.name, self.version)

    @property
    def label(self) -> str:
        """Name and version: style-model@v1.2.0."""
        return f"{self.name}@{self.version}" if self.version else self.name

    def metrics(self, workspace: Path | None) -> Metrics:
        """Its metrics in the registry of a workspace; empty for a model that is in no registry."""
        return find_version(Workspace.find(workspace), self.label).metrics if self.version else {}


def find_model(text: str, workspace: Path | None) -> FoundModel:
    """Find a model.

    Args:
        text: `style-model@STAGE`, `style-model@VERSION`, the same of a style's own model, `starter/NAME`, or the path
            of a folder.
        workspace: folder of the workspace; None searches from the current folder upwards.

    Raises:
        FileNotFoundError, ValueError: there is no such model. A folder's content is not checked.
    """
    if parse_name(text):
        try:
            home = Workspace.find(workspace)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{text} is a model of a workspace, and {(workspace or Path.cwd()).absolute()} is in none: go into "
                "one, name one with --workspace, or use --model starter/paintings, which comes with Atelier"
            ) from error
        resolved = resolve(home, text)
        return FoundModel(resolved.path, resolved.model, resolved.version)
    folder = find_starter(text) or Path(text).expanduser().absolute()
    if not folder.is_dir():
        is_version = text == PROD or VERSION.match(text)
        do = f"do you mean {MODEL}@{text}?" if is_version else f"name a version like {MODEL}@prod, {_OTHERS}"
        raise FileNotFoundError(f"there is no model {text!r} (no folder {folder}): {do}")
    return FoundModel(folder, folder.name, "")
