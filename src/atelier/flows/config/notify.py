"""Section `notify` of params.yaml. It names secrets but has none: params.yaml is in git."""

import re
from dataclasses import dataclass
from typing import Literal

from atelier.models.settings import Settings, setting

Kind = Literal["success", "noop", "refused", "awaiting", "failed", "stopped"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLOCK = re.compile(r"[a-z0-9-]+/[a-z0-9-]+")  # the names that Prefect allows


@dataclass(frozen=True)
class NotifyConfig(Settings):
    """Services that get a message, and results that they get it for."""

    urls: tuple[str, ...] = setting(
        (),
        "names of environment variables (TEAM_CHAT) or Prefect blocks (secret/team-chat, "
        "slack-webhook/team) that have Apprise or webhook URLs; never the URLs themselves",
    )
    when: tuple[Kind, ...] = setting(
        ("refused", "awaiting", "failed", "stopped"),
        "results that are sent: success, noop, refused, awaiting, failed, stopped",
    )

    def __post_init__(self) -> None:
        """Refuse entries that are not names."""
        for place, name in enumerate(self.urls, 1):
            if not _VARIABLE.fullmatch(name) and not _BLOCK.fullmatch(name):
                # the name is not shown: it may be the secret
                raise ValueError(
                    f"entry {place} of notify.urls is not a name: put the URL into an environment variable or Prefect "
                    f"block, and here the name of the variable, or of the block as secret/NAME"
                )
