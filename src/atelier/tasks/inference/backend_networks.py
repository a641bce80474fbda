"""Networks as a backend runs them: PyTorch in a lower precision, and OpenVINO."""

import torch
from torch import Tensor, nn

from atelier.models.methods.base import autocast
from atelier.tasks.inference.execution_plan import ExecutionPlan
from atelier.tasks.inference.onnx_export import INPUT


class AutocastGenerator(nn.Module):
    """A generator whose convolutions run in a lower precision (autocast).

    Args:
        generator: pictures (B, 3, H, W) in [-1, 1] to the same, of any scale.
        dtype: of its convolutions.
    """

    def __init__(self, generator: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.generator, self.dtype = generator, dtype

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to the same, of the generator's scale."""
        with autocast(x.device, self.dtype):
            y: Tensor = self.generator(x)
        return y


class OpenVinoGenerator(nn.Module):
    """A generator in OpenVINO.

    Args:
        network: ONNX of a network from pictures (B, 3, H, W) in [-1, 1] to the same, of any scale.
        plan: precision and threads.
    """

    def __init__(self, network: bytes, plan: ExecutionPlan) -> None:
        super().__init__()
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if plan.precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": plan.threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # otherwise all workers of a machine share its first cores
        }
        self.request = core.compile_model(core.read_model(network), "CPU", settings).create_infer_request()
        self.anchor = nn.Parameter(torch.empty(0), requires_grad=False)  # tells the painter its device: the CPU

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to the same, of the generator's scale."""
        return torch.from_numpy(self.request.infer({INPUT: x.contiguous().numpy()})[0])
