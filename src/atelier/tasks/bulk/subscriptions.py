"""Subscriptions: archives that are restyled by every version that becomes `prod`.

`DESTINATION/VERSION/` holds what a version made and `DESTINATION/current` leads to that of `prod`. It is switched when
the whole archive is restyled, in one step; pictures that arrive later are added to the version that is there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar

from atelier.models.card import identify
from atelier.models.files import replacing
from atelier.tasks.bulk.stylize import StylizeSummary, stylize
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.registry.resolve import ResolvedModel
from atelier.tasks.runtime.progress import Report
from atelier.tasks.storage.location import is_url
from atelier.tasks.storage.open_destination import open_destination

CURRENT = "current"


@dataclass(frozen=True)
class Subscription:
    """An archive, and where its restyled pictures go."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    source: str = field(metadata={"description": "folder, archive or list, here or at an s3:// URL"})
    destination: str = field(metadata={"description": "folder; each version gets its own below it"})


@dataclass(frozen=True)
class StylizeSection(StylizeConfig):
    """Section `stylize` of params.yaml: how archives are restyled, and which are with every new `prod`."""

    subscriptions: tuple[Subscription, ...] = field(
        default=(),
        metadata={"description": "archives that every new prod restyles, each a source and a destination"},
    )

    @property
    def job(self) -> StylizeConfig:
        """What a bulk job depends on."""
        return StylizeConfig(**{one.name: getattr(self, one.name) for one in fields(StylizeConfig)})


def restyle(
    subscription: Subscription,
    model: ResolvedModel,
    config: StylizeConfig,
    base: Path,
    connect: Callable[[], object],
    report: Report,
) -> StylizeSummary:
    """Restyle an archive with a version, what is done already excepted, and switch `current` to it.

    Args:
        subscription: what and where to.
        model: the version.
        config: how.
        base: the workspace, which relative paths are relative to.
        connect: connects to the cluster, when there is something to do.
        report: told of finished pictures.

    Returns:
        What became of the pictures; `current` is switched only where none is pending.

    Raises:
        FileNotFoundError, ValueError, RuntimeError, OSError: as `stylize`.
    """
    where = subscription.destination.rstrip("/")
    folder = open_destination(where if is_url(where) else (base / where).absolute())
    identity = identify(model.path, model.model, model.version)
    target = (folder / model.version).location
    summary = stylize([subscription.source], target, model.path, config, identity, report, connect=connect, base=base)
    if not summary.pending:
        set_current(folder.location, model.version)
    return summary


def set_current(destination: str, version: str) -> None:
    """Make `current` lead to a version, in one step: a link in a folder, at a URL an object that holds the name.

    Raises:
        FileExistsError: something that is no link is in its place.
    """
    if is_url(destination):
        open_destination(destination).write(CURRENT, f"{version}\n".encode())
        return
    folder = Path(destination)
    link = folder / CURRENT
    if link.is_symlink() and str(link.readlink()) == version:
        return
    if link.exists() and not link.is_symlink():
        raise FileExistsError(f"{link} is no link of ours: move it away")
    with replacing(link) as temporary:
        temporary.symlink_to(version)
