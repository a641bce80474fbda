"""Artifacts in Prefect's UI: pictures, tables and texts.

An artifact is a row in Prefect's database: pictures are thumbnails in it, so that a browser needs no access to the
workspace, and the text names the file of the whole picture. A server has one artifact of each key, and all workspaces
of a user share the server: so keys name their owner.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from atelier.tasks.images.codec import BadImage, load, thumbnail

_NAME_LENGTH = 40  # characters of an owner's name in a key


def artifact_key(owner: Path | str, name: str) -> str:
    """The key of an artifact, like `my-style-3f2a91-before-after`.

    Args:
        owner: whose it is: the root of a workspace, or the destination of a job.
        name: what it shows.
    """
    which = hashlib.sha256(str(owner).encode()).hexdigest()[:6]
    return "-".join(part for part in (_in_key(Path(owner).name)[:_NAME_LENGTH], which, _in_key(name)) if part)


def picture_artifact(owner: Path | str, name: str, picture: Path, title: str) -> None:
    """Show a thumbnail of a picture, unless it is missing or damaged."""
    try:
        data = base64.b64encode(thumbnail(load(picture))).decode()
    except (OSError, BadImage):
        return
    text = f"### {title}\n\n![{title}](data:image/jpeg;base64,{data})\n\nWhole picture: `{picture}`"
    create_markdown_artifact(text, key=artifact_key(owner, name), description=title)


def table_artifact(owner: Path | str, name: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Show a table, a mapping for each row."""
    create_table_artifact([dict(row) for row in rows], key=artifact_key(owner, name), description=description)


def text_artifact(owner: Path | str, name: str, markdown: str) -> None:
    """Show a text in Markdown."""
    create_markdown_artifact(markdown, key=artifact_key(owner, name))


def _in_key(text: str) -> str:
    """A text in the characters that Prefect takes in keys."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
