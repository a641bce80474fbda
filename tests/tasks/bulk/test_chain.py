"""Chains: models that paint one after another, from one decoding to one encoding, with one record of all."""

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import atelier
from atelier.flows.cli.inspect import inspect
from atelier.flows.cli.stylize_job import plan
from atelier.flows.config.params import Params
from atelier.models import artifact
from atelier.models.card import identify
from atelier.models.controls import Controls
from atelier.models.methods.inpaint import Inpaint
from atelier.tasks.bulk import subscriptions
from atelier.tasks.bulk.admission import check_job, image_memory
from atelier.tasks.bulk.dry_run import dry_run
from atelier.tasks.bulk.messages import JobSpec
from atelier.tasks.bulk.pool import job_steps
from atelier.tasks.bulk.preview import preview
from atelier.tasks.bulk.request import Rerun, StylizeRequest, read_request
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.bulk.subscriptions import Subscription
from atelier.tasks.images import provenance
from atelier.tasks.images.codec import decode
from atelier.tasks.inference.chain import find_chain, parse_step
from atelier.tasks.inference.config import ChainStep, StylizeConfig
from atelier.tasks.inference.execution_plan import ExecutionPlan, chain_batch_size
from atelier.tasks.inference.input_limits import limits_for
from atelier.tasks.inference.single_image import stylize_image
from atelier.tasks.registry.resolve import ResolvedModel
from tests.models.tiny import INPAINT
from tests.tasks.bulk.test_kills import _kill_a_worker, _new, _until, _workers
from tests.tasks.bulk.test_stylize import _already, _no_connection, _picture, _quarantine, _tree
from tests.tasks.restorers import save_restorer

