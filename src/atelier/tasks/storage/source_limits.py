"""Limits of sources: they are untrusted input."""

from dataclasses import dataclass

from atelier.models.settings import Settings, setting


@dataclass(frozen=True)
class SourceLimits(Settings):
    """Limits of archives and lists."""

    max_members: int = setting(5_000_000, "largest number of files in an archive or list", ge=1)
    max_ratio: float = setting(200.0, "times that an archive may grow when it is unpacked", ge=1)
    free_bytes: int = setting(2**30, "what any archive may unpack to, whatever its ratio", ge=0)
    list_root: str = setting("", "folder or URL that a list's entries lie in; empty: the list's own folder")
    follow_links: tuple[str, ...] = setting((), "folders below which the targets of links may lie, besides the source")
    schemes: tuple[str, ...] = setting((), "schemes of the URLs that a list may name, like s3")


DEFAULT_LIMITS = SourceLimits()
