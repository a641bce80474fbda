"""The command `dvc`, with a check that DVC itself lacks: the files of a folder stay in the folder.

DVC writes the files of a tracked folder under the names that a list in its cache gives. In a copied workspace, or from
the remote of a clone, such a name may be `../../.bashrc`.
"""

import functools
import sys
from typing import Any


@functools.cache
def refuse_names_outside() -> None:
    """Make DVC refuse lists of files with such names, in this process."""
    from dvc_data.hashfile.tree import Tree

    add = Tree.add

    def checked(tree: Any, key: tuple[str, ...], meta: Any, oid: Any) -> None:
        if {"", ".", ".."}.intersection(key) or "\0" in "".join(key) or "/" in str(oid and oid.value):
            raise ValueError(f"a list of files in DVC's cache or remote has the name {'/'.join(key)!r}: refused")
        add(tree, key, meta, oid)

    Tree.add = checked


if __name__ == "__main__":
    refuse_names_outside()
    from dvc.cli import main

    sys.exit(main())
