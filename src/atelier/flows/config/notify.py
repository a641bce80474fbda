"""Who is told how a night ended, without the secrets that it takes: params.yaml is in git."""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Kind = Literal["success", "noop", "refused", "awaiting", "failed", "stopped"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLOCK = re.compile(r"[a-z0-9-]+/[a-z0-9-]+")  # as Prefect allows them


@dataclass(frozen=True)
class NotifyConfig:
    """Whom to tell, and of what."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    urls: tuple[str, ...] = field(
        default=(),
        metadata={
            "description": "names of environment variables (TEAM_CHAT) or Prefect blocks (secret/team-chat, "
            "slack-webhook/team) that hold Apprise's or webhook URLs, never the URLs themselves"
        },
    )
    when: tuple[Kind, ...] = field(  # not `on`: YAML 1.1 reads that as true
        default=("refused", "awaiting", "failed", "stopped"),
        metadata={"description": "ends that are told: success, noop, refused, awaiting, failed, stopped"},
    )

    def __post_init__(self) -> None:
        """Refuse what is no name."""
        for place, name in enumerate(self.urls, 1):
            if not _VARIABLE.fullmatch(name) and not _BLOCK.fullmatch(name):
                # the name is not shown: it may be the secret
                raise ValueError(
                    f"entry {place} of notify.urls is no name: write the URL into an environment variable or a Prefect "
                    f"block, and here the variable's name, or the block's as secret/NAME"
                )
