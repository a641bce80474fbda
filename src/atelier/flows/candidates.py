"""The models that a comparison names, found before anything is started."""

from pathlib import Path

from atelier.flows.params import Params
from atelier.flows.stylize import locate
from atelier.tasks.comparison import Candidate, find
from atelier.tasks.dataset import read_card
from atelier.tasks.versions import named, resolve
from atelier.tasks.workspace import Workspace


def candidates(workspace: Workspace, names: list[str]) -> list[Candidate]:
    """Find models, so that a wrong name is told at once.

    Args:
        workspace: whose registry, dataset and parameters are used.
        names: `style-model@STAGE`, `style-model@VERSION`, the same of a style's own model, `starter/NAME`, or the path
            of a folder.

    Raises:
        FileNotFoundError, ValueError: one line for a person.
    """

    def called(text: str) -> tuple[str, Path]:
        if named(text):
            found = resolve(workspace, text)
            return f"{found.model}@{found.version}", found.path
        folder = locate(str(Path(text).expanduser()), workspace.root)
        return (text if text.startswith("starter/") else folder.name), folder

    params = Params(workspace.params)
    return find(names, called, params.train.style, read_card(workspace.dataset).domains)
