"""Networks in ONNX, kept from job to job: an export takes five seconds of a core, reading a file none.

A file is named by all that its network depends on, and begins with the SHA-256 of the rest, so that a file that was cut
short or changed is noticed and made anew.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pickle
from pathlib import Path

from torch import nn

import atelier.models
from atelier.models.artifact import TrainedModel
from atelier.models.controls import Controls
from atelier.models.painter import NetworkPainter
from atelier.tasks.inference import onnx_export
from atelier.tasks.runtime.files import cache_folder, write

KEPT = 16  # networks, those that were used last
EXPORTERS = ("torch", "onnx", "onnxscript")
DIGEST_BYTES = 32


def exported(trained: TrainedModel, controls: Controls) -> bytes:
    """The single network that a model paints with, as `onnx_export.to_onnx` gives it.

    Args:
        trained: on a CPU.
        controls: of the model.
    """
    painter = trained.painter(controls)
    assert isinstance(painter, NetworkPainter), "only a single network is exported"
    if not _known(painter.network):
        return onnx_export.to_onnx(painter.network)
    file = None
    with contextlib.suppress(OSError):  # without a cache each job exports
        file = cache_folder("networks") / f"{_name(trained, controls, painter.network)}.onnx"
        if data := _read(file):
            return data
    data = onnx_export.to_onnx(painter.network)
    if file:
        with contextlib.suppress(OSError):
            write(file, hashlib.sha256(data).digest() + data)
            _remove_oldest(file.parent)
    return data


def _known(network: nn.Module) -> bool:
    """Whether the code of a network is ours or PyTorch's: that of a plugin may change unnoticed."""
    return all(type(module).__module__.split(".")[0] in ("atelier", "torch") for module in network.modules())


def _name(trained: TrainedModel, controls: Controls, network: nn.Module) -> str:
    """A hash of the model's settings, the controls, the weights, the code and what exports."""
    versions = [importlib.metadata.version(name) for name in EXPORTERS]
    found = hashlib.sha256(json.dumps([trained.card.content, versions], sort_keys=True).encode())
    found.update(pickle.dumps(controls))
    for source in [*sorted(Path(atelier.models.__path__[0]).rglob("*.py")), Path(onnx_export.__file__)]:
        found.update(source.read_bytes())
    for key, value in network.state_dict().items():
        found.update(f"{key} {tuple(value.shape)} {value.dtype}".encode() + value.contiguous().numpy().tobytes())
    return found.hexdigest()


def _read(file: Path) -> bytes:
    """A kept network, b"" if there is none or it is damaged."""
    try:
        content = file.read_bytes()
        os.utime(file)
    except FileNotFoundError:
        return b""
    digest, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return data if hashlib.sha256(data).digest() == digest else b""


def _remove_oldest(folder: Path) -> None:
    """Remove what was not used for longest, leftovers of killed writers too."""
    used = {}
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another job removed it
            used[file] = file.stat().st_mtime_ns
    for file in sorted(used, key=used.__getitem__)[:-KEPT]:
        file.unlink(missing_ok=True)