DRIVER = """
import ray, sys
from pathlib import Path
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import stylize

request, destination, address = sys.argv[1:]
stylize(StylizeRequest.from_json(Path(request).read_bytes(), destination),
        connect=lambda: ray.init(address=address, logging_level="error", log_to_driver=False))
"""
CONFIG = StylizeConfig(format="keep")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A folder with `denoise`, `style` and `upscale`, which doubles the size."""
    folder = tmp_path_factory.mktemp("models")
    save_restorer(folder / "denoise", 1)
    save_restorer(folder / "upscale", 2)
    (folder / "style").symlink_to(tiny_model)
    return folder


def chain(models: Path, *steps: str, config: StylizeConfig = CONFIG) -> StylizeRequest:
    """A job without source and destination."""
    config, found, then = find_chain([parse_step(f"{models}/{step}") for step in steps], config, None)
    return StylizeRequest((), "", found[0].folder, config, found[0].identity, then=then)


def by_hand(models: Path, pixels: np.ndarray, steps: Sequence[tuple[str, Controls]]) -> np.ndarray:
    """What the models make of pixels (H, W, 3), uint8, or float32 in [-1, 1]; the same type."""
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].contiguous()
    x = x.float() / 127.5 - 1 if x.dtype == torch.uint8 else x
    for name, controls in steps:
        x = artifact.load(models / name).painter(controls)(x)
    made = x[0].permute(1, 2, 0).numpy()
    return ((made + 1) * 127.5).round().clip(0, 255).astype(np.uint8) if pixels.dtype == np.uint8 else made


ALL = (("denoise", Controls(0.5)), ("style", Controls(stroke="full")), ("upscale", Controls()))


@pytest.mark.usefixtures("ray_cluster")
def test_a_chain_is_one_job_that_a_kill_does_not_change(tmp_path: Path, models: Path) -> None:
    import ray

    for index in range(24):
        _picture(tmp_path / f"in/{index}.png", index, (90, 80))
    samples = np.random.default_rng(9).integers(0, 65536, (21, 30), dtype=np.uint16)
    Image.fromarray(samples).save(tmp_path / "in/deep.tif")
    (tmp_path / "in/broken.png").write_bytes(b"broken")
    asked = chain(models, "denoise,strength=0.5", "style", "upscale", config=replace(CONFIG, stroke="full"))
    calm = replace(asked, sources=(str(tmp_path / "in"),), destination=tmp_path / "calm")
    expected = dry_run(calm, connect=_already)
    assert (expected.pictures, [plan.scale for plan in (expected.plan, *expected.then) if plan]) == (26, [1, 1, 2])
    assert "torch in float32, then torch in float32, then torch in float32 on cpu" in expected.summary
    summary = stylize(calm, connect=_already)
    assert (summary.total, summary.done, summary.quarantined) == (26, 25, 1)
    assert (summary.model, summary.version) == ("denoise → style → upscale", "")
    pixels = np.asarray(Image.open(tmp_path / "in/3.png"))
    painted = np.asarray(Image.open(tmp_path / "calm/3.png"))
    assert painted.shape == (160, 180, 3)
    assert np.abs(painted.astype(int) - by_hand(models, pixels, ALL)).max() <= 1
    deep = np.asarray(Image.open(tmp_path / "calm/deep.tif")).astype(int)
    grey = np.repeat(samples[..., None] / np.float32(32767.5) - 1, 3, 2).astype(np.float32)
    luma = by_hand(models, grey, ALL) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(deep - ((luma + 1) * 32767.5).clip(0, 65535)).max() <= 30, "not rounded to 256 levels between"

    out = tmp_path / "out"
    job = replace(calm, destination=out)
    (tmp_path / "request").write_bytes(job.to_json())
    begun = time.time_ns()
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "request"), str(out)]
    driver = subprocess.Popen([*command, ray.get_runtime_context().gcs_address])
    try:
        _until(lambda: _new(out, begun) > 4, driver)
    finally:
        driver.kill()
        driver.wait(60)
    other = replace(job, then=(replace(job.then[0], config=ChainStep(strength=0.1)), job.then[1]))
    with pytest.raises(ValueError, match=r'its style has {"stroke": "full"}, you ask for {"strength": 0.1}\.'):
        stylize(other, connect=_no_connection)
    with pytest.raises(ValueError, match=r"another job: its strength of denoise is 0\.5, you ask for 1\.0\."):
        stylize(replace(job, config=replace(job.config, strength=1.0)), connect=_no_connection)
    with pytest.raises(ValueError, match="it was made by denoise → style → upscale, you ask for denoise → style"):
        stylize(replace(job, then=job.then[:1]), connect=_no_connection)
    with pytest.raises(ValueError, match="it was made by denoise → style → upscale, you ask for denoise"):
        stylize(replace(job, then=()), connect=_no_connection)
    assert stylize(job, connect=_already).done == 25
    assert _tree(out) == _tree(tmp_path / "calm")
    assert [row["path"] for row in _quarantine(out)] == ["broken.png"]
    assert stylize(replace(read_request(str(out)), rerun=Rerun()), connect=_no_connection).pending == 0

    said = provenance.read((out / "3.png").read_bytes())
    assert said is not None
    assert [model for model, _ in said.steps] == [identify(models / name, name, "") for name, _ in ALL]
    assert [given["strength"] for _, given in said.steps] == [0.5, 1.0, 1.0]
    assert [given["plan"].get("scale", 1) for _, given in said.steps] == [1, 1, 2]
    (shown,) = inspect([out / "3.png"])
    assert shown.summary.count("  weights ") == 3
    assert "strength 0.5" in shown.summary
    manifest = json.loads((out / "_atelier/job.json").read_text())
    assert [step["model"]["name"] for step in manifest["then"]] == ["style", "upscale"]
    assert len(manifest["plan"]["then"]) == 2

    alone = {key: value for key, value in manifest.items() if key != "then"}
    (out / "_atelier/job.json").write_text(json.dumps(alone))
    with pytest.raises(ValueError, match="it was made by denoise, you ask for denoise → style → upscale"):
        stylize(job, connect=_no_connection)
    assert check_job(replace(job, rerun=Rerun(replace=True)))[1] > 1, "it replaces what there is"


@pytest.mark.usefixtures("ray_cluster")
def test_kills_change_nothing_of_a_chain_with_an_archive_of_masks(tmp_path: Path, models: Path) -> None:
    """Holes are filled, and the result is enlarged; a worker is killed, and then the driver."""
    import ray

    (tmp_path / "upscale").symlink_to(models / "upscale")
    artifact.save(tmp_path / "fill", INPAINT, Inpaint.build_generator(INPAINT, None), {})
    with zipfile.ZipFile(tmp_path / "holes.zip", "w") as archive:
        for index in range(24):
            _picture(tmp_path / f"in/{index}.png", index, (90, 80))
            hole = np.zeros((80, 90), np.uint8)
            hole[index : index + 20, 10:50] = 255
            if index:  # the first has none
                archive.writestr(f"{index}.png", encode_mask(hole))
    config = replace(CONFIG, mask_from=str(tmp_path / "holes.zip"))
    asked = chain(tmp_path, "fill", "upscale", config=config)
    calm = replace(asked, sources=(str(tmp_path / "in"),), destination=tmp_path / "calm")
    assert stylize(calm, connect=_already).done == 23
    assert decode((tmp_path / "calm/3.png").read_bytes()).shape == (160, 180, 3)
    out = tmp_path / "out"
    job = replace(calm, destination=out)
    (tmp_path / "request").write_bytes(job.to_json())
    begun = time.time_ns()
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "request"), str(out)]
    driver = subprocess.Popen([*command, ray.get_runtime_context().gcs_address])
    try:
        _until(lambda: _new(out, begun) > 1 or bool(_workers()), driver)
        _kill_a_worker(out, driver)
        _until(lambda: _new(out, begun) > 3, driver)
        with pytest.raises(RuntimeError, match="another job is running on"):
            stylize(job, connect=_no_connection)
    finally:
        driver.kill()
        driver.wait(60)
    assert stylize(job, connect=_already).done == 23
    assert _tree(out) == _tree(tmp_path / "calm")
    assert [(row["path"], row["reason"]) for row in _quarantine(out)] == [("0.png", "there is no label picture 0.png")]


def encode_mask(hole: np.ndarray) -> bytes:
    """A grey PNG."""
    file = io.BytesIO()
    Image.fromarray(hole).save(file, "PNG")
    return file.getvalue()


def test_one_picture_the_library_and_a_preview(tmp_path: Path, models: Path) -> None:
    picture = _picture(tmp_path / "a.png", 1, (33, 26))
    pixels = np.asarray(Image.open(picture))
    asked = chain(models, "denoise,strength=0.5", "style", "upscale", config=replace(CONFIG, stroke="full"))
    wanted = by_hand(models, pixels, ALL)
    made = stylize_image(
        picture, tmp_path / "b.png", asked.model, asked.config, asked.identity, then=asked.then, base=tmp_path
    )
    assert (made.width, made.height) == (66, 52)
    assert np.array_equal(np.asarray(Image.open(made.file)), wanted)
    said = provenance.read(made.file.read_bytes())
    assert said is not None
    assert [model.name for model, _ in said.steps] == ["denoise", "style", "upscale"]
    again = (picture, made.file, asked.model, asked.config, asked.identity)
    assert not stylize_image(*again, then=asked.then).painted
    with pytest.raises(FileExistsError):
        stylize_image(*again, then=asked.then[:1])
    names = [f"{models}/denoise,strength=0.5", models / "style", models / "upscale"]
    painter = atelier.load(names, stroke="full")
    assert np.array_equal(painter(pixels), wanted)
    assert [card.method for card in (painter.card, *painter.then)] == ["restore", "cpgan", "restore"]
    with pytest.raises(ValueError, match="all have the control 'strength': say it at the one that is meant"):
        atelier.load(names[1:], strength=0.5)
    shown = preview([replace(asked, sources=(str(picture),))], 1, tmp_path / "preview")
    assert shown.columns == ("denoise → style → upscale",)


def test_controls_go_to_the_one_model_that_honours_them(models: Path) -> None:
    style = f"{models}/style"
    job = chain(models, "denoise", "style", config=replace(CONFIG, noise=20.0, stroke=2.0))
    assert [step.config.noise for step in job.steps] == [20.0, None]
    assert [step.config.stroke for step in job.steps] == [1.0, 2.0]
    assert [controls.changed() for controls in job.controls()] == [{"noise": 20.0}, {"stroke": 2.0}]
    one = chain(models, "denoise,noise=5", config=replace(CONFIG, strength=0.5, noise=7.0))
    assert (one.then, one.config) == ((), replace(CONFIG, strength=0.5, noise=5.0)), "as a job of one model"
    half = chain(models, "denoise", "style,strength=0.5", config=replace(CONFIG, strength=0.1))
    assert [step.config.strength for step in half.steps] == [0.1, 0.5]
    with pytest.raises(ValueError, match=rf"denoise, {style} all have the control 'strength': say it at .*strength=…'"):
        chain(models, "denoise", "style", config=replace(CONFIG, strength=0.5))
    with pytest.raises(ValueError, match=r"no model of the chain has a control 'direction': .*denoise → .*style"):
        chain(models, "denoise", "style", config=replace(CONFIG, direction="b2a"))
    with pytest.raises(ValueError, match=r"'strength' is said at .* already"):
        chain(models, "denoise,strength=0.2", "style,strength=0.5", config=replace(CONFIG, strength=0.1))
    with pytest.raises(ValueError, match="restore has no control 'stroke'"):
        chain(models, "denoise,stroke=2", "style").controls()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("starter/monet,strenth=1", "'strenth=1' after starter/monet is no control: there are strength, direction"),
        ("starter/monet,strength=2", "strength: .*less than or equal to 1"),
        ("", "a step of a chain is a model"),
    ],
)
def test_a_step_that_is_written_wrong_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_step(text)


def test_a_step_is_read(tmp_path: Path) -> None:
    read = parse_step("starter/any-style,style=a.jpg=0.5,style=b.jpg,preserve-color,stroke=full")
    assert read == ChainStep(
        styles=("a.jpg=0.5", "b.jpg"), preserve_color=True, stroke="full", model="starter/any-style"
    )
    (tmp_path / "a,b").mkdir()
    assert parse_step(str(tmp_path / "a,b")) == ChainStep(model=str(tmp_path / "a,b")), (
        "a folder's name may have commas"
    )


def test_limits_batches_and_memory_are_those_of_the_largest_step(tmp_path: Path, models: Path) -> None:
    exact = ExecutionPlan(whole_pixels=2**22, tile_px=512)
    enlarging = replace(exact, scale=2, whole_pixels=2**20)
    assert limits_for(CONFIG, enlarging, exact).max_pixels == CONFIG.max_pixels // 4
    assert limits_for(CONFIG, enlarging, replace(exact, tile_px=0)).max_pixels == 2**20
    assert limits_for(CONFIG, exact, enlarging).scale == 2
    small = [exact.batch_size(64, 64), chain_batch_size([exact, exact], 64, 64)]
    assert [*small, chain_batch_size([enlarging, exact], 64, 64)] == [16, 16, 4]
    asked = chain(models, "upscale", "style")
    steps = job_steps(asked, asked.controls(), [enlarging, exact])
    wanted = 4 * 10**5 * (600 + 24)
    assert image_memory(10**5, JobSpec(tmp_path, steps, CONFIG, 1)) == wanted


def test_params_yaml_names_a_chain(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "params.yaml"
    steps = "[{model: denoise, strength: 0.5}, style-model@prod, upscale]"
    written.write_text(f"stylize: {{stroke: full, chain: {steps}}}\n")
    config = Params(written).stylize
    assert [step.model for step in config.chain] == ["denoise", "style-model@prod", "upscale"]
    for wrong, message in (
        ("{strength: 1}", "stylize.chain.0.*a model, or a mapping with the key model"),
        ("{model: a, strenth: 1}", "unknown key stylize.chain.0.*strenth"),
        ("'a,strenth=1'", "'strenth=1' after a is no control"),
    ):
        (tmp_path / "wrong.yaml").write_text(f"stylize: {{chain: [{wrong}]}}\n")
        with pytest.raises(ValueError, match=message):
            _ = Params(tmp_path / "wrong.yaml").stylize

    asked: list[StylizeRequest] = []

    def remember(request: StylizeRequest, report: object, *, connect: object) -> object:
        asked.append(request)
        return type("Summary", (), {"pending": 1})

    monkeypatch.setattr(subscriptions, "stylize", remember)
    prod = ResolvedModel(models / "style", "style-model", "v1.2.0", "d")
    subscription = Subscription("in", "out")
    subscriptions.restyle(subscription, prod, config, models, _no_connection, print)
    (request,) = asked
    assert [step.identity.name for step in request.steps] == ["denoise", "style-model", "upscale"]
    assert (request.version, Path(str(request.destination))) == ("v1.2.0", models / "out/v1.2.0")
    assert [step.config.stroke for step in request.steps] == [1.0, "full", 1.0]
    with pytest.raises(ValueError, match=r"stylize\.chain has no style-model@prod"):
        subscriptions.restyle(
            subscription, prod, replace(config, chain=config.chain[:1]), models, _no_connection, print
        )

    monkeypatch.chdir(models)
    found = plan(["in"], "out", ["denoise,strength=0.5", "style"], {}, None, {}, Rerun())
    assert [Path(step.model).name for step in found.steps] == ["denoise", "style"]
    assert asdict(found.config)["chain"] == ()
