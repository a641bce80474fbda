"""Embedded data: `sample://photos` and `sample://paintings`, made from photographs inside installed packages.
"""

from dataclasses import dataclass

SCHEME = "sample://"

@dataclass(frozen=True)
class Crop:
    """One picture of the embedded data."""

    name: str
    group: str
    etag: str

def is_sample(spec: str) -> bool:
    """Whether a source names embedded data."""
    return spec.startswith(SCHEME)
def list_crops(spec: str) -> list[Crop]:
    raise NotImplementedError
def read(name: str, spec: str) -> bytes:
    raise NotImplementedError
