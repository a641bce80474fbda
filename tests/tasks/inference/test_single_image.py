"""A single picture is stylized in this process, carries its provenance, and is not painted twice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from atelier.models import artifact, card
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.controls import Controls
from atelier.models.methods.cpgan import Cpgan
from atelier.tasks.images import codec, provenance
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.single_image import stylize_image
from atelier.tasks.registry.starter_models import find_starter


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = CpganConfig(filters=4, width=8, blocks=1)
    generator = Cpgan.build_generator(config, None)
    nn.init.normal_(generator.draw.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    artifact.save(tmp_path / "model", config, generator, {"dataset": "d1"})
    return tmp_path / "model"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sea.tiff.png"
    path.write_bytes(codec.encode(np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8), "png"))
    return path


def test_it_goes_into_a_file_or_a_folder_and_has_its_provenance(tmp_path: Path, model: Path, picture: Path) -> None:
    identity = card.identify(model, "model", "")
    config = StylizeConfig(strength=0.5)
    file = stylize_image(picture, tmp_path / "new" / "out.webp", model, config, identity)
    assert (file.width, file.height) == (50, 37)
    said = provenance.read(file.file.read_bytes())
    assert said is not None
    assert said.model == identity
    assert said.parameters["strength"] == 0.5
    folder = stylize_image(picture, tmp_path / "folder", model, config, identity)
    assert folder.file == tmp_path / "folder" / "sea.tiff.png"
    pixels = codec.decode(picture.read_bytes())
    batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    wanted = artifact.load(model).painter(Controls(0.5))(batch)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(codec.decode(folder.file.read_bytes()), wanted)


def test_what_goes_in_comes_out(tmp_path: Path, model: Path, picture: Path) -> None:
    identity = card.identify(model, "model", "")
    ramp = np.linspace(0, 65535, 30 * 40).astype(np.uint16).reshape(30, 40)
    scan = tmp_path / "scan.tif"
    Image.fromarray(ramp).save(scan)
    made = stylize_image(scan, tmp_path / "out", model, StylizeConfig(strength=0.5), identity)
    with Image.open(made.file) as image:
        assert (made.file.name, image.format, image.mode) == ("scan.tif", "TIFF", "I;16")
        deep = np.asarray(image)
    assert not np.array_equal(deep, ramp)
    assert len(np.unique(deep)) > 512, "it was painted with more than 256 levels"

    moving = tmp_path / "moving.gif"
    frames = [Image.open(picture), Image.open(picture).transpose(Image.Transpose.ROTATE_180)]
    frames[0].save(moving, save_all=True, append_images=frames[1:], duration=[50, 80])
    made = stylize_image(moving, tmp_path / "moved.webp", model, StylizeConfig(size=25), identity)
    assert (made.width, made.height) == (25, 18)
    with Image.open(made.file) as image:
        assert (image.format, image.size, image.n_frames) == ("WEBP", (25, 18), 2)
    said = provenance.read(made.file.read_bytes())
    assert said is not None
    assert said.parameters["size"] == 25


def test_a_second_time_does_nothing_and_other_files_are_kept(tmp_path: Path, model: Path, picture: Path) -> None:
    identity, out = card.identify(model, "model", ""), tmp_path / "out.png"
    first = stylize_image(picture, out, model, StylizeConfig(), identity)
    stamp = out.stat().st_mtime_ns
    again = stylize_image(picture, out, model, StylizeConfig(), identity)
    assert first.painted
    assert not again.painted
    assert out.stat().st_mtime_ns == stamp
    with pytest.raises(FileExistsError, match="another file"):
        stylize_image(picture, out, model, StylizeConfig(strength=0.5), identity)
    with pytest.raises(FileExistsError, match="another file"):
        stylize_image(picture, picture, model, StylizeConfig(), identity)


def test_what_cannot_be_done_is_reported_in_one_line(tmp_path: Path, model: Path, picture: Path) -> None:
    identity = card.identify(model, "model", "")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"bad\.jpg cannot be read: not a picture"):
        stylize_image(bad, tmp_path / "out.png", model, StylizeConfig(), identity)
    with pytest.raises(ValueError, match="cpgan has no control 'styles': it has strength"):
        stylize_image(picture, tmp_path / "out.png", model, StylizeConfig(styles=("x",)), identity)
    with pytest.raises(FileNotFoundError, match="style picture"):
        stylize_image(picture, tmp_path / "out.png", model, StylizeConfig(styles=("no/x.jpg=0.5",)), identity)
    with pytest.raises(FileExistsError, match=r"bad\.jpg exists and is another file"):
        stylize_image(picture, bad, model, StylizeConfig(), identity)
    with pytest.raises(ValueError, match=r"sea\.tiff\.png cannot be read: the file has [0-9,]+ bytes, more than"):
        stylize_image(picture, tmp_path / "out.png", model, StylizeConfig(max_bytes=10), identity)
    (tmp_path / "job" / "_atelier").mkdir(parents=True)
    for out in (tmp_path / "job" / "out.png", tmp_path / "job" / "deeper"):
        with pytest.raises(ValueError, match="is the destination of a bulk job"):
            stylize_image(picture, out, model, StylizeConfig(), identity)
    assert not (tmp_path / "out.png").exists()


def test_noise_is_taken_out_of_16_bits(tmp_path: Path) -> None:
    model = find_starter("starter/denoise")
    assert model is not None
    down, across = np.mgrid[:64, :96]
    clean = 30_000 + 12_000 * np.sin(down / 9) * np.cos(across / 14) + 6_000 * (across > 50)
    noisy = clean + np.random.default_rng(0).normal(0, 20 * 257, clean.shape)
    scan = tmp_path / "scan.png"
    Image.fromarray(noisy.round().clip(0, 65535).astype(np.uint16)).save(scan)
    made = stylize_image(scan, tmp_path / "out.png", model, StylizeConfig(), card.identify(model, "denoise", ""))
    with Image.open(made.file) as image:
        assert image.mode == "I;16"
        deep = np.asarray(image).astype(float)
    assert np.abs(deep - clean).mean() < 0.25 * np.abs(noisy - clean).mean()
    assert (deep % 257 != 0).mean() > 0.9, "between 8-bit values"
