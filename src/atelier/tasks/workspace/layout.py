"""A workspace: the user's project, apart from the code. Where things are in it, how it begins, who works in it."""

from dataclasses import dataclass
from pathlib import Path

_PRIVATE = ".atelier"
_NIGHT = "night"


@dataclass(frozen=True)
class Workspace:
    """The layout of a workspace."""

    root: Path

    @property
    def main(self) -> "Workspace":
        """The workspace whose night this is; itself where it is none."""
        place = self.root.parent
        return Workspace(place.parent) if (place.name, self.root.name) == (_PRIVATE, _NIGHT) else self

    @property
    def worktree(self) -> "Workspace":
        """Where its nights work: a git worktree with files of its own, and with what is private here."""
        return Workspace(self.main.root / _PRIVATE / _NIGHT)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.main.root.name

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """The workspace that holds a folder: looked for upwards, like git's repository.

        Args:
            start: where to begin; the current folder when None.

        Raises:
            FileNotFoundError: no folder from there upwards is a workspace.
        """
        begin = (start or Path.cwd()).absolute()
        for folder in (begin, *begin.parents):
            if is_workspace(folder):
                return cls(folder)
        raise FileNotFoundError(
            f"{begin} is in no workspace: go into one, name one with --workspace, or make one with `atelier init DIR`"
        )

    @property
    def params(self) -> Path:
        """Every parameter."""
        return self.root / "params.yaml"

    @property
    def formats(self) -> Path:
        """The format version of each step, which DVC sees as parameters."""
        return self.root / "formats.yaml"

    @property
    def dvc_yaml(self) -> Path:
        """The stages and their edges."""
        return self.root / "dvc.yaml"

    @property
    def dvc_lock(self) -> Path:
        """What the stages last ran with."""
        return self.root / "dvc.lock"

    @property
    def sources_lock(self) -> Path:
        """The files that are in the sources."""
        return self.root / "sources.lock"

    @property
    def start_lock(self) -> Path:
        """The version that training starts from."""
        return self.root / "start.lock"

    @property
    def dataset(self) -> Path:
        """The dataset: ingest's output."""
        return self.root / "data" / "dataset"

    @property
    def augmented(self) -> Path:
        """The training set: augment's output."""
        return self.root / "data" / "augmented"

    @property
    def model(self) -> Path:
        """The model that was trained last: train's output. It changes; `versions.resolve` gives one that stays."""
        return self.root / "artifacts" / "style-model"

    def model_folder(self, name: str) -> Path:
        """The folder of a model by its name in the registry; the pipeline's is `model`."""
        return self.root / "artifacts" / name

    @property
    def reports(self) -> Path:
        """Everything for people to read."""
        return self.root / "reports"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.reports / "index.html"

    @property
    def training_logs(self) -> Path:
        """DVCLive's files and TensorBoard's events."""
        return self.reports / "training"

    @property
    def evaluation(self) -> Path:
        """The metrics: evaluate's output."""
        return self.reports / "evaluation.json"

    @property
    def evaluation_pictures(self) -> Path:
        """Plots and pictures of the evaluation."""
        return self.reports / "evaluation"

    def style_reports(self, model: str) -> Path:
        """Logs, metrics and pictures of a style's own model."""
        return self.reports / "styles" / model

    @property
    def comparison(self) -> Path:
        """Models side by side."""
        return self.reports / "comparison"

    @property
    def folds(self) -> Path:
        """What cross-validation found."""
        return self.reports / "folds.json"

    @property
    def stylized(self) -> Path:
        """Restyled pictures; never a DVC output."""
        return self.root / "stylized"

    @property
    def private(self) -> Path:
        """What belongs to this machine alone and git ignores; a night shares it."""
        return self.main.root / _PRIVATE

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of trainings that are not finished."""
        return self.private / "checkpoints"

    @property
    def fold_runs(self) -> Path:
        """Folds that are finished, and the one that is not."""
        return self.private / "folds"

    @property
    def style_runs(self) -> Path:
        """Trainings of styles side by side that are not finished."""
        return self.private / "styles"

    @property
    def evaluation_cache(self) -> Path:
        """Features of real pictures, by dataset."""
        return self.private / "evaluation"

    @property
    def comparison_cache(self) -> Path:
        """Features of real pictures, for the models that were compared last."""
        return self.private / "comparison"

    @property
    def models(self) -> Path:
        """Folders of registered versions, which never change."""
        return self.private / "models"

    @property
    def locks(self) -> Path:
        """Locks of running work."""
        return self.private / "locks"


def is_workspace(folder: Path) -> bool:
    """Whether a folder is the root of a workspace."""
    return (folder / ".dvc").is_dir() and (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file()
