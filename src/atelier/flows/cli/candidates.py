"""The models that `atelier evaluate --models` names."""

from pathlib import Path

from atelier.flows.config.params import Params
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.evaluation.compare import Candidate, find
from atelier.tasks.inference import model_lookup
from atelier.tasks.inference.starter_models import PREFIX
from atelier.tasks.workspace.layout import Workspace


def candidates(workspace: Workspace, names: list[str]) -> list[Candidate]:
    """Find the models before anything starts, so that a wrong name is reported at once.

    Args:
        workspace: whose registry, dataset and parameters are used.
        names: names or folders, as `model_lookup.find_model` reads them.

    Raises:
        FileNotFoundError, ValueError: a name is wrong; the message is one line.
    """

    def called(text: str) -> tuple[str, Path]:
        found = model_lookup.find_model(text, workspace.root)
        if found.version:
            return f"{found.name}@{found.version}", found.folder
        return (text if text.startswith(PREFIX) else found.name), found.folder

    params = Params(workspace.params)
    return find(names, called, params.train.style, read_card(workspace.dataset).domains)
