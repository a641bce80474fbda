"""Links in a workspace: what Atelier writes and deletes must lie below the workspace's root.

A clone brings links along. With `reports` a link to a home folder, a report would be written there, and files deleted.
The root itself may be reached over a link. Links to objects of DVC's cache, which DVC makes with `cache.type symlink`,
lead to files that are never written in place. Hard links are not looked for: git does not carry them.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FILES = (
    "params.yaml",
    "formats.yaml",
    "dvc.yaml",
    "dvc.lock",
    "sources.lock",
    "start.lock",
    ".gitignore",
    ".dvcignore",
)
FOLDERS = (".git", ".dvc", ".atelier", "data", "artifacts", "reports", "stylized")  # that Atelier or DVC write into
WORKTREE = ".atelier/night"  # a workspace of its own, with links of the user's own
_SHALLOW = (".git", ".dvc/cache", "stylized")  # only their direct content: they are large
_OBJECT = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?$")


def check_links(root: Path) -> None:
    """Check that no owned path of a workspace, and of its worktree, is a link that leads out of the root.

    Raises:
        ValueError: one does; the message names it and where it leads.
    """
    top = root.resolve()
    for place in (root, root / WORKTREE):
        for path in _links(place):
            target = path.resolve()
            if not target.is_relative_to(top) and not (_OBJECT.search(target.as_posix()) and target.is_file()):
                raise ValueError(
                    f"{path} is a link to {target}, outside of the workspace, where Atelier would write and delete: "
                    "remove it (for a large cache: `dvc cache dir --local PATH`; for outputs: an absolute destination)"
                )


def _links(root: Path) -> Iterator[Path]:
    """Links among the owned paths of a workspace, at any depth."""
    for name in FILES:
        if (root / name).is_symlink():
            yield root / name
    folders = [name for name in FOLDERS if os.path.lexists(root / name)] if root.is_dir() else []
    while folders:
        name = folders.pop()
        if (root / name).is_symlink():
            yield root / name
        elif (root / name).is_dir():
            with suppress(FileNotFoundError), os.scandir(root / name) as children:  # another process may remove it
                for child in children:
                    below = f"{name}/{child.name}"
                    if child.is_symlink():
                        yield root / below
                    elif child.is_dir() and name not in _SHALLOW and below != WORKTREE:
                        folders.append(below)
