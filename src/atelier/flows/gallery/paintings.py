"""Held-out and canary pictures, as photographs and as versions of a model paint them: small JPEG files for pages."""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from atelier.flows.config.params import Params
from atelier.models.card import ModelCard
from atelier.tasks.dataset.shards import CARD, read_card
from atelier.tasks.dataset.subsets import held_out_pictures
from atelier.tasks.evaluation.canaries import canaries
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.registry.resolve import resolve
from atelier.tasks.registry.tags import Version
from atelier.tasks.workspace.layout import Workspace

LONGEST_PX = 640  # of a picture
QUALITY = 92
MOST_PAINTED = 1000  # JPEG files that are kept in memory
MOST_MODELS = 3


@dataclass(frozen=True)
class PictureSet:
    """The pictures on which versions are looked at; each by a key, the beginning of its file's sha256."""

    canaries: Mapping[str, str]  # names by key
    held_out: Mapping[str, str]
    data: Mapping[str, bytes]  # the encoded pictures by key


class Paintings:
    """What versions of a workspace paint; each picture is painted once, when it is first asked for."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._lock = threading.Lock()  # one picture at a time: PyTorch uses all processors for it
        self._painter: Callable[[Path], Callable[[Pixels], Pixels]] = lru_cache(MOST_MODELS)(_painter)
        self._painted: Callable[[Path, bytes], bytes] = lru_cache(MOST_PAINTED)(self._paint)
        self._pictures: Callable[..., PictureSet] = lru_cache(2)(_pictures)

    def pictures(self, version: Version) -> PictureSet:
        """The canaries and the held-out pictures of the dataset that a version was trained on, or of the present one.

        Raises:
            FileNotFoundError, ValueError: there is no dataset, or a canary picture cannot be read.
            RuntimeError: the bytes of the version are missing.
        """
        places = (self.workspace, self.workspace.worktree)
        cards = {read_card(at.dataset).id: at for at in reversed(places) if (at.dataset / CARD).is_file()}
        at = cards.get(version.dataset, self.workspace)
        card = ModelCard.read(resolve(self.workspace, version.name).path)
        content = card.content_domain or Params(self.workspace.params).train.content
        with self._lock:
            return self._pictures(self.workspace, at.dataset, read_card(at.dataset).id, content)

    def photograph(self, pictures: PictureSet, key: str) -> bytes:
        """JPEG of a picture. Raises KeyError where there is none with this key."""
        return _jpeg(_small(pictures.data[key]))

    def painted(self, version: Version, pictures: PictureSet, key: str) -> bytes:
        """JPEG of a picture by a version.

        Raises:
            KeyError: there is no such picture.
            ValueError, RuntimeError: the model is damaged, paints no pictures, or its bytes are missing.
        """
        data, folder = pictures.data[key], resolve(self.workspace, version.name).path
        with self._lock:
            return self._painted(folder, data)

    def _paint(self, folder: Path, data: bytes) -> bytes:
        return _jpeg(self._painter(folder)(_small(data)))


def _painter(folder: Path) -> Callable[[Pixels], Pixels]:
    from atelier.models import artifact  # PyTorch, which takes seconds to load
    from atelier.models.controls import Controls
    from atelier.tasks.inference.backends import pixels_painter

    trained = artifact.load(folder)
    if trained.config.generates:
        raise ValueError(f"{folder.name} makes pictures from noise and paints none")
    return pixels_painter((trained, Controls()))


def _pictures(workspace: Workspace, dataset: Path, id: str, content: str) -> PictureSet:
    """The pictures of a dataset; `id` is part of the key under which they are remembered."""
    params = Params(workspace.params)
    held_out = held_out_pictures(dataset, read_card(dataset), content, params.evaluate.pictures)
    named = canaries(params.gate.canary, workspace.root, dataset, content) if params.gate.canary else []
    files = [one.data for one in held_out] + [one.data for one in named]
    names = {_key(one.data): one.name for one in named}
    return PictureSet(names, {_key(one.data): one.name for one in held_out}, {_key(data): data for data in files})


def _key(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]


def _small(data: bytes) -> Pixels:
    pixels = codec.decode(data)
    return codec.scaled(pixels, min(1.0, LONGEST_PX / max(pixels.shape[:2])))


def _jpeg(pixels: Pixels) -> bytes:
    return codec.encode(pixels, "jpeg", quality=QUALITY)
