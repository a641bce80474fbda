"""Screening: reads, decodes, checks and shrinks one picture, and finds copies."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import cv2
import imagehash
import numpy as np
import pyarrow as pa
from PIL import Image

from atelier.models.settings import Settings, setting, setting_of
from atelier.tasks.images import codec
from atelier.tasks.images.codec import BadImage, ImageLimits, Pixels
from atelier.tasks.storage import open_source
from atelier.tasks.storage.entry import Entry

UNREADABLE, SMALL, FLAT, DUPLICATE, NEAR = "unreadable", "too small", "flat", "duplicate", "near-duplicate"


@dataclass(frozen=True)
class Prepared:
    """One picture after screening, in the form in which it may enter the dataset."""

    SCHEMA: ClassVar[pa.Schema] = pa.schema(
        [
            *((name, pa.string()) for name in ("state", "reason", "id")),
            *(("hash", pa.uint64()), ("png", pa.binary())),
            *((name, pa.int32()) for name in ("width", "height")),
        ]
    )

    state: str  # "" where it may enter the dataset, else why not
    reason: str = ""
    id: str = ""  # sha256 of the file's bytes, "" where it is unreadable
    hash: int = 0  # perceptual
    png: bytes = b""
    width: int = 0  # pixels
    height: int = 0


@dataclass(frozen=True)
class ScreenConfig(Settings):
    """Which pictures enter the dataset, and in what form."""

    size_px: int = setting(160, "larger pictures are shrunk until their short side has so many pixels", ge=8)
    min_px: int = setting(64, "pictures with a shorter short side stay out, in pixels", ge=1)
    flat_std: float = setting(
        2.0, "pictures whose luminance deviates less stay out, in 8-bit steps; 0 keeps all", ge=0, le=128
    )
    near_duplicate_bits: int = setting(
        2,
        "pictures whose 64-bit perceptual hash differs from an earlier one's in at most so many "
        "bits stay out; 0 keeps all but exact copies",
        ge=0,
        le=32,
    )
    denoise: float = setting(
        0.0,
        "strength of non-local means (Buades et al. 2005) after shrinking, in 8-bit steps; 0 is off, 3 is mild",
        ge=0,
        le=30,
    )
    limits: ImageLimits = setting_of(ImageLimits, "what one file may cost before it is refused")


def prepare(entry: Entry, config: ScreenConfig) -> Prepared:
    """Read, decode, screen and shrink one picture. Never raises for what is wrong with the picture."""
    try:
        data = open_source.read(entry, config.limits.max_bytes)
        picture = codec.decode(data, config.limits)
    except BadImage as error:
        return Prepared(UNREADABLE, str(error))
    id = hashlib.sha256(data).hexdigest()
    height, width = picture.shape[:2]
    if min(width, height) < config.min_px:
        return Prepared(SMALL, f"{width} × {height} pixels", id)
    picture = _shrink(picture, config.size_px)
    deviation = float(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).std())
    if deviation < config.flat_std:
        return Prepared(FLAT, f"luminance deviates by {deviation:.1f} of 255", id)
    if config.denoise:
        picture = cv2.fastNlMeansDenoisingColored(picture, None, config.denoise, config.denoise)
    height, width = picture.shape[:2]
    return Prepared("", "", id, perceptual_hash(picture), codec.encode(picture, "png"), width, height)


def perceptual_hash(picture: Pixels) -> int:
    """64 bits of which similar pictures share most: the low frequencies against their median (imagehash's pHash)."""
    return int(str(imagehash.phash(Image.fromarray(picture))), 16)


class DuplicateIndex:
    """An index of the pictures of a domain, to find copies and near-copies of them."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.ids: list[str] = []  # in order of arrival
        self._id_set: set[str] = set()
        self.hashes = np.zeros(1024, np.uint64)

    def add(self, id: str, hash: int) -> None:
        """Add a picture of the dataset."""
        if len(self.ids) == len(self.hashes):
            self.hashes = np.concatenate([self.hashes, np.zeros_like(self.hashes)])
        self.hashes[len(self.ids)] = hash
        self.ids.append(id)
        self._id_set.add(id)

    def __contains__(self, id: str) -> bool:
        """Whether a picture of that id is in the dataset."""
        return id in self._id_set

    def copy_of(self, id: str, hash: int) -> tuple[str, str]:
        """`DUPLICATE`, `NEAR` or "" for a picture that is no copy, and the id of the earlier one."""
        if id in self._id_set:
            return DUPLICATE, id
        if self.bits and self.ids:
            # compared with all earlier hashes at once: 10^5 pictures take seconds in all, so no search tree is needed
            distances = np.bitwise_count(self.hashes[: len(self.ids)] ^ np.uint64(hash))
            nearest = int(distances.argmin())
            if distances[nearest] <= self.bits:
                return NEAR, self.ids[nearest]
        return "", ""


def _shrink(picture: Pixels, short_side: int) -> Pixels:
    return codec.scaled(picture, min(1.0, short_side / min(picture.shape[:2])))
