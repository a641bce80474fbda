"""The execution plan: backend, precision, batch shape and tiles, chosen once for a job.

The last bits of the outputs depend on the plan. It is written into the job's manifest, and a worker that cannot follow
it refuses to run.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from atelier.models.configs.base import MethodConfig
from atelier.models.controls import Controls
from atelier.models.settings import Settings, setting

REFERENCE_PX = 640  # longest side of pictures on which strokes have their usual share

Backend = Literal["torch", "openvino"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class ExecutionConfig(Settings):
    """The user's choices for the plan."""

    backend: Literal["auto", "torch", "openvino"] = setting(
        "auto", "runtime of the generator; auto: the fastest by measurement, in large jobs"
    )
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "number format of the generator; auto: the fastest by measurement, in large jobs"
    )
    device: Literal["auto", "cpu", "gpu"] = setting("auto", "auto: GPUs if the cluster has any")


@dataclass(frozen=True)
class ExecutionPlan:
    """How the model is run; part of the job's manifest."""

    backend: Backend = "torch"
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Precision = "float32"
    version: str = ""  # of the backend
    threads: int = 1  # of each worker
    batch_pixels: int = 2**16  # pixels of a batch, at least one picture; larger batches are not faster on a CPU
    max_batch: int = 16  # pictures of a batch, at most
    whole_pixels: int = 2**24  # largest picture that is painted in one piece, by the pixels of the input
    tile_px: int = 0  # side of the tiles of larger pictures; 0: larger pictures are refused
    reference_px: int = 0  # longest side at which strokes have their usual share of a picture; 0: each is painted as is
    stroke: float = 1.0  # breadth of the strokes, relative to the usual one
    scale: int = 1  # height and width of the outputs relative to those of the inputs

    @property
    def record(self) -> dict[str, Any]:
        """The plan as JSON values, for manifests and provenance; a scale of 1 is left out, as before there were any."""
        return {key: value for key, value in asdict(self).items() if key != "scale" or value != 1}

    @property
    def exact(self) -> "ExecutionPlan":
        """The plan for 16-bit pictures, for which bfloat16 is too coarse."""
        return replace(self, backend="torch", precision="float32")

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which a picture of this size is painted, px."""
        if not self.reference_px:
            return height, width
        longest = max(height, width)
        scale = min(longest, self.reference_px) / self.stroke / longest
        return max(1, round(height * scale)), max(1, round(width * scale))

    def batch_size(self, height: int, width: int) -> int:
        """Number of pictures of this size (px) in a batch; smaller batches are padded to it."""
        painted, full = math.prod(self.working_size(height, width)), height * width
        return max(1, min(self.max_batch, self.batch_pixels // painted, self.whole_pixels // full))


def chain_scales(plans: Sequence[ExecutionPlan]) -> Iterator[tuple[ExecutionPlan, int]]:
    """The plans of a chain's models, each with the scale of what it is given, relative to the input."""
    scale = 1
    for plan in plans:
        yield plan, scale
        scale *= plan.scale


def record_of_plans(plans: Sequence[ExecutionPlan]) -> dict[str, Any]:
    """The plans of a chain's models as JSON values: that of the first, with those of the further ones under `then`."""
    first, *then = (plan.record for plan in plans)
    return first | ({"then": then} if then else {})


def plans_of_record(record: dict[str, Any]) -> tuple[ExecutionPlan, ...]:
    """The plans that `record_of_plans` gave. Raises TypeError where one is of another version."""
    first = {key: value for key, value in record.items() if key != "then"}
    return tuple(ExecutionPlan(**plan) for plan in (first, *record.get("then", ())))


def chain_batch_size(plans: Sequence[ExecutionPlan], height: int, width: int) -> int:
    """Number of pictures of this size (px) that every model of a chain has in a batch."""
    return min(plan.batch_size(scale * height, scale * width) for plan, scale in chain_scales(plans))


def plan_for(plan: ExecutionPlan, config: MethodConfig, controls: Controls) -> ExecutionPlan:
    """The plan by which a model of this config paints: its scale, and strokes as broad as the controls ask for."""
    if config.scale != 1:  # memory limits the pixels of the output
        return replace(plan, scale=config.scale, whole_pixels=plan.whole_pixels // config.scale**2)
    if controls.stroke == "full" or not config.strokes:
        return plan
    return replace(plan, reference_px=REFERENCE_PX, stroke=controls.stroke)


@dataclass(frozen=True)
class Execution:
    """A plan, with the network file that it needs."""

    plan: ExecutionPlan
    network: bytes = b""  # the generator as ONNX, for OpenVINO
    images_per_second: float = 0.0  # of one worker, forward pass at 256 px; 0 if not measured
