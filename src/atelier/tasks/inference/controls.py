"""The model's controls from the parameters of a job: style and mask pictures are loaded."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from atelier.models.boxes import KINDS
from atelier.models.controls import Controls, Style
from atelier.models.insertion import Insertion
from atelier.tasks.images.codec import Pixels, load, scaled
from atelier.tasks.images.detectors import detector_label
from atelier.tasks.images.formats import FORMAT_OF_SUFFIX
from atelier.tasks.inference.config import ChainStep, ControlsConfig, InsertConfig, StylizeConfig
from atelier.tasks.inference.inserted_object import load_object
from atelier.tasks.inference.label_pictures import is_one_for_all
from atelier.tasks.inference.palette import load_palette
from atelier.tasks.registry.starter_models import find_starter
from atelier.tasks.storage.location import is_url
from atelier.tasks.storage.open_source import archive_class

C = TypeVar("C", bound=ControlsConfig)

LABELS = (
    "labels and label pictures go together: --style IMAGE@LABEL and --mask-from FOLDER, or a model that fills holes, "
    "such as starter/inpaint"
)
MAX_LABEL = 255  # values of label pictures have 8 bits
MAX_STYLE_PX = 1024  # longest side of a style picture: more pixels do not change the style


def controls_from_config(config: StylizeConfig, base: Path, *, fills: bool = False) -> Controls:
    """The controls of a config.

    Args:
        config: its `styles` are NAME or IMAGE, with or without @LABEL and =WEIGHT; a text that is no file is a name.
        base: folder of relative paths.
        fills: whether the model fills holes.

    Raises:
        FileNotFoundError: a picture is missing.
        ValueError: a picture cannot be read, or a value is invalid.
    """
    if config.masks and len(config.masks) != len(config.styles):
        raise ValueError(f"{len(config.styles)} styles and {len(config.masks)} masks: give each style one, or none any")
    return chain_controls(config, (), base, [fills])[0]


def chain_controls(
    config: StylizeConfig, then: Iterable[ControlsConfig], base: Path, fills: Iterable[bool] = ()
) -> tuple[Controls, ...]:
    """The controls of each model of a job, that of `config` and the further ones.

    Args:
        fills: whether each model fills holes; by default none does.

    Raises:
        FileNotFoundError, ValueError: as `controls_from_config`; a folder of label pictures is missing, or styles have
            no labels for them.
    """
    for source in filter(None, (config.mask_from, config.keep_from)):
        path = _path(source, base)
        is_file = path.is_file() and (archive_class(source) is not None or is_one_for_all(source))
        if not (is_url(source) or path.is_dir() or is_file):
            raise FileNotFoundError(
                f"{source} is no folder of label pictures, no archive of them and no PNG: name one, or leave it out"
            )
    labelled, steps = bool(config.mask_from), (config, *then)
    found = tuple(
        replace(_controls(step, base, labelled=labelled), fill=labelled and bool(filling))
        for step, filling in zip_longest(steps, fills)
    )
    if config.size and any(controls.in_pixels for controls in found):
        raise ValueError("with --size pictures are shrunk first: give boxes, places and scales in percent")
    if labelled and not any(controls.takes_labels for controls in found):
        raise ValueError(LABELS)
    if any(controls.labelled for controls in found) and any(controls.kinds for controls in found):
        raise ValueError(
            "styles have labels, and what is removed is found by a detector: use two jobs, one after the other"
        )
    return found


def with_absolute_paths(config: C, base: Path) -> C:
    """The config with absolute paths of its pictures, so that it is independent of the folder."""
    styles = []
    for text in config.styles:
        name, label, weight = _split(text)
        path = _path(name, base)
        at = "" if label is None else f"@{label}"
        styles.append(f"{path}{at}={weight}" if path.suffix.lower() in FORMAT_OF_SUFFIX or path.is_file() else text)
    masks = tuple(str(_path(mask, base)) for mask in config.masks)
    palette = str(_path(config.palette, base)) if config.palette else ""
    object_ = str(_path(config.insert.object, base)) if config.insert.object else ""
    insert = replace(config.insert, object=object_)
    changed = replace(config, styles=tuple(styles), masks=masks, palette=palette, insert=insert)
    if isinstance(changed, StylizeConfig):
        mask_from, keep_from = (labels_location(one, base) for one in (changed.mask_from, changed.keep_from))
        chain = tuple(_with_absolute_model(with_absolute_paths(step, base), base) for step in changed.chain)
        changed = replace(changed, mask_from=mask_from, keep_from=keep_from, chain=chain)
    return changed


def _controls(config: ControlsConfig, base: Path, *, labelled: bool) -> Controls:
    """The controls of one model; `labelled`: whether there are label pictures for styles with labels."""
    given = [_split(text) for text in config.styles]
    if not labelled and any(label is not None for _, label, _ in given):
        raise ValueError(LABELS)
    masks = [_picture(mask, base).mean(2).round().astype("uint8") for mask in config.masks]
    styles = []
    for number, (name, label, weight) in enumerate(given):
        path = _path(name, base)
        pixels = _picture(name, base) if path.is_file() else None
        if pixels is None and path.suffix.lower() in FORMAT_OF_SUFFIX:
            raise FileNotFoundError(f"style picture {path} does not exist")
        styles.append(Style(path.name, weight, pixels, masks[number] if masks else None, label))
    return Controls(
        strength=config.strength,
        direction=config.direction,
        to=config.to,
        styles=tuple(styles),
        preserve_color=config.preserve_color,
        palette=load_palette(_path(config.palette, base)) if config.palette else (),
        style_weight=config.style_weight,
        noise=config.noise,
        steps=config.steps,
        regions=config.regions,
        stroke=config.stroke,
        remove=config.remove,
        found_by=tuple(detector_label(kind) for kind in KINDS if kind in config.remove),
        insert=_insertion(config.insert, base),
    )


def _insertion(config: InsertConfig, base: Path) -> Insertion | None:
    if config.object:
        return load_object(_path(config.object, base), config.at, config.scale)
    if config != InsertConfig():
        raise ValueError("--at and --scale are of an object: name it with --insert OBJECT.png")
    return None


def _with_absolute_model(step: ChainStep, base: Path) -> ChainStep:
    folder = (base / Path(step.model).expanduser()).absolute()  # of a link the name stays
    return replace(step, model=str(folder)) if folder.is_dir() and not find_starter(step.model) else step


def labels_location(mask_from: str, base: Path) -> str:
    """Absolute path or URL of the source of label pictures, "" for none."""
    return mask_from if not mask_from or is_url(mask_from) else str(_path(mask_from, base))


def _split(text: str) -> tuple[str, int | None, float]:
    """Name, label and weight of NAME@LABEL=WEIGHT; what is no number at its place belongs to the name."""
    name, _, weight = text.rpartition("=")
    try:
        share = float(weight) if name else 1.0
    except ValueError:
        name, share = text, 1.0
    name = name or text
    before, _, label = name.rpartition("@")
    if before and label.isdecimal() and int(label) <= MAX_LABEL:
        return before, int(label), share
    return name, None, share


def _path(name: str, base: Path) -> Path:
    return (base / Path(name).expanduser()).resolve()


def _picture(name: str, base: Path) -> Pixels:
    pixels = load(_path(name, base))
    return scaled(pixels, min(1.0, MAX_STYLE_PX / max(pixels.shape[:2])))
