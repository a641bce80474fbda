"""Import of generators from the reference implementations of CycleGAN and CUT, and export to ONNX.

Their files are pickles. A file is read once, in a separate process, by a loader that creates tensors only.
"""

import hashlib
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier.models.card import ModelCard
from atelier.models.controls import Controls
from atelier.models.files import replacing
from atelier.tasks.runtime.child_environment import safe_environment

if TYPE_CHECKING:
    from torch import nn

SIZES = ((64, 64), (96, 160))  # height and width of the pictures that compare both programs
TOLERANCE = 2 / 255  # of a colour in 0…1: largest accepted difference

MEMORY_BYTES, MEMORY_FACTOR = 2**32, 8  # of an import: so much, and so many times the file's size


@dataclass(frozen=True)
class ImportResult:
    """Result of an import."""

    folder: Path
    architecture: str
    parameters: int
    sha256: str  # of the imported file


@dataclass(frozen=True)
class ExportResult:
    """Result of an export, with the differences between ONNX Runtime and PyTorch."""

    file: Path
    megabytes: float
    largest_difference: float  # of a colour in 0…1, over pictures of several sizes
    mean_difference: float


def import_model(published: Path, out: Path, style: str = "") -> ImportResult:
    """Make a model folder from a generator of CycleGAN's or CUT's reference implementation.

    Args:
        published: file like `latest_net_G_A.pth` or `latest_net_G.pth`.
        out: the model folder to make; must not exist.
        style: name of its style.

    Raises:
        FileNotFoundError: the file does not exist.
        FileExistsError: the folder exists.
        ValueError: the file is damaged, no plain state dict, or of another network.
    """
    if not published.is_file():
        raise FileNotFoundError(f"{published} does not exist")
    if out.exists():
        raise FileExistsError(f"{out} exists: name a new folder")
    with published.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        made = Path(folder) / "model"
        command = [
            sys.executable,
            "-m",
            "atelier.tasks.inference.import_export",
            str(published),
            str(made),
            sha256,
            style,
        ]
        process = subprocess.run(command, env=safe_environment(), capture_output=True, text=True, check=False)
        if process.returncode:
            reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            raise ValueError(f"{published} cannot be imported: {reason.removeprefix('ValueError: ')}")
        made.replace(out)
    facts = ModelCard.read(out).training["imported"]
    return ImportResult(out, facts["architecture"], facts["parameters"], sha256)


def _import_here(published: Path, folder: Path, sha256: str, style: str) -> None:
    """Import in this process; runs in a separate one."""
    import torch

    from atelier.models import artifact
    from atelier.models.methods.imported import Imported as Method
    from atelier.models.methods.imported import recognise

    # a compressed file may hold more than memory has
    most = MEMORY_BYTES + MEMORY_FACTOR * published.stat().st_size
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        state = torch.load(published, map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001  any error of a damaged file; PyTorch's own message advises to unpickle it
        raise ValueError("it is damaged, or holds more than weights: save the generator's state_dict()") from None
    if not isinstance(state, Mapping):
        raise ValueError("it holds no state dict")
    config, weights = recognise(state)
    with torch.device("meta"):
        generator = Method.build_generator(config, None)
    generator.load_state_dict(weights, assign=True)
    way = "antialiased, as in CUT" if config.antialiased else "as in CycleGAN"
    facts: dict[str, Any] = {
        "architecture": f"residual generator, {config.blocks} blocks, {config.filters} filters, {way}",
        "parameters": sum(p.numel() for p in generator.parameters()),
        "sha256": sha256,
    }
    artifact.save(folder, config, generator, {"imported": facts, "style_domain": style})
    artifact.load(folder)  # refuses what no command would load


def export_model(model: Path, out: Path, controls: Controls = Controls()) -> ExportResult:  # noqa: B008  it is frozen
    """Write a model's network as ONNX, and check with ONNX Runtime that it computes the same.

    The network takes `pictures` (B, 3, H, W), float32 in [-1, 1] with H and W multiples of 4, and gives `painted` of
    the same range and the network's scale.

    Args:
        model: the model folder.
        out: the file to write.
        controls: that choose the network, such as direction or attributes; the caller applies the strength.

    Raises:
        ValueError: the model is damaged, has no such control or is not a single network, or the file's suffix is not
            `.onnx`.
        RuntimeError: the two programs differ by more than `TOLERANCE`; nothing is written.
    """
    from atelier.models import artifact
    from atelier.models.painter import NetworkPainter
    from atelier.tasks.inference.onnx_export import to_onnx

    if out.suffix != ".onnx" or out.is_dir():
        raise ValueError(f"{out} is not a name of an ONNX file: use a name that ends in .onnx")
    trained = artifact.load(model)
    painter = trained.painter(controls)
    if not isinstance(painter, NetworkPainter):
        raise ValueError(f"{trained.config.name} is not one network from picture to picture: it cannot be exported")
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        temporary.write_bytes(to_onnx(painter.network))
        largest, mean = _differences(painter.network, temporary)
        if not largest <= TOLERANCE:
            raise RuntimeError(
                f"ONNX Runtime paints {model} otherwise, by up to {largest:.3g} of a colour: not written"
            )
    return ExportResult(out, round(out.stat().st_size / 1e6, 2), largest, mean)


def _differences(network: "nn.Module", file: Path) -> tuple[float, float]:
    """Largest and mean difference of a colour in 0…1, on pictures of `SIZES`."""
    import onnxruntime
    import torch

    from atelier.tasks.inference.onnx_export import INPUT

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    largest, total, count = 0.0, 0.0, 0
    for height, width in SIZES:
        x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height)) * 2 - 1
        (output,) = session.run(None, {INPUT: x.numpy()})
        with torch.inference_mode():
            difference = (network(x) - torch.from_numpy(output)).abs() / 2
        largest, total = max(largest, difference.max().item()), total + difference.sum().item()
        count += difference.numel()
    return largest, total / count


if __name__ == "__main__":
    _import_here(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
