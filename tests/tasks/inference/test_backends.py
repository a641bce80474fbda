"""Execution plans: chosen by measurement, followed bit by bit, refused by other machines."""

import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.configs.style_statistics import ColorConfig, CpganConfig
from atelier.models.controls import Controls
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.methods.base import Painter
from atelier.models.methods.color import Color
from atelier.models.methods.cpgan import Cpgan
from atelier.models.metrics.lpips import lpips
from atelier.tasks.images.codec import decode
from atelier.tasks.inference import backends, network_cache
from atelier.tasks.inference.execution_plan import ExecutionConfig, ExecutionPlan
from atelier.tasks.registry.starter_models import find_starter
from atelier.tasks.runtime import encoder_weights
from atelier.tasks.storage.open_source import list_entries, read

pytestmark = pytest.mark.long

BFLOAT16 = torch.cpu._is_avx512_bf16_supported()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny generator that changes its input visibly."""
    folder = tmp_path_factory.mktemp("model")
    config = CpganConfig(filters=4, width=8, blocks=1)
    torch.manual_seed(0)
    generator = Cpgan.build_generator(config, None)
    for name, parameter in generator.named_parameters():
        torch.nn.init.normal_(parameter, std=0.02 if "draw" in name else 0.3)
    artifact.save(folder, config, generator, {})
    return folder


def pictures(count: int, height: int, width: int) -> Tensor:
    """uint8 (count, 3, height, width)."""
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=random)


def painter(model: Path, found: backends.Execution, strength: float = 1.0) -> Painter:
    controls = Controls(strength=strength)
    return backends.build_painter(artifact.load(model), controls, found.plan, found.network)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"] if BFLOAT16 else ["float32"])
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_every_backend_paints_what_pytorch_paints(model: Path, backend: str, precision: str) -> None:
    config = ExecutionConfig(backend=backend, precision=precision)  # type: ignore[arg-type]
    found = backends.choose_execution(model, Controls(), config, gpu=False, measured=False)
    assert (found.plan.backend, found.plan.precision) == (backend, precision)
    exact = artifact.load(model).painter()
    paint = painter(model, found)
    for size in ((40, 64), (33, 50), (5, 7)):
        x = pictures(2, *size)
        apart = (paint(x).float() - exact(x).float()).abs()
        assert apart.mean() < (0.02 if precision == "float32" else 1.0)
        assert paint(x).shape == x.shape
    assert (found.plan.whole_pixels, found.plan.tile_px) == (backends.WHOLE_PIXELS, backends.TILE_PX)
    tiled, x = replace(found, plan=replace(found.plan, whole_pixels=2000, tile_px=32)), pictures(1, 50, 70)
    apart = (painter(model, tiled)(x).float() - exact(x).float()).abs()
    assert apart.mean() < (0.02 if precision == "float32" else 1.0)
    half, x = painter(model, found, 0.5), pictures(1, 32, 32)
    assert (half(x).float() - (x.float() + exact(x).float()) / 2).abs().mean() < 1.0


def test_what_a_worker_painted_before_changes_no_bit(model: Path) -> None:
    config = ExecutionConfig(backend="openvino")
    found = backends.choose_execution(model, Controls(), config, gpu=False, measured=False)
    x, fresh, used = pictures(2, 48, 40), painter(model, found), painter(model, found)
    for size in ((64, 64), (16, 40), (48, 40)):
        used(pictures(3, *size))
    assert torch.equal(fresh(x), used(x))
    again = backends.resume_execution(model, Controls(), found.plan)
    assert torch.equal(fresh(x), painter(model, again)(x))


def test_a_network_is_exported_once(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path))
    trained = artifact.load(model)
    for number in range(network_cache.KEPT):  # leftovers of killed writers
        (tmp_path / "networks").mkdir(exist_ok=True)
        (tmp_path / f"networks/.{number}.tmp").write_bytes(b"")
    made = network_cache.exported(trained, Controls())
    (file,) = (tmp_path / "networks").glob("*.onnx")
    assert len(list((tmp_path / "networks").iterdir())) == network_cache.KEPT, "the folder does not grow"
    begun = time.process_time()
    assert network_cache.exported(artifact.load(model), Controls()) == made
    assert time.process_time() - begun < 0.5, "it is read"
    whole = file.read_bytes()
    for broken in (b"", whole[:100], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(broken)
        assert network_cache.exported(trained, Controls()) == made
        assert file.read_bytes() == whole, "what is damaged is made anew"
    next(trained.generator.parameters()).data[0] += 0.1
    assert network_cache.exported(trained, Controls()) != made
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "file"))  # no folder can be made there
    assert network_cache.exported(artifact.load(model), Controls()) == made


def test_the_quickest_is_measured_and_what_is_asked_for_is_kept_to(model: Path) -> None:
    found = backends.choose_execution(model, Controls(), ExecutionConfig(precision="float32"), gpu=False, measured=True)
    assert found.images_per_second > 0
    assert found.plan.precision == "float32"
    assert bool(found.network) == (found.plan.backend == "openvino")
    simple = backends.choose_execution(model, Controls(), ExecutionConfig(), gpu=False, measured=False)
    assert (simple.plan.backend, simple.plan.precision) == ("torch", "float32")


def test_what_is_not_one_network_stays_in_pytorch(tmp_path: Path) -> None:
    artifact.save(tmp_path, ColorConfig(), Color.build_generator(ColorConfig(), None), {})
    found = backends.choose_execution(tmp_path, Controls(), ExecutionConfig(), gpu=False, measured=True)
    assert (found.plan.backend, found.plan.precision) == ("torch", "float32")
    with pytest.raises(ValueError, match=r"openvino is not possible here: color is not one network.*use torch"):
        backends.choose_execution(tmp_path, Controls(), ExecutionConfig(backend="openvino"), gpu=False, measured=False)


def test_a_plan_of_another_version_or_machine_is_refused(model: Path) -> None:
    ours = backends.choose_execution(model, Controls(), ExecutionConfig(), gpu=False, measured=False).plan
    backends.check_plan(ours)
    with pytest.raises(ValueError, match=r"began with torch 1\.0, here is torch .*continue it with the version"):
        backends.check_plan(replace(ours, version="1.0"))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="on a GPU, and here is none"):
            backends.check_plan(replace(ours, device="cuda"))
        with pytest.raises(ValueError, match=r"PyTorch .* does not see: .* --device cpu"):
            backends.choose_execution(model, Controls(), ExecutionConfig(), gpu=True, measured=False)


def test_batches_have_one_shape_for_a_size() -> None:
    plan = ExecutionPlan()
    assert [plan.batch_size(side, side) for side in (16, 64, 128, 256, 4000)] == [16, 16, 4, 1, 1]


def test_the_starter_model_looks_the_same_in_every_plan() -> None:
    """LPIPS (Zhang et al. 2018) of at most 0.01 to what PyTorch paints in float32, on photographs."""
    try:
        ruler = networks.load("alexnet", encoder_weights.resolve("alexnet"))
    except ValueError as error:
        pytest.skip(str(error))
    assert isinstance(ruler, Calibrated)
    folder = find_starter("starter/monet")
    assert folder is not None
    trained = artifact.load(folder)
    photos = itertools.islice(list_entries("sample://photos", Path()), 4)
    x = torch.stack([torch.from_numpy(decode(read(photo)).copy()).permute(2, 0, 1)[:, :96, :96] for photo in photos])
    exact = trained.painter()(x).float() / 255
    for plan in backends.possible_plans(gpu=False, single=True, tiled=True):
        network = backends.onnx_for(plan, trained, Controls())
        painted = backends.build_painter(trained, Controls(), plan, network)(x).float() / 255
        assert lpips(ruler, painted, exact).max() <= 0.01, plan
