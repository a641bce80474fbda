"""The model's controls from the parameters of a job: style and mask pictures are loaded."""

from dataclasses import replace
from pathlib import Path

from atelier.models.controls import Controls, Style
from atelier.tasks.images.codec import Pixels, load, resize
from atelier.tasks.images.formats import FORMAT_OF_SUFFIX
from atelier.tasks.inference.config import StylizeConfig

MAX_STYLE_PX = 1024  # longest side of a style picture: more pixels do not change the style


def controls_from_config(config: StylizeConfig, base: Path) -> Controls:
    """The controls of a config.

    Args:
        config: its `styles` are NAME or IMAGE, with or without =WEIGHT; a text that is no file is a name.
        base: folder of relative paths.

    Raises:
        FileNotFoundError: a picture is missing.
        ValueError: a picture cannot be read, or a value is invalid.
    """
    if config.masks and len(config.masks) != len(config.styles):
        raise ValueError(f"{len(config.styles)} styles and {len(config.masks)} masks: give each style one, or none any")
    masks = [_picture(mask, base).mean(2).round().astype("uint8") for mask in config.masks]
    styles = []
    for number, text in enumerate(config.styles):
        name, weight = _split_weight(text)
        path = _path(name, base)
        pixels = _picture(name, base) if path.is_file() else None
        if pixels is None and path.suffix.lower() in FORMAT_OF_SUFFIX:
            raise FileNotFoundError(f"style picture {path} does not exist")
        styles.append(Style(path.name, weight, pixels, masks[number] if masks else None))
    return Controls(
        strength=config.strength,
        direction=config.direction,
        to=config.to,
        styles=tuple(styles),
        preserve_color=config.preserve_color,
        style_weight=config.style_weight,
        steps=config.steps,
        stroke=config.stroke,
    )


def with_absolute_paths(config: StylizeConfig, base: Path) -> StylizeConfig:
    """The config with absolute paths of its pictures, so that it is independent of the folder."""
    styles = []
    for text in config.styles:
        name, weight = _split_weight(text)
        path = _path(name, base)
        styles.append(f"{path}={weight}" if path.suffix.lower() in FORMAT_OF_SUFFIX or path.is_file() else text)
    return replace(config, styles=tuple(styles), masks=tuple(str(_path(mask, base)) for mask in config.masks))


def _split_weight(text: str) -> tuple[str, float]:
    """Name and weight of NAME=WEIGHT; without a number at the end the whole text is the name."""
    name, _, weight = text.rpartition("=")
    try:
        return (name, float(weight)) if name else (text, 1.0)
    except ValueError:
        return text, 1.0


def _path(name: str, base: Path) -> Path:
    return (base / Path(name).expanduser()).resolve()


def _picture(name: str, base: Path) -> Pixels:
    pixels = load(_path(name, base))
    height, width = pixels.shape[:2]
    scale = min(1.0, MAX_STYLE_PX / max(height, width))
    return resize(pixels, max(1, round(width * scale)), max(1, round(height * scale))) if scale < 1 else pixels
