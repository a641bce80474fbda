"""Parameters of stylization."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from atelier.models.controls import Controls, Direction
from atelier.tasks.inference.execution_plan import ExecutionConfig


@dataclass(frozen=True)
class StylizeConfig:
    """The parameters of a bulk job or of a single picture."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    strength: float = field(
        default=1.0,
        metadata={"description": "strength of the style: 0 returns the picture, 1 is the full style", "ge": 0, "le": 1},
    )
    direction: Direction = field(
        default="a2b", metadata={"description": "a2b: content to style; b2a: style to content (cyclegan)"}
    )
    to: tuple[str, ...] = field(
        default=(), metadata={"description": "attributes or domains to add; -NAME removes one (stargan)"}
    )
    styles: tuple[str, ...] = field(
        default=(),
        metadata={"description": "styles to mix, NAME=WEIGHT or IMAGE=WEIGHT; empty: the trained style"},
    )
    masks: tuple[str, ...] = field(
        default=(),
        metadata={"description": "a picture for each style, white where the style is applied; empty: everywhere"},
    )
    preserve_color: bool = field(default=False, metadata={"description": "keep the colours of the picture"})
    style_weight: float | None = field(
        default=None, metadata={"description": "factor on the style weight of gatys", "gt": 0}
    )
    steps: int | None = field(
        default=None, metadata={"description": "optimisation steps of gatys; null: its own number", "ge": 1}
    )
    format: Literal["keep", "png", "jpeg", "webp", "avif"] = field(
        default="keep",
        metadata={
            "description": "format of the outputs; keep: that of the input's suffix, with its mode, depth, alpha and "
            "frames. JPEG has a white background instead of alpha, and only the first frame"
        },
    )
    quality: int = field(
        default=95, metadata={"description": "quality of JPEG, WebP and AVIF outputs", "ge": 1, "le": 100}
    )
    size: int | None = field(
        default=None,
        metadata={
            "description": "longest side of the outputs, in px; larger pictures are shrunk first. null: keep the size",
            "ge": 1,
        },
    )
    metadata: Literal["keep", "strip"] = field(
        default="keep",
        metadata={"description": "EXIF with GPS, resolution and comments of the inputs: keep or strip"},
    )
    execution: ExecutionConfig = field(
        default_factory=ExecutionConfig, metadata={"description": "backend, precision and device of the model"}
    )
    stages: Literal["auto", "together", "apart"] = field(
        default="auto",
        metadata={
            "description": "together: each worker runs all stages; apart: other tasks read and write the files; auto: "
            "apart if the cluster has nodes with and without GPUs"
        },
    )
    max_bytes: int = field(default=2**29, metadata={"description": "largest file that is read, in bytes", "ge": 1})
    max_pixels: int = field(
        default=160_000_000,
        metadata={
            "description": "largest picture that is stylized, in pixels; larger ones are quarantined. The limit is at "
            "most 16.7 million if the method cannot paint in tiles",
            "ge": 1,
        },
    )
    max_frames: int = field(
        default=1000,
        metadata={
            "description": "largest number of frames or pages of a file; files with more are quarantined",
            "ge": 1,
        },
    )


def provenance_parameters(controls: Controls, config: StylizeConfig) -> dict[str, Any]:
    """The parameters that are written into the provenance of an output."""
    made = {"quality": config.quality, "size": config.size, "metadata": config.metadata}
    return {"strength": controls.strength, **controls.said(), **made}
