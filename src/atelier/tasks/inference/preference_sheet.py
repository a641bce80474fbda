"""A sheet of blind pairs: the same pictures painted by models, or by other programs, for a person to judge."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

from atelier.models import artifact
from atelier.models.card import MODEL_CARD
from atelier.models.controls import Controls
from atelier.tasks.evaluation.preference import Pair, arrange, write_key
from atelier.tasks.images import codec
from atelier.tasks.images.codec import BadImage, Pixels
from atelier.tasks.inference.backends import pixels_painter
from atelier.tasks.inference.model_lookup import find_model
from atelier.tasks.reports.preference_page import preference_page, shown_pair
from atelier.tasks.runtime.files import write
from atelier.tasks.storage.open_source import list_entries, read

MOST = 10_000  # pictures of a source that are chosen among

Paint = Callable[[str, Pixels], Pixels]  # a picture's name and pixels to the painted ones


@dataclass(frozen=True)
class PreferenceSheet:
    """A sheet that was written."""

    page: Path
    key: Path  # keep it from who judges
    pairs: int


def pictures_of(source: str, base: Path) -> dict[str, Callable[[], bytes]]:
    """The pictures of a source, by name; each is read when it is needed.

    Raises:
        FileNotFoundError, ValueError: the source is missing or holds no picture.
    """
    entries = islice(list_entries(source, base), MOST)
    return {entry.name: partial(read, entry) for entry in entries if not entry.problem}


def write_sheet(
    folder: Path,
    painters: Sequence[str],
    pictures: Mapping[str, Callable[[], bytes]],
    count: int,
    seed: int,
    workspace: Path | None = None,
) -> PreferenceSheet:
    """Write `sheet.html` and `key.json`; what the folder held is replaced.

    Args:
        painters: models as `find_model` takes them, or folders of pictures that another program painted, of the same
            names as `pictures` but for their suffixes.
        pictures: the bytes of each photograph, by its name.

    Raises:
        FileNotFoundError: there is no such model, or a folder lacks a picture.
        ValueError: a model is damaged or makes pictures from noise, a picture cannot be read, or a painter is named
            twice.
    """
    if len(set(painters)) < len(painters):
        raise ValueError(f"a painter is named twice among {', '.join(painters)}: name each once")
    paints = {painter: _painter(painter, workspace) for painter in painters}
    pairs = arrange(sorted(pictures), painters, count, seed)
    page = preference_page(pairs, [shown_pair(pair, *_painted(pair, pictures, paints)) for pair in pairs])
    shutil.rmtree(folder, ignore_errors=True)
    made = PreferenceSheet(folder / "sheet.html", folder / "key.json", len(pairs))
    write(made.key, write_key(pairs))
    write(made.page, page)
    return made


def _painted(pair: Pair, pictures: Mapping[str, Callable[[], bytes]], paints: Mapping[str, Paint]) -> Iterator[Pixels]:
    """The photograph, and both paintings of it in its size."""
    photo = _decoded(pair.picture, pictures[pair.picture])
    height, width = photo.shape[:2]
    yield photo
    for painter in (pair.left, pair.right):
        yield codec.resize(paints[painter](pair.picture, photo), width, height)


def _painter(text: str, workspace: Path | None) -> Paint:
    """What paints a picture: a model, or a folder that holds it painted."""
    folder = Path(text).expanduser()
    if folder.is_dir() and not (folder / MODEL_CARD).is_file():
        files = {_stem(name): data for name, data in pictures_of(str(folder.absolute()), Path()).items()}
        return partial(_look_up, files, text)
    trained = artifact.load(find_model(text, workspace).folder)
    if trained.config.generates:
        raise ValueError(f"{text} makes pictures from noise and paints none: it cannot be judged beside others")
    paint = pixels_painter((trained, Controls()))
    return lambda name, photo: paint(photo)


def _look_up(files: Mapping[str, Callable[[], bytes]], folder: str, name: str, photo: Pixels) -> Pixels:
    if _stem(name) not in files:
        raise FileNotFoundError(f"{folder} has no picture named as {name}, whatever the suffix: paint all of them")
    return _decoded(f"{name} of {folder}", files[_stem(name)])


def _decoded(name: str, data: Callable[[], bytes]) -> Pixels:
    """The pixels of a picture; an error names it."""
    try:
        return codec.decode(data())
    except BadImage as error:
        raise BadImage(f"{name} cannot be read: {error}") from error


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
