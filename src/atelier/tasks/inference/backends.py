"""Backends: choosing an execution plan by measurement, and building the painter that follows a plan.

A generator that is a single network can run in OpenVINO, the fastest backend on CPUs, and in bfloat16, if the hardware
supports it. Large pictures are painted in tiles, in PyTorch.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atelier.models import artifact, tiling
from atelier.models.artifact import TrainedModel
from atelier.models.color_table import ColorTablePainter
from atelier.models.controls import Controls
from atelier.models.painter import ChainPainter, NetworkPainter, Painter
from atelier.models.placement import PlacedPainter, StylePlaces
from atelier.models.stroke import StrokePainter
from atelier.models.training import resolve_precision
from atelier.tasks.images.codec import Pixels
from atelier.tasks.inference.backend_networks import AutocastGenerator, OpenVinoGenerator
from atelier.tasks.inference.execution_plan import (
    Backend,
    Execution,
    ExecutionConfig,
    ExecutionPlan,
    Precision,
    plan_for,
)
from atelier.tasks.inference.network_cache import exported
from atelier.tasks.inference.palette_lock import lock_table
from atelier.tasks.inference.regions import placed_by_regions

SIDE = 256  # px, of the pictures for measuring
ROUNDS = 5  # of a measurement; the median counts
MAX_DIFFERENCE = 1.0  # of 255, mean difference from PyTorch in float32 up to which a plan is accepted
GPU_BATCH_PIXELS = 2**20
WHOLE_PIXELS = 2**22  # largest picture without tiles: 2.5 GB of memory with the default generator
TILE_PX = 512
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_execution(model: Path, controls: Controls, config: ExecutionConfig, gpu: bool, measured: bool) -> Execution:
    """Choose how a job runs its model, on a machine like those of its workers.

    Args:
        model: the model folder.
        controls: of the model.
        config: the user's choices.
        gpu: whether the workers have GPUs.
        measured: whether all possible plans are measured; otherwise the first is taken, PyTorch in float32.

    Raises:
        ValueError: the choices are not possible; the message gives the reason.
    """
    if gpu and not torch.cuda.is_available():
        raise ValueError(
            f"the cluster has a GPU, which PyTorch {torch.__version__} does not see: install one built for CUDA on its "
            "nodes, or use --device cpu"
        )
    trained = artifact.load(model, "cuda" if gpu else "cpu")
    single = isinstance(trained.painter(controls), NetworkPainter)
    possible = [
        plan_for(plan, trained.config, controls) for plan in possible_plans(gpu, single, can_tile(trained, controls))
    ]
    fitting = [
        plan
        for plan in possible
        if config.backend in ("auto", plan.backend) and config.precision in ("auto", plan.precision)
    ]
    if not fitting:
        raise ValueError(_impossible(config, possible, single, trained.config.name))
    if len(fitting) == 1 or not measured:
        return Execution(fitting[0], onnx_for(fitting[0], trained, controls))
    torch.set_num_threads(fitting[0].threads)
    network = next((onnx_for(plan, trained, controls) for plan in fitting if plan.backend == "openvino"), b"")
    picture = _picture(possible[0].batch_size(SIDE, SIDE))
    exact = build_painter(trained, controls, possible[0], network)(picture).float()
    found: list[Execution] = []
    for plan in fitting:
        paint = build_painter(trained, controls, plan, network)
        difference = (paint(picture).float() - exact).abs().mean().item()
        if difference <= MAX_DIFFERENCE or plan.precision == "float32":
            needed = network if plan.backend == "openvino" else b""
            found.append(Execution(plan, needed, len(picture) / _seconds(paint, picture)))
    return max(found, key=lambda execution: execution.images_per_second)


def onnx_for(plan: ExecutionPlan, trained: TrainedModel, controls: Controls) -> bytes:
    """The network file that a plan needs, b"" if none."""
    if plan.backend != "openvino":
        return b""
    return exported(trained, controls)


def resume_execution(model: Path, controls: Controls, plan: ExecutionPlan) -> Execution:
    """The execution of a job that has a plan.

    Raises:
        ValueError: this version or machine cannot follow it.
    """
    check_plan(plan)
    return Execution(plan, onnx_for(plan, artifact.load(model), controls))


def check_plan(plan: ExecutionPlan) -> None:
    """Check that this machine can follow a plan.

    Raises:
        ValueError: it cannot; the message gives the remedy.
    """
    wanted, found = f"{plan.backend} {plan.version}", f"{plan.backend} {_version(plan.backend)}"
    if wanted != found:
        raise ValueError(
            f"the job began with {wanted}, here is {found}, whose pictures differ a little: continue it with the "
            "version that began it, or use another destination"
        )
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("the job began on a GPU, and here is none: continue it where there is one")
    if plan.precision == "bfloat16" and not _computes_in_bfloat16(plan.device):
        raise ValueError(
            "the job computes in bfloat16, which this machine has no instructions for: leave such machines out of the "
            "cluster, or begin a job with --precision float32"
        )


def build_painter(trained: TrainedModel, controls: Controls, plan: ExecutionPlan, network: bytes) -> Painter:
    """The painter that follows a plan.

    Args:
        trained: on the plan's device.
        controls: of the model.
        plan: checked by `check_plan`.
        network: of its `Execution`.

    Returns:
        Where styles have labels, it takes label pictures (B, H, W) uint8 too.
    """
    placement = None
    if controls.regions != "off":
        controls, placement = placed_by_regions(controls, plan.device)
    painter = _painter_as_is(trained, controls, plan, network)
    if plan.reference_px:
        full = replace(controls, strength=1.0)
        strong = painter if controls.strength in (0, 1) else _painter_as_is(trained, full, plan, network)
        painter = StrokePainter(strong, painter, controls, plan.working_size)
    if controls.palette:
        painter = ColorTablePainter(painter, lock_table(controls.palette))
    return PlacedPainter(painter, placement or StylePlaces(controls.styles)) if controls.placed else painter


def _painter_as_is(
    trained: TrainedModel, controls: Controls, plan: ExecutionPlan, network: bytes
) -> Callable[..., Tensor]:
    """The painter of pictures at the size that they have: of placed styles a `StylesPainter`."""
    plain = _unplaced(trained, controls)
    whole = plain
    if (plan.backend, plan.precision) != ("torch", "float32"):
        assert isinstance(plain, NetworkPainter), "such a plan is only made for a single network"
        if plan.backend == "openvino":
            in_openvino = replace(plain, network=OpenVinoGenerator(network, plan))

            def whole(images: Tensor) -> Tensor:  # OpenVINO takes planes, which are made of bytes faster than of floats
                return in_openvino(images.contiguous())

        else:
            whole = replace(plain, network=AutocastGenerator(plain.network, DTYPES[plan.precision]))
    if not plan.tile_px:
        return whole
    tiled = tiling.tiled(plain, plan.tile_px, DTYPES[plan.precision])
    assert tiled is not None, "plans with tiles are made for models that can tile only"

    def by_size(images: Tensor, *masks: Tensor) -> Tensor:
        return (whole if images.shape[2] * images.shape[3] <= plan.whole_pixels else tiled)(images, *masks)

    return by_size


def _unplaced(trained: TrainedModel, controls: Controls) -> Callable[..., Tensor]:
    """The model's painter, of placed styles a `StylesPainter`."""
    painter = trained.painter(controls)
    return painter.painter if isinstance(painter, PlacedPainter) else painter


