"""The request for a bulk job: sources, destination, model and parameters."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from atelier.models.card import ModelIdentity
from atelier.models.controls import Controls
from atelier.tasks.bulk.inputs import ALL_INPUTS, Selection
from atelier.tasks.inference.chain import ARROW, Step, controls_of, scale_of
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
    model: Path  # folder of the first model, readable on every node
    config: StylizeConfig  # with the controls of the first model
    identity: ModelIdentity  # of the first model, see `card.identify`
    base: Path = Path()  # folder of relative sources and style pictures
    selection: Selection = ALL_INPUTS  # which files of the sources are inputs
    rerun: Rerun = Rerun()
    then: tuple[Step, ...] = ()  # models that paint what the first one made, each what the one before it made

    @property
    def steps(self) -> tuple[Step, ...]:
        """The models in the order in which they paint."""
        return Step(self.model, self.identity, self.config), *self.then

    @property
    def scale(self) -> int:
        """Height and width of the outputs relative to those of the inputs.

        Raises:
            FileNotFoundError, ValueError: a model folder is damaged.
        """
        return scale_of(self.steps)

    @property
    def model_name(self) -> str:
        """The models' names, in the order in which they paint."""
        return ARROW.join(step.identity.name for step in self.steps)

    @property
    def version(self) -> str:
        """The versions of those models that are in a registry."""
        return ", ".join(step.identity.version for step in self.steps if step.identity.version)

    def controls(self) -> tuple[Controls, ...]:
        """The controls of each model, with pictures that are read now.

        Raises:
            FileNotFoundError, ValueError: as `controls_of`.
        """
        return controls_of(self.steps, self.base)

    def to_json(self) -> bytes:
        """The request as a job keeps it, without what is of one run alone."""
        then = tuple(replace(step, model=step.model.absolute()) for step in self.then)
        kept = replace(
            self, destination="", model=self.model.absolute(), base=self.base.absolute(), rerun=Rerun(), then=then
        )
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
