"""Limits of sources: they are untrusted input."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.settings import setting


@dataclass(frozen=True)
class SourceLimits:
    """Limits of archives and lists."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    max_members: int = setting(5_000_000, "largest number of files in an archive or list", ge=1)
    max_ratio: float = setting(200.0, "times that an archive may grow when it is unpacked", ge=1)
    free_bytes: int = setting(2**30, "what any archive may unpack to, whatever its ratio", ge=0)
    list_root: str = setting("", "folder or URL that a list's entries lie in; empty: the list's own folder")
    schemes: tuple[str, ...] = setting((), "schemes of the URLs that a list may name, like s3")


DEFAULT_LIMITS = SourceLimits()
