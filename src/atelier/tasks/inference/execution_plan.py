"""How a bulk job runs its model: backend, precision, batch shape and tiles, chosen once and then kept.

Outputs depend on all of it in their last bits. So a job writes its plan down, every worker keeps to it, and one that
cannot refuses.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

Backend = Literal["torch", "openvino"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class ExecutionConfig:
    """What a user may say about it."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    backend: Literal["auto", "torch", "openvino"] = field(
        default="auto", metadata={"description": "what runs the generator; auto measures where there is much to do"}
    )
    precision: Literal["auto", "float32", "bfloat16"] = field(
        default="auto", metadata={"description": "arithmetic of the generator; auto measures where there is much to do"}
    )
    device: Literal["auto", "cpu", "gpu"] = field(
        default="auto", metadata={"description": "auto takes GPUs where the cluster has any"}
    )


@dataclass(frozen=True)
class ExecutionPlan:
    """How the model is run."""

    backend: Backend = "torch"
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Precision = "float32"
    version: str = ""  # of the backend
    threads: int = 1  # of one worker
    batch_pixels: int = 2**16  # pixels of a batch, where one picture has not more; larger batches gain nothing on a CPU
    max_batch: int = 16  # pictures of a batch
    whole_pixels: int = 2**24  # of the largest picture that is painted in one piece
    tile_px: int = 0  # side of the tiles that larger ones are painted in; 0: larger ones are not painted

    @property
    def exact(self) -> "ExecutionPlan":
        """The same for pictures of 16 bits, of which bfloat16 has fewer."""
        return replace(self, backend="torch", precision="float32")

    def batch_size(self, height: int, width: int) -> int:
        """Pictures in every batch of this size; a batch that is not full is padded."""
        return max(1, min(self.max_batch, self.batch_pixels // (height * width)))


@dataclass(frozen=True)
class Execution:
    """A plan and what it needs."""

    plan: ExecutionPlan
    network: bytes = b""  # the generator as ONNX, for the backend that reads it
    images_per_second: float = 0.0  # of one worker, forward only, at 256 px; 0 where nothing was measured
