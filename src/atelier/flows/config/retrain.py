"""Section `retrain` of params.yaml."""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class RetrainConfig:
    """Retries of a nightly run, and where it pushes its results."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    retries: int = field(
        default=3,
        metadata={
            "description": "times that a step is tried again after an error that may be temporary",
            "ge": 0,
            "le": 20,
        },
    )
    retry_after_s: float = field(
        default=30.0, metadata={"description": "seconds before the first retry; the next ones wait twice as long each"}
    )
    push: bool = field(
        default=True, metadata={"description": "push data and models to DVC's default remote, if there is one"}
    )
    git_remote: str = field(
        default="",
        metadata={"description": "git remote that a promoted version is pushed to, like origin; '' for none"},
    )
