"""Pushing: a version that one machine pushes is complete on another, and paints the same."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from atelier.tasks.dataset.shards import read_card
from atelier.tasks.images.codec import encode
from atelier.tasks.registry.dataset_versions import list_datasets
from atelier.tasks.registry.dvc_objects import open_objects
from atelier.tasks.registry.model_details import list_all_versions
from atelier.tasks.registry.push import push_versions
from atelier.tasks.registry.resolve import find_version, resolve
from atelier.tasks.registry.tags import list_versions
from atelier.tasks.registry.verify import verify_versions
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import dvc, git
from tests.tasks.published import noise
from tests.tasks.storage.test_object_store import bucket, server  # noqa: F401 (fixtures)

SSHD = Path("/usr/sbin/sshd")
SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An SSH server of this user's, on a port of its own; the port, and the key that opens it."""
    if not SSHD.is_file():
        pytest.skip(f"{SSHD} is not there: install openssh-server")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks up what it does before a login
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config").write_text(SSHD_CONFIG.format(port=port, folder=folder))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=log)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end, (folder / "log").read_text()
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        yield port, folder / "user"
    finally:
        process.terminate()
        process.wait(10)


def with_remote(workspace: Workspace, url: str, **options: str) -> None:
    """Give a workspace a remote, as docs/versions.md says, and push everything that versions name."""
    dvc(workspace.root, "remote", "add", "--default", "archive", url)
    for name, value in options.items():
        dvc(workspace.root, "remote", "modify", "archive", name, value)
    git(workspace.root, "commit", "--quiet", "--message", "A remote", ".dvc/config")
    with open_objects(workspace) as kept:
        pushed = push_versions(workspace, kept, list_versions(workspace))
    assert all(one.copied for one in pushed)
    assert {one.missing for one in pushed} == {()}


def elsewhere(workspace: Workspace, folder: Path) -> Workspace:
    """The workspace as another machine gets it: its git and nothing else."""
    git(workspace.root.parent, "clone", "--quiet", str(workspace.root), str(folder))
    return Workspace(folder)


def problems(workspace: Workspace) -> list[str]:
    with open_objects(workspace) as kept:
        return [
            problem for one in verify_versions(workspace, kept, list_versions(workspace)) for problem in one.problems
        ]


def check(here: Workspace, there: Workspace) -> None:
    """A version is the same on both; nothing but it was fetched."""
    model, same = (resolve(one, "style-model@prod") for one in (here, there))
    files = sorted(path.name for path in model.path.iterdir())
    assert files == ["generator.safetensors", "model.json"]
    assert all((model.path / name).read_bytes() == (same.path / name).read_bytes() for name in files)
    assert problems(there) == []


def test_a_folder(own: Workspace, tmp_path: Path) -> None:
    with_remote(own, str(tmp_path / "remote"))
    there = elsewhere(own, tmp_path / "clone")
    with open_objects(there) as kept:
        assert [one.here for one in list_all_versions(there, kept)] == [False] * 3
        assert {one.problem for one in list_datasets(there, kept)} == {""}, "cards are read in the remote"
    check(own, there)
    assert not there.dataset.exists()
    with open_objects(there) as kept:
        weights = kept.files(find_version(there, "v1.0.0").bytes)["generator.safetensors"]
    stored = next((tmp_path / "remote").rglob(weights[2:]))
    stored.chmod(0o644)
    stored.write_bytes(b"x" + stored.read_bytes()[1:])
    (problem,) = problems(there)
    assert problem.startswith("artifacts/style-model/generator.safetensors: damaged in the remote")
    stored.unlink()
    (problem,) = problems(there)
    assert "neither in DVC's cache nor in the remote" in problem
    with pytest.raises(RuntimeError, match=r"the bytes of style-model@v1\.0\.0"):
        resolve(there, "style-model@v1.0.0")
    with open_objects(there) as kept:
        (lost,) = push_versions(there, kept, [find_version(there, "v1.0.0")])
    assert "artifacts/style-model" in lost.missing


def test_the_workspace_itself_is_pulled(own: Workspace, tmp_path: Path) -> None:
    dvc(own.root, "checkout", "--quiet", "--force")
    with_remote(own, str(tmp_path / "remote"))
    there = elsewhere(own, tmp_path / "clone")
    dvc(there.root, "pull", "--quiet")
    assert dvc(there.root, "status", "train").strip() == "Data and pipelines are up to date."
    assert read_card(there.dataset) == read_card(own.dataset)


def test_over_ssh(own: Workspace, tmp_path: Path, sshd: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    port, key = sshd
    monkeypatch.setenv("HOME", str(tmp_path))  # no keys, hosts or settings but the test's
    (tmp_path / ".gitconfig").write_text("[user]\n    name = Nobody\n    email = nobody@localhost\n")
    url = f"ssh://127.0.0.1:{port}{tmp_path / 'remote'}"
    with_remote(own, url, keyfile=str(key))
    check(own, elsewhere(own, tmp_path / "clone"))


@pytest.mark.usefixtures("bucket")
def test_at_an_object_store(own: Workspace, tmp_path: Path) -> None:
    with_remote(own, "s3://bucket/archive", endpointurl=os.environ["AWS_ENDPOINT_URL"])
    check(own, elsewhere(own, tmp_path / "clone"))


def test_it_paints_the_same_there(own: Workspace, tmp_path: Path) -> None:
    """`git clone` and `atelier stylize`: no further step."""
    with_remote(own, str(tmp_path / "remote"))
    (tmp_path / "photo.png").write_bytes(encode(noise(7, 64), "png"))
    for workspace in (own, elsewhere(own, tmp_path / "clone")):
        out = workspace.root / "painted.png"
        command = [Path(sys.executable).with_name("atelier"), "stylize", tmp_path / "photo.png", out]
        done = subprocess.run([*command, "--workspace", workspace.root], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (own.root / "painted.png").read_bytes() == (tmp_path / "clone" / "painted.png").read_bytes()
