"""Section `retrain` of params.yaml."""

from dataclasses import dataclass

from atelier.models.settings import Settings, setting


@dataclass(frozen=True)
class RetrainConfig(Settings):
    """Retries of a nightly run, and where it pushes its results."""

    retries: int = setting(3, "times that a step is tried again after an error that may be temporary", ge=0, le=20)
    retry_after_s: float = setting(30.0, "seconds before the first retry; the next ones wait twice as long each")
    push: bool = setting(True, "push data and models to DVC's default remote, if there is one")
    git_remote: str = setting("", "git remote that a promoted version is pushed to, like origin; '' for none")
