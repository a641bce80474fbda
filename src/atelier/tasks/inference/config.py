"""The parameters of a bulk job."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from atelier.models.controls import Controls, Direction
from atelier.tasks.inference.execution_plan import ExecutionConfig


@dataclass(frozen=True)
class StylizeConfig:
    """How outputs are made and what inputs may cost."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    strength: float = field(
        default=1.0, metadata={"description": "0 leaves the picture, 1 is the full style", "ge": 0, "le": 1}
    )
    direction: Direction = field(
        default="a2b", metadata={"description": "from content to style, or b2a for back; cyclegan has both"}
    )
    to: tuple[str, ...] = field(
        default=(), metadata={"description": "attributes or domains that stargan gives; -NAME takes one away"}
    )
    styles: tuple[str, ...] = field(
        default=(),
        metadata={"description": "styles to mix, NAME=WEIGHT or IMAGE=WEIGHT; none means 'trained'"},
    )
    masks: tuple[str, ...] = field(
        default=(), metadata={"description": "a picture for each style, white where it goes; none means everywhere"}
    )
    preserve_color: bool = field(default=False, metadata={"description": "keep the colours of the picture"})
    style_weight: float | None = field(
        default=None, metadata={"description": "times the weight of the style that gatys has", "gt": 0}
    )
    steps: int | None = field(
        default=None, metadata={"description": "of gatys' optimisation; null takes its own", "ge": 1}
    )
    format: Literal["keep", "png", "jpeg", "webp", "avif"] = field(
        default="keep",
        metadata={
            "description": "format of the outputs; keep writes what the name of the input says, with its mode, depth, "
            "alpha and frames. JPEG has neither alpha, which goes on white, nor frames after the first"
        },
    )
    quality: int = field(default=95, metadata={"description": "of JPEG, WebP and AVIF outputs", "ge": 1, "le": 100})
    size: int | None = field(
        default=None,
        metadata={
            "description": "longest side of the outputs, in px; larger pictures are made smaller before they are "
            "stylized. null leaves every size",
            "ge": 1,
        },
    )
    metadata: Literal["keep", "strip"] = field(
        default="keep",
        metadata={"description": "EXIF (GPS too), resolution and comments of the inputs: keep or strip"},
    )
    execution: ExecutionConfig = field(
        default_factory=ExecutionConfig, metadata={"description": "how the model is run"}
    )
    stages: Literal["auto", "together", "apart"] = field(
        default="auto",
        metadata={
            "description": "together: a worker takes pictures through all stages; apart: files are opened and written "
            "elsewhere than pictures are painted; auto is apart where some machines have GPUs and others have none"
        },
    )
    max_bytes: int = field(default=2**29, metadata={"description": "largest file that is read, in bytes", "ge": 1})
    max_pixels: int = field(
        default=160_000_000,
        metadata={
            "description": "largest picture that is stylized, in pixels; larger ones go to quarantine, and those of "
            "more than 16.7 million where the method cannot paint in tiles",
            "ge": 1,
        },
    )
    max_frames: int = field(
        default=1000,
        metadata={"description": "most frames or pages of one file; one with more goes to quarantine", "ge": 1},
    )


def provenance_parameters(controls: Controls, config: StylizeConfig) -> dict[str, Any]:
    """The parameters that an output tells of itself."""
    made = {"quality": config.quality, "size": config.size, "metadata": config.metadata}
    return {"strength": controls.strength, **controls.said(), **made}
