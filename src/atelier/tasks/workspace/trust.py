"""Trust: what a workspace would make git and DVC run or use, beside what `init` gives it.

A workspace may be somebody else's, as a clone or as a copied folder. Settings of git and DVC name programs; stages run
commands and delete their outputs. What is not on the lists here needs the user's word: `--trust`, or ATELIER_TRUST=1.
The user's own settings outside the workspace (`git config --global`, `dvc config --global`) are not asked about.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from atelier.tasks.runtime.processes import git
from atelier.tasks.workspace.layout import Workspace

VARIABLE = "ATELIER_TRUST"

# settings of a repository that name programs, or another folder to work in. Others that do so, such as hooks, are
# switched off in `processes.environment`, and filters in `repository.git`
_GIT_PROGRAMS = re.compile(
    r"core\.(sshcommand|gitproxy|askpass|alternaterefscommand|worktree)|gpg\.(.*\.)?program|gpg\.ssh\.defaultkeycommand"
    r"|credential\.(.*\.)?helper|hook\..*|protocol\.(.*\.)?allow|remote\..*\.(uploadpack|receivepack|vcs|proxy)"
    r"|submodule\..*\.update|(uploadpack\.packobjects|gc\.recentobjects)hook"
    r"|filter\..*=.*\.(clean|smudge|process)"  # git has no option that switches off a driver with such a name
)
_GIT_HELPER = re.compile(r"[a-z][a-z-]*")  # of git itself, or installed: `store`, `cache`, `osxkeychain`
_INCLUDED_IF = re.compile(r"includeif\..*\.path", re.DOTALL)  # in the worktree the condition may hold, here not
_FILTER = re.compile(r"(filter\..*)\.(clean|smudge|process)", re.DOTALL)
# settings that .dvc/config may have: they name no program, file or password. An enabled autostage runs git's filters
_DVC_SETTINGS = {
    "core": {"remote", "checksum_jobs", "interactive", "analytics", "hardlink_lock", "no_scm", "check_update"},
    "cache": {"type", "shared", "slow_link_warning", "protected", "verify"},
    "remote": {
        "url", "endpointurl", "region", "profile", "jobs", "checksum_jobs", "version_aware", "worktree",
        "no_traverse", "verify", "type", "shared", "protected", "slow_link_warning", "user", "port", "timeout",
        "read_timeout", "connect_timeout", "connection_timeout", "use_ssl", "ssl_verify", "listobjects",
        "allow_anonymous_login", "acl", "grant_read", "grant_read_acp", "grant_write_acp", "grant_full_control",
        "cache_regions", "sse", "sse_kms_key_id", "sse_customer_algorithm", "projectname", "account_name",
        "tenant_id", "client_id", "keyfile", "ask_password", "ask_passphrase", "gss_auth", "allow_agent",
        "max_sessions", "auth", "method", "replication", "kerberos", "kerberos_principal", "use_https",
        "oss_endpoint", "gdrive_client_id", "gdrive_use_service_account", "gdrive_trash_only",
        "gdrive_acknowledge_abuse",
    },
}  # fmt: skip
_SECRET = re.compile("(password|passphrase|token|secret|_key|key_id|connection_string)$")
# files that .dvc/config.local may name, but not in the workspace: they would have come with it, and can name programs
_DVC_FILES = {"configpath", "credentialpath", "site_cache_dir"}
_DVC_COMMANDS = {"bearer_token_command"}
_PRIVATE = (".dvc/config.local", ".dvc/tmp", ".dvc/cache", ".atelier")  # files of one machine, never in git
_PIPELINE_KEYS = {"stages", "artifacts", "plots", "metrics", "params"}
_OUT_OPTIONS = {"cache", "persist", "push"}


def is_trusted() -> bool:
    """Whether the user has said that workspaces may run and use all that they name."""
    return os.environ.get(VARIABLE) == "1"


def check_settings(root: Path) -> None:
    """Check the settings of git and DVC in a workspace, before one of them is called.

    Raises:
        ValueError: they name a program, a file or a password; the message says which.
    """
    if is_trusted():
        return
    found = [*_git_findings(root), *_dvc_findings(root)]
    if found:
        raise ValueError(
            f"{root} has settings that may come from somebody else: {'; '.join(found)}. Put your own outside the "
            f"workspace (git config --global, dvc config --local), or say --trust ({VARIABLE}=1) if they may be used"
        )


def check_pipeline(workspace: Workspace) -> None:
    """Check that dvc.yaml has the stages of the template and no others, before DVC runs or checks out one.

    Raises:
        ValueError: a stage differs, and the user did not give --trust; or dvc.yaml is damaged.
    """
    content = read_pipeline(workspace)
    if is_trusted():
        return
    template = YAML(typ="safe", pure=True).load(files("atelier.tasks.workspace").joinpath("dvc.yaml").read_text())
    found = [f"it has {key!r}" for key in content if key not in _PIPELINE_KEYS]
    for name, stage in content["stages"].items():
        found += [f"stage {name!r}: {words}" for words in _differences(stage, template["stages"].get(name))]
    if found:
        raise ValueError(
            f"{workspace.dvc_yaml} is not atelier's own: {'; '.join(found)}. Read it, and say --trust ({VARIABLE}=1) "
            "if it may run"
        )


def read_pipeline(workspace: Workspace) -> dict[str, Any]:
    """The content of dvc.yaml, whose `stages` is a mapping. Raises ValueError if it is damaged."""
    try:
        content = dict(YAML(typ="safe", pure=True).load(workspace.dvc_yaml.read_text()))
        content["stages"] = dict(content["stages"])
    except Exception as error:
        raise ValueError(f"{workspace.dvc_yaml} is damaged: restore it with git ({type(error).__name__})") from error
    return content


def foreign_filters(root: Path) -> list[str]:
    """Options by which git runs no filter driver that the repository's own settings name."""
    drivers = {match[1] for key, _ in _local_git_settings(root) if (match := _FILTER.fullmatch(key))}
    values = ("clean=", "smudge=", "process=", "required=false")
    return [word for driver in sorted(drivers) for value in values for word in ("-c", f"{driver}.{value}")]


