"""A workspace: the user's project, apart from the code. Where things are in it, how it begins, who works in it."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from atelier.tasks.processes import die_with_parent, dvc, git

__all__ = ["Workspace", "die_with_parent", "init", "lock"]

_PRIVATE = ".atelier"
_NIGHT = "night"
_IGNORED = """\
# what belongs to this machine or can be made again
/.atelier/
/stylized/
/reports/index.html
/reports/styles/
/reports/comparison/
/reports/datasets/
/reports/models/
"""
_DVC_CONFIG = """\
[core]
    analytics = false
    autostage = false
    check_update = false
"""


@dataclass(frozen=True)
class Workspace:
    """The layout of a workspace."""

    root: Path

    @property
    def home(self) -> "Workspace":
        """The workspace whose night this is; itself where it is none."""
        place = self.root.parent
        return Workspace(place.parent) if (place.name, self.root.name) == (_PRIVATE, _NIGHT) else self

    @property
    def night(self) -> "Workspace":
        """Where its nights work: a git worktree with files of its own, and with what is private here."""
        return Workspace(self.home.root / _PRIVATE / _NIGHT)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.home.root.name

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
            if _is_workspace(folder):
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
        return self.home.root / _PRIVATE

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


def init(root: Path, params_yaml: str) -> tuple[Workspace, bool]:
    """Make a workspace: git, DVC, the pipeline and its parameters; a workspace that is there is left as it is.

    Args:
        root: the folder; it must not exist or be empty, unless it is a workspace already.
        params_yaml: the text of its params.yaml.

    Returns:
        The workspace, and whether it was made by this call.

    Raises:
        FileExistsError: the folder holds something else.
        NotADirectoryError: it is a file.
        RuntimeError: git or DVC failed; nothing is left behind.
    """
    from atelier.tasks.pipeline import write_formats

    root = root.absolute()
    if _is_workspace(root):
        return Workspace(root), False
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"{root} is a file: name a folder for the workspace")
    if root.is_dir() and any(root.iterdir()):
        raise FileExistsError(f"{root} is not empty and is no workspace: name another folder")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as made:
        draft = Workspace(Path(made))
        git(draft.root, "init", "--quiet", "--initial-branch=main")
        _identify(draft.root)
        dvc(draft.root, "init", "--quiet")
        (draft.root / ".dvc" / "config").write_text(_DVC_CONFIG)
        (draft.root / ".gitignore").write_text(_IGNORED)
        draft.dvc_yaml.write_text(files("atelier.tasks").joinpath("template/dvc.yaml").read_text())
        draft.params.write_text(params_yaml)
        write_formats(draft)
        git(draft.root, "add", "--all")
        git(draft.root, "commit", "--quiet", "--message", "A workspace for Atelier")
        # DVC remembers the path that it was initialised under
        shutil.rmtree(draft.root / ".dvc" / "tmp", ignore_errors=True)
        for entry in sorted(draft.root.iterdir(), key=lambda e: e.name == draft.dvc_yaml.name):
            entry.rename(root / entry.name)  # dvc.yaml last: it makes the folder a workspace
    return Workspace(root), True


@contextmanager
def lock(workspace: Workspace, name: str, wait_s: float = 0.0) -> Iterator[None]:
    """Be the only process that does `name` in a workspace; the lock ends with the process, however that ends.

    Args:
        workspace: where.
        name: what is locked: a stage, "pipeline" or "registry".
        wait_s: seconds to wait for another process to finish.

    Raises:
        RuntimeError: another process has it; the message names it.
    """
    workspace.locks.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with (workspace.locks / f"{name}.lock").open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise RuntimeError(
                    f"{name} is already running in {workspace.root} (process {holder}): wait for it, or stop it"
                ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _is_workspace(folder: Path) -> bool:
    return (folder / ".dvc").is_dir() and (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file()


def _identify(root: Path) -> None:
    """Give the repository an identity to commit with, where the user has none."""
    try:
        git(root, "var", "GIT_COMMITTER_IDENT")
        git(root, "config", "user.email")
    except RuntimeError:
        git(root, "config", "user.name", "Atelier")
        git(root, "config", "user.email", "atelier@localhost")
