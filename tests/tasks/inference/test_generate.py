"""Generation on a real cluster: a picture depends on the seed and its index, and existing files are kept."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from atelier.models import artifact
from atelier.models.card import ModelIdentity, identify
from atelier.models.configs.gan import DcganConfig, InfoganConfig, VaeConfig
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.methods.cpgan import Cpgan
from atelier.models.methods.gan import Dcgan
from atelier.models.methods.infogan import Infogan
from atelier.models.methods.vae import Vae
from atelier.models.networks.infogan import code_values
from atelier.tasks.images import provenance
from atelier.tasks.images.codec import decode, encode
from atelier.tasks.inference.config import GenerateConfig
from atelier.tasks.inference.generate import (
    GRID,
    RECONSTRUCTIONS,
    STRIPS,
    TRAVERSALS,
    GenerateSummary,
    check_request,
    generate,
)
from atelier.tasks.inference.generate_worker import BATCH, file_name
from atelier.tasks.runtime.progress import Progress

CONFIG = DcganConfig(size_px=16, noise=8, filters=4, discriminator_filters=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    artifact.save(folder, CONFIG, Dcgan.build_generator(CONFIG, None), {"dataset": "d"})
    return folder


@pytest.fixture(scope="module")
def identity(model: Path) -> ModelIdentity:
    return identify(model, "style-model", "v1.0.0")


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, model: Path, identity: ModelIdentity, ray_cluster: None
) -> tuple[Path, GenerateSummary, list[Progress]]:
    """Eleven pictures: more than a batch, less than two."""
    folder = tmp_path_factory.mktemp("made") / "new" / "faces"
    seen: list[Progress] = []
    config = GenerateConfig(count=11, seed=5, truncation=0.8, interpolate=4)
    return folder, generate(check_request(config, model, identity), folder, seen.append, connect=lambda: None), seen


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def never() -> None:
    raise AssertionError("there was nothing to do")


def test_there_are_pictures_a_grid_and_strips(made: tuple[Path, GenerateSummary, list[Progress]]) -> None:
    folder, summary, seen = made
    assert set(contents(folder)) == {file_name(index) for index in range(11)} | {GRID, STRIPS}
    assert (summary.count, summary.made, summary.grid, summary.strips) == (11, 11, folder / GRID, folder / STRIPS)
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 11, 11)
    pictures = [decode(contents(folder)[file_name(index)]) for index in range(11)]
    assert all(picture.shape == (16, 16, 3) for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == 11
    with Image.open(folder / GRID) as grid, Image.open(folder / STRIPS) as strips:
        assert grid.width == 4 + 4 * 20
        assert grid.height == 4 + 3 * 20
        assert strips.height == 4 + 5 * 20, "from 0 to 1, from 2 to 3 …: five pairs"


def test_every_file_has_its_provenance(
    made: tuple[Path, GenerateSummary, list[Progress]], identity: ModelIdentity
) -> None:
    folder, _, _ = made
    for file, parameters in (
        (file_name(3), {"seed": 5, "truncation": 0.8, "index": 3}),
        (GRID, {"seed": 5, "truncation": 0.8, "pictures": 11}),
        (STRIPS, {"seed": 5, "truncation": 0.8, "pictures": 11, "interpolate": 4}),
    ):
        found = provenance.read((folder / file).read_bytes())
        assert found is not None
        assert (found.model, found.parameters, found.input_sha256) == (identity, parameters, "")
    assert b"/trainedAlgorithmicMedia" in (folder / file_name(0)).read_bytes(), "it was made from no picture"


def test_a_strip_begins_and_ends_with_its_pictures(made: tuple[Path, GenerateSummary, list[Progress]]) -> None:
    folder, _, _ = made
    strips = decode((folder / STRIPS).read_bytes())
    left = strips.shape[1] - 4 * 20
    for row, (first, last) in enumerate([(0, 1), (2, 3)]):
        for column, index in ((0, first), (3, last)):
            cell = strips[4 + 20 * row : 20 + 20 * row, left + 20 * column : left + 20 * column + 16].astype(int)
            picture = decode((folder / file_name(index)).read_bytes()).astype(int)
            assert np.abs(cell - picture).max() <= 1


def test_a_second_run_does_nothing_and_does_not_connect(
    made: tuple[Path, GenerateSummary, list[Progress]], model: Path, identity: ModelIdentity
) -> None:
    folder, _, _ = made
    before = contents(folder)
    config = GenerateConfig(count=11, seed=5, truncation=0.8, interpolate=4)
    summary = generate(check_request(config, model, identity), folder, connect=never)
    assert summary.made == 0
    assert contents(folder) == before


@pytest.mark.usefixtures("ray_cluster")
def test_pictures_do_not_depend_on_how_many_there_are_or_what_was_lost(
    made: tuple[Path, GenerateSummary, list[Progress]], tmp_path: Path, model: Path, identity: ModelIdentity
) -> None:
    folder, _, _ = made
    expected = {file: data for file, data in contents(folder).items() if file not in (GRID, STRIPS)}
    config = GenerateConfig(count=3, seed=5, truncation=0.8)
    generate(check_request(config, model, identity), tmp_path, connect=lambda: None)
    few = contents(tmp_path)
    assert {file: few[file] for file in few if file != GRID} == {file_name(i): expected[file_name(i)] for i in range(3)}
    # interrupted: some are there, of both batches
    (tmp_path / file_name(1)).unlink()
    (tmp_path / file_name(9)).write_bytes(expected[file_name(9)])
    summary = generate(check_request(replace(config, count=11), model, identity), tmp_path, connect=lambda: None)
    assert summary.made == 11 - 3
    assert {file: data for file, data in contents(tmp_path).items() if file != GRID} == expected
    assert contents(tmp_path)[GRID] == contents(folder)[GRID], "the sheet follows the pictures"
    assert BATCH < 11 < 2 * BATCH


@pytest.mark.usefixtures("ray_cluster")
def test_other_seeds_and_truncations_give_other_pictures(
    made: tuple[Path, GenerateSummary, list[Progress]], tmp_path: Path, model: Path, identity: ModelIdentity
) -> None:
    folder, _, _ = made
    seen = {decode((folder / file_name(0)).read_bytes()).tobytes()}
    for part, config in (
        ("seed", GenerateConfig(1, 6, 0.8)), ("all", GenerateConfig(1, 5)), ("less", GenerateConfig(1, 5, 0.1)),
    ):  # fmt: skip
        generate(check_request(config, model, identity), tmp_path / part, connect=lambda: None)
        seen.add(decode((tmp_path / part / file_name(0)).read_bytes()).tobytes())
    assert len(seen) == 4


@pytest.mark.parametrize("other", ["foreign", "seed", "damaged", "pipe", "folder"])
def test_other_files_are_not_overwritten(
    made: tuple[Path, GenerateSummary, list[Progress]], tmp_path: Path, model: Path, identity: ModelIdentity, other: str
) -> None:
    folder, _, _ = made
    if other == "pipe":
        os.mkfifo(tmp_path / file_name(2))
    elif other == "folder":
        (tmp_path / file_name(2)).mkdir()
    data = {
        "foreign": encode(np.zeros((8, 8, 3), np.uint8), "png"),
        "seed": (folder / file_name(1)).read_bytes(),
        "damaged": b"no picture",
    }.get(other)
    if data:
        (tmp_path / file_name(2)).write_bytes(data)
    with pytest.raises(ValueError, match=f"{file_name(2)} is another picture: choose another dest"):
        generate(
            check_request(GenerateConfig(count=4, seed=5, truncation=0.8), model, identity), tmp_path, connect=never
        )
    assert [path.name for path in tmp_path.iterdir()] == [file_name(2)]
    assert not data or (tmp_path / file_name(2)).read_bytes() == data


@pytest.mark.usefixtures("ray_cluster")
def test_codes_are_chosen_and_shown(tmp_path: Path) -> None:
    """Where the chosen category is what was drawn, nothing changes; the sheet has a row for each code and picture."""
    config = InfoganConfig(size_px=16, noise=8, categories=(3,), continuous=1, filters=4, discriminator_filters=4)
    torch.manual_seed(0)
    artifact.save(tmp_path / "model", config, Infogan.build_generator(config, None), {})
    coded = identify(tmp_path / "model", "digits", "")

    def run(part: str, codes: tuple[tuple[int, float], ...]) -> dict[str, bytes]:
        given = GenerateConfig(count=9, truncation=0.5, codes=codes)
        generate(check_request(given, tmp_path / "model", coded), tmp_path / part, connect=lambda: None)
        return contents(tmp_path / part)

    free, chosen = run("free", ()), run("chosen", ((0, 2.0), (1, -1.5)))
    assert set(free) == {file_name(index) for index in range(9)} | {GRID, TRAVERSALS}
    assert len({decode(free[file_name(index)]).tobytes() for index in range(9)}) == 9
    trained = artifact.load(tmp_path / "model")
    values = code_values(trained.noise(0, range(9), 0.5), config.codes)
    assert len(values[:, 0].unique()) > 1, "codes are not truncated"
    assert values[:, 1].abs().max() > 1
    values = code_values(trained.noise(0, range(9), 0.5, {0: 2, 1: -1.5}), config.codes)
    torch.testing.assert_close(values, torch.tensor([[2.0, -1.5]]).expand(9, -1), atol=1e-5, rtol=0)
    assert decode(chosen[file_name(3)]).tobytes() != decode(free[file_name(3)]).tobytes()
    found = provenance.read(chosen[TRAVERSALS])
    assert found is not None
    assert found.parameters == {"seed": 0, "truncation": 0.5, "codes": {"0": 2.0, "1": -1.5}}
    with Image.open(tmp_path / "free" / TRAVERSALS) as sheet:
        assert sheet.height == 4 + 2 * 3 * 20


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (((3, 0.0),), r"digits \(.*\) has no code 3: it has codes 0 to 2"),
        (((0, 1.5),), "code 0 of digits .* is a category from 0 to 2, not 1.5"),
        (((0, 3.0),), "a category from 0 to 2, not 3"),
        (((1, -2.5),), "a number from -2 to 2, not -2.5"),
        (((1, float("nan")),), "a number from -2 to 2, not nan"),
    ],
)
def test_codes_that_there_are_not_are_refused(tmp_path: Path, codes: tuple[tuple[int, float], ...], said: str) -> None:
    config = InfoganConfig(size_px=16, noise=8, categories=(3,), filters=4, discriminator_filters=4)
    artifact.save(tmp_path / "model", config, Infogan.build_generator(config, None), {})
    coded = identify(tmp_path / "model", "digits", "")
    with pytest.raises(ValueError, match=said):
        check_request(GenerateConfig(codes=codes), tmp_path / "model", coded)
    like = GenerateConfig(like=tmp_path / "model" / "model.json")
    with pytest.raises(ValueError, match="cannot be found in a picture: use --code"):
        check_request(like, tmp_path / "model", coded)


@pytest.mark.usefixtures("ray_cluster")
def test_pictures_are_reconstructed(tmp_path: Path) -> None:
    config = VaeConfig(size_px=16, noise=8, filters=4)
    torch.manual_seed(0)
    artifact.save(tmp_path / "model", config, Vae.build_generator(config, None), {})
    coder = identify(tmp_path / "model", "coder", "")
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    (tmp_path / "one.png").write_bytes(encode(picture, "png"))
    given = GenerateConfig(count=1, reconstruct=(tmp_path / "one.png",) * 3)
    summary = generate(check_request(given, tmp_path / "model", coder), tmp_path / "out", connect=lambda: None)
    assert summary.reconstructions == tmp_path / "out" / RECONSTRUCTIONS
    with Image.open(summary.reconstructions) as sheet:
        assert sheet.height == 4 + 2 * 20
    assert generate(check_request(given, tmp_path / "model", coder), tmp_path / "out", connect=never).made == 0
    with pytest.raises(FileNotFoundError, match=r"none\.png does not exist"):
        check_request(GenerateConfig(reconstruct=(tmp_path / "none.png",)), tmp_path / "model", coder)


def test_a_model_without_an_encoder_reconstructs_nothing(model: Path, identity: ModelIdentity, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no encoder, so that it reconstructs no pictures: train one by vae"):
        check_request(GenerateConfig(reconstruct=(tmp_path / "a.png",)), model, identity)


def test_a_model_without_codes_takes_none(model: Path, identity: ModelIdentity, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"style-model@v1\.0\.0 has no codes: train one by infogan"):
        check_request(GenerateConfig(codes=((0, 1.0),)), model, identity)


def test_a_model_that_paints_is_reported_in_one_line(tmp_path: Path) -> None:
    config = CpganConfig(filters=4, width=8, blocks=1)
    artifact.save(tmp_path / "model", config, Cpgan.build_generator(config, None), {})
    identity = identify(tmp_path / "model", "style-model", "v1.0.0")
    said = "style-model@v1.0.0 was trained by cpgan, which paints .* use `atelier stylize`"
    with pytest.raises(ValueError, match=said) as raised:
        check_request(GenerateConfig(), tmp_path / "model", identity)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("ray_cluster")
def test_a_damaged_model_is_reported_in_one_line(tmp_path: Path, model: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_bytes((model / "model.json").read_bytes())
    save_file({"other": np.zeros(3, np.float32)}, tmp_path / "model" / "generator.safetensors")
    identity = identify(tmp_path / "model", "m", "")
    with pytest.raises(ValueError, match="does not hold the network") as raised:
        generate(
            check_request(GenerateConfig(count=1), tmp_path / "model", identity), tmp_path / "out", connect=lambda: None
        )
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"count": 0}, "--count must be between 1 and 1,000,000, not 0"),
        ({"seed": -1}, "--seed must not be below 0"),
        ({"truncation": 0.0}, "--truncation must be above 0"),
        ({"interpolate": 1}, "--interpolate must be between 2 and 64"),
        ({"interpolate": 4, "count": 1}, "--count must be 2 at least"),
        ({"codes": ((0, 1.0), (0, 2.0))}, "two values for one code"),
    ],
)
def test_what_cannot_be_made_is_refused(values: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GenerateConfig(**values)


def test_a_destination_that_is_a_file(tmp_path: Path, model: Path, identity: ModelIdentity) -> None:
    (tmp_path / "file").touch()
    for place in ("file", "file/below/it"):
        with pytest.raises(NotADirectoryError, match="file is a file: choose a folder"):
            generate(check_request(GenerateConfig(), model, identity), tmp_path / place, connect=never)
