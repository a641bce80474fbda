"""Export of a generator to ONNX."""

import logging
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

OPSET = 20
INPUT, OUTPUT = "pictures", "painted"


def to_onnx(network: nn.Module) -> bytes:
    """The network in ONNX.

    From `INPUT` (B, 3, H, W), float32 in [-1, 1], H and W multiples of 4, to `OUTPUT` of the network's scale.

    Args:
        network: in evaluation mode.
    """
    free = {side: 4 * torch.export.Dim(f"quarter_of_side_{side}", min=4) for side in (2, 3)}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about PyTorch's own code
        file = Path(folder) / "network.onnx"
        try:
            logger.setLevel(logging.ERROR)  # it would report operators that the network does not use
            torch.onnx.export(
                network, (torch.zeros(2, 3, 64, 96),), file, input_names=[INPUT], output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC, **free},), opset_version=OPSET, dynamo=True,
                verbose=False, external_data=False,
            )  # fmt: skip
        finally:
            logger.setLevel(level)
        return file.read_bytes()
