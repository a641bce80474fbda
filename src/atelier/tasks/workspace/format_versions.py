"""Format version of each step: raised with a change of the code that changes its output. A DVC parameter."""

from atelier.tasks.runtime.files import write
from atelier.tasks.workspace.layout import Workspace

INGEST, AUGMENT, TRAIN, EVALUATE = 3, 2, 7, 7


def formats_text() -> str:
    """The text of formats.yaml."""
    versions = {"ingest": INGEST, "augment": AUGMENT, "train": TRAIN, "evaluate": EVALUATE}
    lines = ["# Format version of each step: raised with a change of the code that changes its output."]
    return "\n".join([*lines, *(f"{stage}: {version}" for stage, version in versions.items())]) + "\n"


def write_formats(workspace: Workspace) -> None:
    """Write formats.yaml, where its text differs."""
    text = formats_text()
    if not workspace.formats.is_file() or workspace.formats.read_text() != text:
        write(workspace.formats, text.encode())
