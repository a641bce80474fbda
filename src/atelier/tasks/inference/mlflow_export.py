"""Export of a model in MLflow's model format: its network in ONNX, and `MLmodel`, which says how MLflow loads it.

MLflow itself is not needed to write it. Source: mlflow.org/docs, "MLflow Model Signatures and Format".
"""

import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from atelier.models.controls import Controls
from atelier.tasks.inference.folder_export import NETWORK, FolderExport, check_new
from atelier.tasks.inference.import_export import export_model
from atelier.tasks.inference.onnx_export import INPUT, OUTPUT

DESCRIPTION, PACKAGES = "MLmodel", "requirements.txt"
SHAPE = (-1, 3, -1, -1)  # of pictures, (B, 3, H, W); -1 is any size


def export_mlflow(model: Path, out: Path, controls: Controls) -> FolderExport:
    """Write a folder for `mlflow.pyfunc.load_model`.

    Args:
        model: the model folder.
        out: the folder to make; it must not exist, or be empty.
        controls: that choose the network.

    Raises:
        FileExistsError: the folder has files.
        ValueError: the model is damaged, or is not a single network.
    """
    check_new(out)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as made:
        draft = Path(made) / "folder"
        draft.mkdir()
        export_model(model, draft / NETWORK, controls)
        (draft / DESCRIPTION).write_text(json.dumps(_description(), indent=2) + "\n")  # MLflow reads YAML, as JSON is
        packages = [f"{name}=={version(name)}" for name in ("onnx", "onnxruntime")]
        (draft / PACKAGES).write_text("\n".join(["mlflow", *packages]) + "\n")
        files = tuple(sorted(file.name for file in draft.iterdir()))
        draft.replace(out)  # also an empty folder
    return FolderExport(out, files, "")


def _description() -> dict[str, Any]:
    """What `MLmodel` says: two ways to load the network, and the shapes that it takes and gives."""
    return {
        "flavors": {
            "onnx": {"data": NETWORK, "onnx_version": version("onnx"), "providers": ["CPUExecutionProvider"]},
            "python_function": {
                "data": NETWORK,
                "loader_module": "mlflow.onnx",
                "python_version": platform.python_version(),
                "env": {},
            },
        },
        "signature": {"inputs": _tensor(INPUT), "outputs": _tensor(OUTPUT)},
    }


def _tensor(name: str) -> str:
    """A tensor of pictures in the signature, float32 in [-1, 1]."""
    tensor = {"dtype": "float32", "shape": SHAPE}
    return json.dumps([{"name": name, "type": "tensor", "tensor-spec": tensor}])
