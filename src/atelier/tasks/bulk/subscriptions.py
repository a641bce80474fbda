"""Subscriptions: archives that are restyled by every version that becomes `prod`.

`DESTINATION/VERSION/` holds the outputs of a version. `DESTINATION/current` points to the version of `prod`; it is
switched in one step when the whole archive is restyled. Pictures that arrive later are added to the current version.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

from atelier.models.files import replacing
from atelier.models.settings import Settings, setting
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import StylizeSummary, stylize
from atelier.tasks.inference.chain import Step, find_chain
from atelier.tasks.inference.config import ChainStep, StylizeConfig
from atelier.tasks.inference.controls import with_absolute_paths
from atelier.tasks.inference.model_lookup import FoundModel, find_model
from atelier.tasks.registry.resolve import ResolvedModel
from atelier.tasks.registry.tags import PROD
from atelier.tasks.runtime.progress import Report
from atelier.tasks.storage.location import is_url
from atelier.tasks.storage.open_destination import open_destination

CURRENT = "current"


@dataclass(frozen=True)
class Subscription(Settings):
    """An archive and the folder of its outputs."""

    source: str = field(metadata={"description": "folder, archive or list, here or at an s3:// URL"})
    destination: str = field(metadata={"description": "folder; each version gets its own below it"})


@dataclass(frozen=True)
class StylizeSection(StylizeConfig):
    """Section `stylize` of params.yaml: parameters of bulk jobs, and the subscriptions."""

    subscriptions: tuple[Subscription, ...] = setting(
        (), "archives that every new prod restyles, each a source and a destination"
    )

    @property
    def job(self) -> StylizeConfig:
        """The parameters of a bulk job."""
        return StylizeConfig(**{one.name: getattr(self, one.name) for one in fields(StylizeConfig)})


def restyle(
    subscription: Subscription,
    model: ResolvedModel,
    config: StylizeConfig,
    base: Path,
    connect: Callable[[], object],
    report: Report,
) -> StylizeSummary:
    """Restyle the unfinished pictures of an archive with a version, and switch `current` to it.

    Args:
        subscription: archive and folder of the outputs.
        model: the version.
        config: parameters.
        base: the workspace, folder of relative paths.
        connect: connects to the cluster; called only when there is work.
        report: receives the progress, in images.

    Returns:
        The counts; `current` is switched only if no input is pending.

    Raises:
        FileNotFoundError, ValueError, RuntimeError, OSError: as `stylize`.
    """
    where = subscription.destination.rstrip("/")
    folder = open_destination(where if is_url(where) else (base / where).absolute())
    target = (folder / model.version).location
    config, found, then = _chain(config, model, base)
    first = found[0]
    request = StylizeRequest((subscription.source,), target, first.folder, config, first.identity, base, then=then)
    summary = stylize(request, report, connect=connect)
    if not summary.pending:
        set_current(folder.location, model.version)
    return summary


def _chain(
    config: StylizeConfig, model: ResolvedModel, base: Path
) -> tuple[StylizeConfig, tuple[FoundModel, ...], tuple[Step, ...]]:
    """The chain of a config with this version as its `prod`, see `find_chain`.

    Raises:
        ValueError: the chain has no `prod`.
    """
    prod = f"{model.model}@{PROD}"
    chain = with_absolute_paths(config, base).chain or (ChainStep(model=prod),)
    if all(step.model != prod for step in chain):
        raise ValueError(f"stylize.chain has no {prod}, with which subscriptions are restyled: add it")

    def find(name: str, workspace: Path | None) -> FoundModel:
        is_prod = name == prod
        return FoundModel(model.path, model.model, model.version) if is_prod else find_model(name, workspace)

    return find_chain(chain, config, base, find)


def set_current(destination: str, version: str) -> None:
    """Point `current` to a version, in one step: a symbolic link in a folder, an object with the name at a URL.

    Raises:
        FileExistsError: `current` is a file or folder.
    """
    if is_url(destination):
        open_destination(destination).write(CURRENT, f"{version}\n".encode())
        return
    folder = Path(destination)
    link = folder / CURRENT
    if link.is_symlink() and str(link.readlink()) == version:
        return
    if link.exists() and not link.is_symlink():
        raise FileExistsError(f"{link} is not a link of atelier: move it away")
    with replacing(link) as temporary:
        temporary.symlink_to(version)