def _local_git_settings(root: Path) -> Iterator[tuple[str, str]]:
    """Names, with section and key in lower case, and values of settings in the repository, included files too."""
    listed = git(root, "config", "--list", "--show-scope", "--includes", "-z").split("\0")
    for scope, setting in zip(listed[::2], listed[1::2], strict=False):
        if scope in ("local", "worktree"):
            name, _, value = setting.partition("\n")
            yield name, value


def _git_findings(root: Path) -> Iterator[str]:
    for name, value in _local_git_settings(root):
        plain = name.startswith("credential.") and _GIT_HELPER.fullmatch(value)
        here = name == "core.worktree" and Path(git(root, "rev-parse", "--show-toplevel").strip()).samefile(root)
        included = _INCLUDED_IF.fullmatch(name) and _comes_with(root, value)
        if included or (_GIT_PROGRAMS.fullmatch(name) and not plain and not here):
            yield f"git would use {_shown(name, value)}"
    with contextlib.suppress(RuntimeError):  # there is no repository
        for path in filter(None, git(root, "ls-files", "-z", "--", *_PRIVATE).split("\0")):
            yield f"{path!r} is in git, but belongs to one machine"


def _dvc_findings(root: Path) -> Iterator[str]:
    for section, key, value in _dvc_settings(root / ".dvc" / "config"):
        off = key == "autostage" and value.lower() == "false"
        if key not in _DVC_SETTINGS.get(section, ()) and not off:
            yield f"DVC would use {_shown(f'{section}.{key}', value)} of .dvc/config"
    for section, key, value in _dvc_settings(root / ".dvc" / "config.local"):
        if key in _DVC_COMMANDS or (key in _DVC_FILES and _comes_with(root, value)):
            yield f"DVC would use {_shown(f'{section}.{key}', value)} of .dvc/config.local"


def _comes_with(root: Path, value: str) -> bool:
    """Whether a file that a setting names is in the workspace or is named relative to it: somebody else may give it."""
    path = Path(value).expanduser()
    return not path.is_absolute() or path.resolve().is_relative_to(Workspace(root).main.root.resolve())


def _shown(name: str, value: str) -> str:
    """A setting for a message: without control characters, and without the value of a secret."""
    return f"{name!r}" if _SECRET.search(name) else f"{name}={value}" if value.isprintable() else f"{name!r}={value!r}"


def _dvc_settings(path: Path) -> Iterator[tuple[str, str, str]]:
    """Section, key and value of each setting in a file of DVC, as DVC reads it."""
    from configobj import ConfigObj  # type: ignore[import-untyped]

    if path.is_symlink():
        raise ValueError(f"{path} is a link: DVC's settings must be a file of the workspace")
    if not path.is_file():
        return
    try:
        with path.open(encoding="utf-8") as file:
            content = ConfigObj(file).dict()
    except Exception as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    for name, values in content.items():
        match = re.search(r'^\s*(remote|machine|db)\s*"(.*)"\s*$', name.lower())
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            yield match[1] if match else name.lower(), key.lower(), str(value)


def _differences(stage: Any, template: Mapping[str, Any] | None) -> Iterator[str]:
    """How a stage differs from the template's, in words; earlier templates had fewer dependencies."""
    if not isinstance(stage, dict):
        yield f"it is {stage!r}"
        return
    if template is None or stage.get("cmd") != template["cmd"]:
        yield f"its command is {stage.get('cmd', stage)!r}"
    if template is None:
        return
    for key, value in stage.items():
        if key in ("cmd", "desc", "meta"):
            continue
        allowed = template.get(key)
        if key == "deps" and isinstance(value, list) and all(one in template["deps"] for one in value):
            continue
        if key in ("outs", "metrics") and _paths(value) == _paths(allowed):
            continue
        if value != allowed:
            yield f"{key} is {value!r}, the template's is {allowed!r}"
    for key in ("outs", "metrics"):
        if key in template and key not in stage:
            yield f"it has no {key}"


def _paths(outs: Any) -> Any:
    """The paths of outputs, without options that only say where DVC keeps them; what else there is stays as it is."""
    if not isinstance(outs, list):
        return outs
    found: list[Any] = []
    for out in outs:
        options = next(iter(out.values())) if isinstance(out, dict) and len(out) == 1 else None
        known = isinstance(options, dict) and all(k in _OUT_OPTIONS and isinstance(v, bool) for k, v in options.items())
        found.append(next(iter(out)) if known else out)
    return found
