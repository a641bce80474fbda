"""Pictures in Prefect's UI, embedded in artifacts, so that a browser needs no access to the workspace."""

import base64
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

MAX_BYTES = 2 * 2**20  # an artifact is a row in Prefect's database


def picture_artifact(key: str, picture: Path, title: str) -> None:
    """Show a PNG picture under `key`, unless it is missing or larger than MAX_BYTES."""
    if not picture.is_file() or picture.stat().st_size > MAX_BYTES:
        return
    data = base64.b64encode(picture.read_bytes()).decode()
    create_markdown_artifact(f"### {title}\n\n![{title}](data:image/png;base64,{data})", key=key, description=title)
