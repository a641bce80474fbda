"""The request for a bulk job: sources, destination, model and parameters."""

from dataclasses import dataclass
from pathlib import Path

from atelier.models.card import ModelIdentity
from atelier.tasks.bulk.inputs import ALL_INPUTS, Selection
from atelier.tasks.inference.config import StylizeConfig


@dataclass(frozen=True)
class Rerun:
    """What a run does with the results of earlier runs, and when it fails."""

    retry_quarantined: bool = False  # process quarantined inputs again
    max_quarantine: str = ""  # a count like "100", a share like "0.05" or "5%"; "" never fails
    # remove the outputs of a job with another model or other parameters, and start this job in its place
    replace: bool = False


@dataclass(frozen=True)
class StylizeRequest:
    """A bulk job: which pictures are stylized, by which model, and where the outputs go."""

    # folders, archives, lists or samples, as `open_source.list_files` reads them; with several, outputs lie below the
    # name of their source
    sources: tuple[str, ...]
    destination: str | Path  # a new or empty folder or URL, or one that holds this job
    model: Path  # the model folder, readable on every node
    config: StylizeConfig
    identity: ModelIdentity  # of the model, see `card.identify`
    base: Path = Path()  # folder of relative sources and style pictures
    selection: Selection = ALL_INPUTS  # which files of the sources are inputs
    rerun: Rerun = Rerun()
