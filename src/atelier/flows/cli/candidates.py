"""The models that a comparison names, found before anything is started."""

from pathlib import Path

from atelier.flows.config.params import Params
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.evaluation.compare import Candidate, find
from atelier.tasks.inference import model_lookup
from atelier.tasks.inference.starter_models import PREFIX
from atelier.tasks.workspace.layout import Workspace


def candidates(workspace: Workspace, names: list[str]) -> list[Candidate]:
    """Find models, so that a wrong name is told at once.

    Args:
        workspace: whose registry, dataset and parameters are used.
        names: as `model_names.find` reads them.

    Raises:
        FileNotFoundError, ValueError: one line for a person.
    """

    def called(text: str) -> tuple[str, Path]:
        found = model_lookup.find_model(text, workspace.root)
        if found.version:
            return f"{found.name}@{found.version}", found.folder
        return (text if text.startswith(PREFIX) else found.name), found.folder

    params = Params(workspace.params)
    return find(names, called, params.train.style, read_card(workspace.dataset).domains)