def can_tile(trained: TrainedModel, controls: Controls) -> bool:
    """Whether a model can paint in tiles, with these controls."""
    return tiling.tiled(_unplaced(trained, controls), TILE_PX, torch.float32) is not None


def default_plan(trained: TrainedModel, controls: Controls) -> ExecutionPlan:
    """The default plan: PyTorch in float32 on a CPU."""
    plan = possible_plans(gpu=False, single=False, tiled=can_tile(trained, controls))[0]
    return plan_for(plan, trained.config, controls)


def chain_painter(*chain: tuple[TrainedModel, Controls, Execution]) -> Callable[..., Tensor]:
    """The painter of models that paint one after another, of one model its own; see `build_painter`."""
    painters = [build_painter(trained, controls, one.plan, one.network) for trained, controls, one in chain]
    labelled = [controls.takes_labels for _, controls, _ in chain]
    return painters[0] if len(painters) == 1 else ChainPainter(painters, labelled)


def pixels_painter(*chain: tuple[TrainedModel, Controls]) -> Callable[..., Pixels]:
    """The painter of the default plans for one picture (H, W, 3) at a time, with labels (H, W) where it takes them."""
    paint = chain_painter(*((*one, Execution(default_plan(*one))) for one in chain))

    def painted(pixels: Pixels, *labels: NDArray[np.uint8]) -> Pixels:
        batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]  # (1, 3, H, W)
        return paint(batch, *(torch.from_numpy(one)[None] for one in labels))[0].permute(1, 2, 0).contiguous().numpy()

    return painted


