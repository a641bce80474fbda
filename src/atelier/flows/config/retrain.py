"""The parameters of a night."""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class RetrainConfig:
    """What a night does about what may pass, and where it takes what it made."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    retries: int = field(
        default=3, metadata={"description": "times that what failed and may pass is tried again", "ge": 0, "le": 20}
    )
    retry_after_s: float = field(
        default=30.0, metadata={"description": "seconds before the first of them; each next one waits twice as long"}
    )
    push: bool = field(
        default=True, metadata={"description": "push data and models to DVC's default remote, where there is one"}
    )
    git_remote: str = field(
        default="", metadata={"description": "git remote that a promoted version is pushed to, like origin; none: ''"}
    )
