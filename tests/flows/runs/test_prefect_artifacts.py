"""Artifacts: their keys, and the size of their pictures."""

from pathlib import Path

import numpy as np

from atelier.flows.runs.prefect_artifacts import artifact_key
from atelier.tasks.images.codec import MAX_THUMBNAIL_BYTES, decode, thumbnail


def test_workspaces_of_one_name_share_no_key() -> None:
    keys = {artifact_key(Path(f"/{home}/My Style"), "before-after") for home in ("ada", "bob")}
    assert len(keys) == 2
    assert all(key.startswith("my-style-") and key.endswith("-before-after") for key in keys)
    assert artifact_key("s3://bucket/päinted/", "style_1 grid").endswith("-style-1-grid")
    assert artifact_key("/", "night").isascii()


def test_a_thumbnail_is_small_however_rich_the_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    assert len(data := thumbnail(noise)) <= MAX_THUMBNAIL_BYTES
    assert decode(data).shape[1] > 200
    plain = np.full((30, 40, 3), 200, np.uint8)
    assert decode(thumbnail(plain)).shape == plain.shape, "small pictures stay as they are"