def possible_plans(gpu: bool, single: bool, tiled: bool) -> list[ExecutionPlan]:
    """The plans that this machine can follow, the exact and simple one first.

    Args:
        gpu: whether to use its GPU.
        single: whether the painter is a single network.
        tiled: whether it can paint in tiles.
    """
    exact = ExecutionPlan(version=_version("torch"))
    if tiled:
        exact = replace(exact, whole_pixels=WHOLE_PIXELS, tile_px=TILE_PX)
    if gpu:
        exact = replace(exact, device="cuda", batch_pixels=GPU_BATCH_PIXELS, max_batch=64)
    precisions: list[Precision] = ["float32"]
    if single and _computes_in_bfloat16(exact.device):
        precisions.append("bfloat16")
    plans = [replace(exact, precision=precision) for precision in precisions]
    if single and not gpu:
        plans += [replace(plan, backend="openvino", version=_version("openvino")) for plan in plans]
    return plans


def _impossible(config: ExecutionConfig, possible: list[ExecutionPlan], single: bool, method: str) -> str:
    asked = " in ".join(choice for choice in (config.backend, config.precision) if choice != "auto")
    why = "" if single else f": {method} is not one network from picture to picture"
    ways = ", ".join(f"{plan.backend} in {plan.precision}" for plan in possible)
    return f"{asked} is not possible here{why}: use {ways}"


def _computes_in_bfloat16(device: str) -> bool:
    return resolve_precision("auto", torch.device(device)) == torch.bfloat16


def _version(backend: Backend) -> str:
    if backend == "torch":
        return str(torch.__version__)
    import openvino

    return str(openvino.__version__).split("-")[0]


def _picture(count: int) -> Tensor:
    """Pictures for measuring, uint8 (count, 3, SIDE, SIDE): colour gradients with noise."""
    random = torch.Generator().manual_seed(0)
    slope = torch.linspace(0, 1, SIDE)
    planes = torch.stack([slope.expand(SIDE, SIDE), slope[:, None].expand(SIDE, SIDE), 1 - slope.expand(SIDE, SIDE)])
    grain = 0.1 * torch.randn(count, 3, SIDE, SIDE, generator=random)
    return ((planes + grain).clamp(0, 1) * 255).to(torch.uint8)


def _seconds(paint: Painter, pictures: Tensor) -> float:
    """Median duration of a batch, s, after a warm-up."""
    paint(pictures)
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        paint(pictures)  # the result is on the CPU, so a GPU has finished
        times.append(time.perf_counter() - begun)
    return statistics.median(times)
