"""The request for a bulk job: sources, destination, model and parameters."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from atelier.models.card import ModelIdentity
from atelier.tasks.bulk.inputs import ALL_INPUTS, Selection
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.storage.open_destination import open_destination

REQUEST = "request.json"  # in the folder of a job


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

    def to_json(self) -> bytes:
        """The request as a job keeps it, without what is of one run alone."""
        kept = replace(self, destination="", model=self.model.absolute(), base=self.base.absolute(), rerun=Rerun())
        return TypeAdapter(StylizeRequest).dump_json(kept, indent=1) + b"\n"

    @classmethod
    def from_json(cls, text: bytes, destination: str | Path) -> "StylizeRequest":
        """The request that `to_json` wrote, of a job at a destination.

        Raises:
            ValueError: it is damaged.
        """
        try:
            found = TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(
                f"the request of the job in {destination} is damaged: {first['loc']}: {first['msg']}"
            ) from error
        return replace(found, destination=destination)


def read_request(location: str) -> StylizeRequest:
    """How the last run of the job at a destination was asked for.

    Raises:
        FileNotFoundError: there is no job, or one of a version that kept no request.
        ValueError: it is damaged.
    """
    destination = open_destination(location)
    try:
        text = (destination / RESERVED).read(REQUEST)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{destination} has no job that can be begun again: use `atelier stylize` as it was begun"
        ) from error
    return StylizeRequest.from_json(text, destination.location)
