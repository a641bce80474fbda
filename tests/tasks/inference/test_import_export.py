"""Imported reference generators paint the same here; exported ONNX files compute the same as the model."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.configs.translation import CycleganConfig
from atelier.models.controls import Controls, Style
from atelier.models.methods.cpgan import Cpgan
from atelier.models.methods.cyclegan import Cyclegan
from atelier.models.methods.imported import recognise
from atelier.tasks.inference.import_export import export_model, import_model
from atelier.tasks.registry.starter_models import FOLDER

pytestmark = pytest.mark.long


class Block(nn.Module):
    """A residual block with the names of the reference code."""

    def __init__(self, channels: int, dropout: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        layers += [nn.ReLU(), *([nn.Dropout(0.5)] if dropout else [])]
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return x + y


class Blur(nn.Module):
    """CUT's change of size, with its filters as a buffer; one picture's channel at a time, written out."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0] if up else [1.0, 2.0, 1.0])
        square = row[:, None] * row[None] / row.sum() ** 2 * (4 if up else 1)
        self.up = up
        self.register_buffer("filt", square.repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if not self.up:
            return F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), self.filt, stride=2, groups=x.shape[1])
        y = F.conv_transpose2d(F.pad(x, (1,) * 4, mode="replicate"), self.filt, stride=2, padding=2, groups=x.shape[1])
        return y[:, :, 1:, 1:][:, :, :-1, :-1]


class ReferenceGenerator(nn.Module):
    """`model.<number>` as the reference code numbers it."""

    def __init__(self, f: int = 8, blocks: int = 2, *, dropout: bool = False, antialiased: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, f, 7), nn.InstanceNorm2d(f), nn.ReLU()]
        for c in (f, 2 * f):
            layers += [nn.Conv2d(c, 2 * c, 3, 1 if antialiased else 2, 1), nn.InstanceNorm2d(2 * c), nn.ReLU()]
            layers += [Blur(2 * c, up=False)] if antialiased else []
        layers += [Block(4 * f, dropout) for _ in range(blocks)]
        for c in (4 * f, 2 * f):
            if antialiased:
                layers += [Blur(c, up=True), nn.Conv2d(c, c // 2, 3, 1, 1)]
            else:
                layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, 1)]
            layers += [nn.InstanceNorm2d(c // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(f, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("antialiased", [False, True])
def test_a_reference_generator_paints_here_what_it_painted_there(
    tmp_path: Path, dropout: bool, antialiased: bool
) -> None:
    torch.manual_seed(1)
    reference = ReferenceGenerator(dropout=dropout, antialiased=antialiased).eval()
    torch.save({f"module.{key}": value for key, value in reference.state_dict().items()}, tmp_path / "net.pth")
    imported = import_model(tmp_path / "net.pth", tmp_path / "model", "monet")
    assert "2 blocks, 8 filters" in imported.architecture
    assert ("CUT" in imported.architecture) == antialiased
    model = artifact.load(tmp_path / "model")
    x = torch.rand(2, 3, 40, 32) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(model.generator(x), reference(x), atol=2e-5, rtol=0)
    assert model.painter()(torch.zeros(1, 3, 30, 21, dtype=torch.uint8)).shape == (1, 3, 30, 21)
    assert json.loads((tmp_path / "model" / "model.json").read_text())["style_domain"] == "monet"


class Call:
    """What must never be called."""

    def __reduce__(self) -> Any:
        return (print, ("called",))


def test_other_networks_are_refused_with_the_reason() -> None:
    plain = ReferenceGenerator().state_dict()
    normed = nn.Sequential(nn.Conv2d(3, 8, 7), nn.BatchNorm2d(8)).state_dict()
    cases: dict[str, Any] = {
        "normalised over batches": {f"model.{key}": value for key, value in normed.items()},
        "is a U-Net": {"model.model.1.model.1.weight": torch.zeros(1, 1, 4, 4)},
        "not those of a residual generator": {"model.1.weight": torch.zeros(8, 3, 7, 7)},
        "has the shape": plain | {"model.1.weight": torch.zeros(8, 1, 7, 7)},
    }
    for reason, content in cases.items():
        with pytest.raises(ValueError, match=reason):
            recognise(content)


def test_other_files_are_refused_and_nothing_in_them_runs(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"model.1.weight": Call()}, tmp_path / "call.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Call()))
    (tmp_path / "cut.pth").write_bytes((tmp_path / "list.pth").read_bytes()[:200])
    with pytest.raises(ValueError, match="holds no state dict"):
        import_model(tmp_path / "list.pth", tmp_path / "model")
    for name in ("call", "plain", "cut"):
        with pytest.raises(ValueError, match=r"damaged, or holds more than weights: save [a-z' _]+\(\)$"):
            import_model(tmp_path / f"{name}.pth", tmp_path / "model")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".pth"] * 4
    with pytest.raises(FileNotFoundError):
        import_model(tmp_path / "none.pth", tmp_path / "model")


def test_a_model_goes_out_as_onnx_and_paints_the_same_at_any_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = CycleganConfig(filters=4, blocks=1)
    generator = Cyclegan.build_generator(config, None)
    artifact.save(tmp_path / "model", config, generator, {})
    exported = export_model(tmp_path / "model", tmp_path / "back.onnx", Controls(direction="b2a"))
    assert exported.largest_difference < 1e-4
    x = np.random.default_rng(0).random((3, 3, 36, 52), np.float32)
    (painted,) = onnxruntime.InferenceSession(exported.file).run(None, {"pictures": x})
    with torch.inference_mode():
        wanted = generator.get_submodule("back")(torch.from_numpy(x))
    np.testing.assert_allclose(painted, wanted, atol=1e-4)


def test_a_wrong_control_writes_nothing(tmp_path: Path) -> None:
    config = CpganConfig(filters=4, width=8, blocks=1)
    artifact.save(tmp_path / "model", config, Cpgan.build_generator(config, None), {})
    with pytest.raises(ValueError, match="cpgan has no control 'direction'"):
        export_model(tmp_path / "model", tmp_path / "x.onnx", Controls(direction="b2a"))
    with pytest.raises(ValueError, match=r"ends in \.onnx"):
        export_model(tmp_path / "model", tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_mixture_of_styles_is_exported(tmp_path: Path) -> None:
    folder, styles = FOLDER / "paintings", (Style("great-wave", 3.0), Style("scream"))
    exported = export_model(folder, tmp_path / "mix.onnx", Controls(styles=styles))
    assert exported.largest_difference < 1e-4
    x = np.random.default_rng(0).random((1, 3, 32, 48), np.float32) * 2 - 1
    (mixed,) = onnxruntime.InferenceSession(exported.file).run(None, {"pictures": x})
    painter = artifact.load(folder).painter(Controls(styles=styles))
    assert np.abs(mixed - painter(torch.from_numpy(x)).numpy()).max() < 1e-3
