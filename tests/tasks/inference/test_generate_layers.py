"""Generation by a model whose layers have latents: truncation, mixed styles, and films."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from atelier.models import artifact
from atelier.models.card import ModelIdentity, identify
from atelier.models.characters import character_latents
from atelier.models.configs.gan import DcganConfig, InfoganConfig
from atelier.models.configs.stylegan import StyleganConfig
from atelier.models.methods.gan import Dcgan
from atelier.models.methods.infogan import Infogan
from atelier.models.methods.stylegan import Stylegan
from atelier.tasks.images import provenance
from atelier.tasks.images.codec import decode, encode
from atelier.tasks.inference.config import GenerateConfig
from atelier.tasks.inference.generate import FILM, GRID, MIXING, POSES, STRIPS, TRAVERSALS, check_request, generate
from atelier.tasks.inference.generate_worker import file_name

CONFIG = StyleganConfig(size_px=16, noise=8, latent=8, filters=4)
PITCH = 20  # px of a cell on a sheet


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    artifact.save(folder, CONFIG, Stylegan.build_generator(CONFIG, None), {})
    return folder


@pytest.fixture(scope="module")
def identity(model: Path) -> ModelIdentity:
    return identify(model, "faces", "v1.0.0")


def never() -> None:
    raise AssertionError("there was nothing to do")


def cell(sheet: np.ndarray, row: int, column: int, left: int, top: int) -> np.ndarray:
    found: np.ndarray = sheet[top + PITCH * row :, left + PITCH * column :][:16, :16].astype(int)
    return found


@pytest.mark.usefixtures("ray_cluster")
def test_mixed_styles_and_a_film(tmp_path: Path, model: Path, identity: ModelIdentity) -> None:
    config = GenerateConfig(count=4, seed=5, truncation=0.7, interpolate=3, video=True, mix=2)
    summary = generate(check_request(config, model, identity), tmp_path, connect=lambda: None)
    names = {file_name(index) for index in range(4)} | {GRID, STRIPS, FILM, MIXING}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert (summary.film, summary.mixing) == (tmp_path / FILM, tmp_path / MIXING)

    pictures = [decode((tmp_path / file_name(index)).read_bytes()).astype(int) for index in range(4)]
    sheet = decode((tmp_path / MIXING).read_bytes())
    left, top = sheet.shape[1] - 3 * PITCH, sheet.shape[0] - 5 * PITCH
    for index in range(2):
        assert np.abs(cell(sheet, 0, 1 + index, left, top) - pictures[index]).max() <= 1, "above: 0 and 1"
        for kind in range(2):  # coarse, middle; 16 px have no fine ones
            assert np.abs(cell(sheet, 1 + 2 * kind + index, 0, left, top) - pictures[2 + index]).max() <= 1, "2 and 3"
    trained = artifact.load(model)
    above, beside = trained.latents(trained.noise(5, (1, 2)), 0.7)
    expected = trained.from_latents(torch.cat([above[:3], beside[3:]])[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(cell(sheet, 1, 2, left, top) - expected.astype(int)).max() <= 1, "2 with the coarse styles of 1"

    with Image.open(tmp_path / FILM) as film:
        assert (film.n_frames, film.info["loop"], film.size) == (4 * 3, 0, (16, 16))
        for index in (0, 2):
            film.seek(3 * index)
            assert np.abs(np.asarray(film.convert("RGB")).astype(int) - pictures[index]).mean() < 16
    for name, given in ((FILM, {"pictures": 4, "interpolate": 3}), (MIXING, {"mix": 2})):
        found = provenance.read((tmp_path / name).read_bytes())
        assert found is not None
        assert (found.model, found.parameters) == (identity, {"seed": 5, "truncation": 0.7, **given})

    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    generate(check_request(config, model, identity), tmp_path, connect=never)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_truncation_draws_pictures_to_the_mean(model: Path) -> None:
    trained = artifact.load(model)
    whole, half, little = (trained.generate(0, range(16), psi).float() for psi in (None, 0.5, 0.01))
    assert torch.equal(whole, trained.generate(0, range(16), 1.0).float())
    assert whole.std(0).mean() > half.std(0).mean() > little.std(0).mean()
    assert little.std(0).mean() < 0.05 * whole.std(0).mean()


@pytest.mark.usefixtures("ray_cluster")
def test_attributes_are_codes(tmp_path: Path) -> None:
    config = StyleganConfig(size_px=16, noise=8, latent=8, filters=4, attributes=("dark", "warm"))
    artifact.save(tmp_path / "model", config, Stylegan.build_generator(config, None), {})
    one = identify(tmp_path / "model", "faces", "")
    seen = set()
    for value in (0.0, 1.0):
        given = GenerateConfig(count=1, codes=((0, value), (1, 0.0)))
        generate(check_request(given, tmp_path / "model", one), tmp_path / str(value), connect=lambda: None)
        assert (tmp_path / str(value) / TRAVERSALS).exists()
        seen.add(decode((tmp_path / str(value) / file_name(0)).read_bytes()).tobytes())
    assert len(seen) == 2
    with pytest.raises(ValueError, match=r"code 1 of faces .* is a category from 0 to 1, not 2"):
        check_request(GenerateConfig(codes=((1, 2.0),)), tmp_path / "model", one)


def test_a_model_without_layers_mixes_nothing(tmp_path: Path) -> None:
    config = DcganConfig(size_px=16, noise=8, filters=4, discriminator_filters=4)
    artifact.save(tmp_path / "model", config, Dcgan.build_generator(config, None), {})
    plain = identify(tmp_path / "model", "style-model", "v1.0.0")
    with pytest.raises(ValueError, match=r"style-model@v1\.0\.0 has no layers whose styles could be mixed"):
        check_request(GenerateConfig(mix=2), tmp_path / "model", plain)


@pytest.mark.parametrize(
    ("values", "said"), [({"mix": 17}, "--mix must be between 1 and 16"), ({"video": True}, "--interpolate how many")]
)
def test_what_cannot_be_made_is_refused(values: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GenerateConfig(**values)


@pytest.mark.usefixtures("ray_cluster")
def test_characters_have_a_row_of_poses_each(tmp_path: Path, model: Path, identity: ModelIdentity) -> None:
    config = GenerateConfig(count=3 * POSES, seed=5, truncation=0.7, poses=POSES)
    generate(check_request(config, model, identity), tmp_path, connect=lambda: None)
    names = [[file_name(POSES * character + pose, POSES) for pose in range(POSES)] for character in range(3)]
    assert names[2][:2] == ["000002-00.png", "000002-01.png"]
    assert {path.name for path in tmp_path.iterdir()} == {GRID, *(name for row in names for name in row)}
    made = [[decode((tmp_path / name).read_bytes()).astype(int) for name in row] for row in names]
    alone = artifact.load(model).generate(5, range(3), 0.7).permute(0, 2, 3, 1).numpy().astype(int)
    for character, row in enumerate(made):
        assert np.abs(row[0] - alone[character]).max() <= 1, "the first pose is the picture of that number"
        assert min(np.abs(row[0] - other).mean() for other in row[1:]) > 0
    sheet = decode((tmp_path / GRID).read_bytes())
    assert sheet.shape[0] == 3 * PITCH + 4
    found = provenance.read((tmp_path / names[1][3]).read_bytes())
    assert found is not None
    assert found.parameters == {"seed": 5, "truncation": 0.7, "poses": POSES, "index": POSES + 3}
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    generate(check_request(config, model, identity), tmp_path, connect=never)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("ray_cluster")
def test_pictures_like_a_given_one(tmp_path: Path, model: Path, identity: ModelIdentity) -> None:
    """What the model itself made is found again in its latents, and the others are near it."""
    trained, given = artifact.load(model), tmp_path / "given.png"
    target = trained.generate(9, [1])[0].permute(1, 2, 0).numpy()
    given.write_bytes(encode(target.copy(), "png"))
    config = GenerateConfig(count=4, seed=5, like=given)
    generate(check_request(config, model, identity), tmp_path / "out", connect=lambda: None)
    first, *others = (decode((tmp_path / "out" / file_name(index)).read_bytes()).astype(int) for index in range(4))
    mean = trained.from_latents(trained.mean_latent[None])[0].permute(1, 2, 0).numpy()
    far = np.abs(mean - target.astype(int)).mean()
    assert np.abs(first - target).mean() < 0.5 * far
    plain = trained.generate(5, range(1, 4)).permute(0, 2, 3, 1).numpy().astype(int)
    for other, unlike in zip(others, plain, strict=True):
        assert 0 < np.abs(other - first).mean() < np.abs(unlike - first).mean()
    found = provenance.read((tmp_path / "out" / file_name(2)).read_bytes())
    assert found is not None
    assert found.parameters == {"seed": 5, "index": 2, "like": hashlib.sha256(given.read_bytes()).hexdigest()}
    (tmp_path / "out" / file_name(1)).unlink()
    generate(check_request(config, model, identity), tmp_path / "out", connect=lambda: None)
    assert (decode((tmp_path / "out" / file_name(1)).read_bytes()) == others[0]).all()
    (bad := tmp_path / "bad.png").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"bad\.png cannot be read"):
        check_request(GenerateConfig(count=4, like=bad), model, identity)


def test_poses_of_one_character_are_nearer_than_characters(model: Path, tmp_path: Path) -> None:
    """Where layers have latents, all but the coarse ones are kept; elsewhere noise moves a little. Codes stay."""
    places = [(character, pose) for character in range(4) for pose in range(4)]
    latents = character_latents(artifact.load(model), 0, places)
    by_character = latents.view(4, 4, *latents.shape[1:])
    assert (by_character[:, :, 3:] == by_character[:, :1, 3:]).all()
    assert not (by_character[:, 1:, :3] == by_character[:, :1, :3]).any()
    plain = InfoganConfig(size_px=16, noise=12, filters=4, categories=(10,), continuous=1)
    artifact.save(tmp_path, plain, Infogan.build_generator(plain, None), {})
    noise = character_latents(artifact.load(tmp_path), 0, places).view(4, 4, -1)
    assert (noise[:, :, :2] == noise[:, :1, :2]).all()
    within, between = (torch.cdist(x, x) for x in (noise, noise.transpose(0, 1)))
    assert 0 < within.mean() < 0.7 * between.mean()
    first = character_latents(artifact.load(tmp_path), 0, [(2, 3)])
    torch.testing.assert_close(first[0], noise[2, 3])
