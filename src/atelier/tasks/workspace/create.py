"""Creating a workspace: git, DVC, the pipeline and its parameters."""

import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from atelier.tasks.workspace.format_versions import write_formats
from atelier.tasks.workspace.layout import Workspace, is_workspace
from atelier.tasks.workspace.repository import dvc, git

_IGNORED = """\
# what belongs to this machine or can be made again
/.atelier/
/stylized/
/preview/
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


def init(root: Path, params_yaml: str) -> tuple[Workspace, bool]:
    """Create a workspace with the text of its params.yaml; return it, and whether it is new: an existing one stays.

    Raises:
        FileExistsError: the folder has other files.
        NotADirectoryError: it is a file.
        RuntimeError: git or DVC failed; nothing is left behind.
    """
    root = root.absolute()
    if is_workspace(root):
        return Workspace.open(root), False
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
        draft.dvc_yaml.write_text(files("atelier.tasks.workspace").joinpath("dvc.yaml").read_text())
        draft.params.write_text(params_yaml)
        write_formats(draft)
        git(draft.root, "add", "--all")
        git(draft.root, "commit", "--quiet", "--message", "A workspace for Atelier")
        # DVC stores the path under which it was initialised
        shutil.rmtree(draft.root / ".dvc" / "tmp", ignore_errors=True)
        for entry in sorted(draft.root.iterdir(), key=lambda e: e.name == draft.dvc_yaml.name):
            entry.rename(root / entry.name)  # dvc.yaml last: with it the folder is a workspace
    return Workspace(root), True


def _identify(root: Path) -> None:
    """Give the repository an identity for commits, where the user has none."""
    try:
        git(root, "var", "GIT_COMMITTER_IDENT")
        git(root, "config", "user.email")
    except RuntimeError:
        git(root, "config", "user.name", "Atelier")
        git(root, "config", "user.email", "atelier@localhost")
