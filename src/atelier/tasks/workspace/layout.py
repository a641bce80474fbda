"""A workspace: the user's project, apart from the code, and the paths of its files."""

from dataclasses import dataclass
from pathlib import Path

from atelier.tasks.workspace.links import check_links

_PRIVATE = ".atelier"
_WORKTREE = "night"


class _Below:
    """A path below the root of a workspace; a shared one is the same in its worktree."""

    def __init__(self, path: str, *, shared: bool = False) -> None:
        self.path, self.shared = path, shared

    def __get__(self, workspace: "Workspace", owner: type["Workspace"]) -> Path:
        return (workspace.main if self.shared else workspace).root / self.path


@dataclass(frozen=True)
class Workspace:
    """Paths of a workspace."""

    root: Path

    params = _Below("params.yaml")  # all parameters
    formats = _Below("formats.yaml")  # the format version of each step, parameters for DVC
    dvc_yaml = _Below("dvc.yaml")  # the stages and their edges
    dvc_lock = _Below("dvc.lock")  # hashes of the last run of each stage
    sources_lock = _Below("sources.lock")  # the files in the sources
    start_lock = _Below("start.lock")  # the version that training starts from
    dataset = _Below("data/dataset")  # ingest's output
    augmented = _Below("data/augmented")  # the training set: augment's output
    # the model that was trained last: train's output. `registry.resolve` gives a version that never changes
    model = _Below("artifacts/style-model")
    reports = _Below("reports")  # reports and metrics
    report = _Below("reports/index.html")
    training_logs = _Below("reports/training")  # DVCLive's files and TensorBoard's events
    evaluation = _Below("reports/evaluation.json")  # the metrics: evaluate's output
    evaluation_pictures = _Below("reports/evaluation")  # plots and pictures of the evaluation
    comparison = _Below("reports/comparison")  # the comparison of models
    preference = _Below("reports/preference")  # the last sheet of blind pairs, and its key
    folds = _Below("reports/folds.json")  # metrics of cross-validation
    stylized = _Below("stylized")  # restyled pictures; never a DVC output

    private = _Below(_PRIVATE, shared=True)  # files of this machine alone, ignored by git
    checkpoints = _Below(f"{_PRIVATE}/checkpoints", shared=True)  # of unfinished trainings
    fold_runs = _Below(f"{_PRIVATE}/folds", shared=True)  # finished folds of cross-validation, and the unfinished one
    style_runs = _Below(f"{_PRIVATE}/styles", shared=True)  # unfinished trainings of one model a style
    evaluation_cache = _Below(f"{_PRIVATE}/evaluation", shared=True)  # features of real pictures, by dataset
    comparison_cache = _Below(f"{_PRIVATE}/comparison", shared=True)  # the same, for the last comparison
    models = _Below(f"{_PRIVATE}/models", shared=True)  # folders of registered versions, which never change
    logs = _Below(f"{_PRIVATE}/logs", shared=True)  # what libraries wrote during commands, see `flows.runs.logs`
    locks = _Below(f"{_PRIVATE}/locks", shared=True)  # locks of running work

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
    def open(cls, root: Path) -> "Workspace":
        """The workspace with this root. Raises ValueError where a link leads out of it, see `links.check_links`."""
        workspace = cls(root)
        check_links(workspace.main.root)
        return workspace

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """The workspace that contains a folder (None: the current one), searched upwards as git does.

        Raises:
            FileNotFoundError: no folder upwards is a workspace.
            ValueError: a link in it leads out of it, where Atelier would write.
        """
        begin = (start or Path.cwd()).absolute()
        for folder in (begin, *begin.parents):
            if is_workspace(folder):
                return cls.open(folder)
        raise FileNotFoundError(
            f"{begin} is in no workspace: go into one, name one with --workspace, or make one with `atelier init DIR`"
        )

    @classmethod
    def find_or_none(cls, start: Path | None = None) -> "Workspace | None":
        """As `find`; None where nobody named a folder and the current one is in no workspace."""
        try:
            return cls.find(start)
        except FileNotFoundError:
            if start is not None:
                raise
            return None

    def model_folder(self, name: str) -> Path:
        """The folder of a model by its name in the registry; that of the pipeline is `model`."""
        return self.root / "artifacts" / name

    def style_reports(self, model: str) -> Path:
        """Logs, metrics and pictures of one style's model."""
        return self.reports / "styles" / model


def is_workspace(folder: Path) -> bool:
    """Whether a folder is the root of a workspace."""
    return (folder / ".dvc").is_dir() and (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file()
