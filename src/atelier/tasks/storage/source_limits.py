"""Limits of sources: they are untrusted input."""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class SourceLimits:
    """Limits of archives and lists."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    max_members: int = field(
        default=5_000_000, metadata={"description": "largest number of files in an archive or list", "ge": 1}
    )
    max_ratio: float = field(
        default=200.0, metadata={"description": "times that an archive may grow when it is unpacked", "ge": 1}
    )
    free_bytes: int = field(
        default=2**30, metadata={"description": "what any archive may unpack to, whatever its ratio", "ge": 0}
    )
    list_root: str = field(
        default="", metadata={"description": "folder or URL that a list's entries lie in; empty: the list's own folder"}
    )
    schemes: tuple[str, ...] = field(
        default=(), metadata={"description": "schemes of the URLs that a list may name, like s3"}
    )


DEFAULT_LIMITS = SourceLimits()
