"""What tests of several files start."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from atelier.models import artifact
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.methods.cpgan import Cpgan
from atelier.tasks.workspace.layout import Workspace
from tests.tasks.nodes import Nodes, nodes_started


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """A cluster whose head has one CPU."""
    with nodes_started() as started:
        yield started


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a generator that changes its input visibly."""
    folder = tmp_path_factory.mktemp("model")
    config = CpganConfig(filters=4, blocks=1)
    torch.manual_seed(0)
    generator = Cpgan.build_generator(config, None)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    artifact.save(folder, config, generator, {"dataset": "d" * 64})
    return folder


@pytest.fixture
def own(published: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it, to be changed."""
    return Workspace(Path(shutil.copytree(published.root, tmp_path / "studio", symlinks=True)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system needs the right to mount: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
