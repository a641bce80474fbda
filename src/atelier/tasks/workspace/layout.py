"""A workspace: the user's project, apart from the code, and the paths of its files."""

from dataclasses import dataclass
from pathlib import Path

_PRIVATE = ".atelier"
_WORKTREE = "night"


@dataclass(frozen=True)
class Workspace:
    """Paths of a workspace."""

    root: Path

    @property
    def main(self) -> "Workspace":
        """The workspace of which this is the worktree; otherwise this workspace itself."""
        place = self.root.parent
        return Workspace(place.parent) if (place.name, self.root.name) == (_PRIVATE, _WORKTREE) else self

    @property
    def worktree(self) -> "Workspace":
        """The git worktree of `atelier retrain`: it has its own files and shares the private folder."""
        return Workspace(self.main.root / _PRIVATE / _WORKTREE)

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.main.root.name

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """The workspace that contains a folder, searched upwards as git does.

        Args:
            start: where to begin; None means the current folder.

        Raises:
            FileNotFoundError: no folder upwards is a workspace.
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
        """All parameters."""
        return self.root / "params.yaml"

    @property
    def formats(self) -> Path:
        """The format version of each step, parameters for DVC."""
        return self.root / "formats.yaml"

    @property
    def dvc_yaml(self) -> Path:
        """The stages and their edges."""
        return self.root / "dvc.yaml"

    @property
    def dvc_lock(self) -> Path:
        """Hashes of the last run of each stage."""
        return self.root / "dvc.lock"

    @property
    def sources_lock(self) -> Path:
        """The files in the sources."""
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
        """The model that was trained last: train's output. `registry.resolve` gives a version that never changes."""
        return self.root / "artifacts" / "style-model"

    def model_folder(self, name: str) -> Path:
        """The folder of a model by its name in the registry; that of the pipeline is `model`."""
        return self.root / "artifacts" / name

    @property
    def reports(self) -> Path:
        """Reports and metrics."""
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
        """Logs, metrics and pictures of one style's model."""
        return self.reports / "styles" / model

    @property
    def comparison(self) -> Path:
        """The comparison of models."""
        return self.reports / "comparison"

    @property
    def folds(self) -> Path:
        """Metrics of cross-validation."""
        return self.reports / "folds.json"

    @property
    def stylized(self) -> Path:
        """Restyled pictures; never a DVC output."""
        return self.root / "stylized"

    @property
    def private(self) -> Path:
        """Files of this machine alone, ignored by git, shared with the worktree."""
        return self.main.root / _PRIVATE

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of unfinished trainings."""
        return self.private / "checkpoints"

    @property
    def fold_runs(self) -> Path:
        """Finished folds of cross-validation, and the unfinished one."""
        return self.private / "folds"

    @property
    def style_runs(self) -> Path:
        """Unfinished trainings of one model a style."""
        return self.private / "styles"

    @property
    def evaluation_cache(self) -> Path:
        """Features of real pictures, by dataset."""
        return self.private / "evaluation"

    @property
    def comparison_cache(self) -> Path:
        """Features of real pictures, for the last comparison."""
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
