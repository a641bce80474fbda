"""What deploy/ says: its rules, and its commands as they stand there, in processes instead of containers."""

import base64
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.ports import reserve

DEPLOY = Path(__file__).parents[2] / "deploy"
DEPLOYMENT = (DEPLOY / "prefect.yaml").read_text()
GIVEN = {
    "POSTGRES_PASSWORD": "p0stgres", "PREFECT_AUTH_STRING": "admin:pr3fect", "RAY_TOKEN": "0123456789abcdef" * 4,
    "S3_ROOT_USER": "keeper", "S3_ROOT_PASSWORD": "s3cretw0rd", "S3_USER": "worker", "S3_PASSWORD": "s3cretw1rd",
    "PYTHON_IMAGE": "python@sha256:1", "POSTGRES_IMAGE": "postgres@sha256:2", "S3_IMAGE": "minio@sha256:3",
}  # fmt: skip
SECRETS = re.compile("PASSWORD|TOKEN|AUTH_STRING|SECRET|_KEY|CONNECTION_URL|ROOT_USER|MC_HOST")
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::([?-])([^}]*))?\}")


def interpolated(value: Any, given: dict[str, str]) -> Any:
    """A value of a compose file with its variables, as the compose specification says."""
    if isinstance(value, dict):
        return {key: interpolated(one, given) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, given) for one in value]

    def known(found: "re.Match[str]") -> str:
        name, rule, words = found.groups()
        if name is None:
            return "$"
        assert rule, f"{name} has neither a default nor a complaint"
        assert rule == "-" or name in given, words
        return given.get(name) or (words if rule == "-" else given[name])

    return VARIABLE.sub(known, value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe", pure=True).load((DEPLOY / "compose.yaml").read_text())
    return content


def test_what_the_services_name_is_there(compose: dict[str, Any]) -> None:
    services = interpolated(compose["services"], GIVEN)
    assert set(services) == {"postgres", "prefect", "ray-head", "ray-worker", "s3", "s3-users", "nightly"}
    for name, service in services.items():
        assert set(service["networks"]) <= set(compose["networks"]), name
        assert service["image"] == "atelier" or "@sha256:" in service["image"], f"{name} has no digest"
        for volume in service.get("volumes", ()):
            here = volume.partition(":")[0]
            assert (DEPLOY / here).is_file() if here.startswith("./") else here in compose["volumes"], name
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_completed_successfully":
                assert services[other]["restart"] == "no", f"{name} waits for {other}"
            else:
                assert services[other]["healthcheck"]["test"][0] == "CMD", f"{name} waits for {other}"
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is published to others than this machine"
        for variable, value in service.get("environment", {}).items():
            assert isinstance(value, str), f"{variable} of {name}"
        build = service.get("build")
        assert build is None or (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert compose["networks"]["inside"]["internal"]
    for name in ("ray-head", "ray-worker", "nightly"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert services[name]["networks"] == ["inside"], "Ray's ports are nobody else's"
        assert not {value for value in services[name]["environment"].values() if GIVEN["S3_ROOT_PASSWORD"] in value}


def test_workers_read_pictures_and_write_to_a_bucket_of_their_own() -> None:
    allowed = {
        (action, resource)
        for rule in json.loads((DEPLOY / "s3-policy.json").read_text())["Statement"]
        for action in rule["Action"]
        for resource in rule["Resource"]
    }
    assert {action for action, _ in allowed if "*" in action} == set()
    assert {action for action, resource in allowed if resource == "arn:aws:s3:::pictures/*"} == {"s3:GetObject"}
    assert {("s3:PutObject", "arn:aws:s3:::atelier/*"), ("s3:ListBucket", "arn:aws:s3:::atelier")} < allowed
    assert {resource.split(":::")[1].split("/")[0] for _, resource in allowed} == {"pictures", "atelier"}


def test_every_pin_has_its_hashes() -> None:
    """The files of `make setup HASHES=…` and of the image say the same as constraints.txt."""

    def named(line: str) -> tuple[str, str]:
        name, _, version = line.partition("==")
        return re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower(), version.split()[0].strip()

    root = DEPLOY.parent
    pinned = dict(named(line) for line in (root / "constraints.txt").read_text().splitlines() if "==" in line)
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-cpu.txt"):
        for pin in re.split(r"\n(?=\w)", (root / file).read_text())[1:]:
            name, version = named(pin)
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", pin), f"{file}: {name}"
            # a line with a condition may be for another platform than the pins were made on
            assert pinned.get(name, version) == version.partition("+")[0], f"{file}: {name}: run make requirements"
            assert name in pinned or " ; " in pin, f"{name} is not in constraints.txt"


def test_secrets_come_from_the_environment(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if SECRETS.search(variable):
                assert re.search(r"\$\{\w+:\?", value), f"{variable} of {name} has a value, or none where it is missing"
    lines = [line for line in (DEPLOY / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    example = dict(line.split("=", 1) for line in lines)
    assert {name for name, value in example.items() if not value} == set(GIVEN), "no secret has an example"
    used = {name for name, _, _ in VARIABLE.findall((DEPLOY / "compose.yaml").read_text()) if name}
    assert used == set(example)


@contextmanager
def started(command: list[str], variables: dict[str, str], folder: Path) -> Iterator[None]:
    """A service's command in a session of its own, which ends with the block."""
    program = Path(sys.executable).with_name(command[0])
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [program, *command[1:]], env=variables, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            process.terminate()
            process.wait(30)
            for one in psutil.wait_procs(everyone, timeout=10)[1]:
                one.kill()


def until(true: Callable[[], bool], seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
        time.sleep(0.3)


def program(*arguments: str, env: dict[str, str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    path = Path(sys.executable).with_name(arguments[0])
    return subprocess.run([path, *arguments[1:]], env=env, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow  # a server, a worker and a Ray cluster of two nodes
def test_prefect_asks_for_the_password_and_a_worker_runs_the_night(
    compose: dict[str, Any], environment: dict[str, str], new_home: Callable[[], Path], tmp_path: Path
) -> None:
    service = interpolated(compose["services"]["prefect"], GIVEN)
    for database in new_home().glob("prefect-*.db"):
        database.rename(tmp_path / "prefect.db")
    with reserve("127.0.0.1", 24300) as ports:
        port = str(ports.numbers[0])
        own = {name: value for name, value in service["environment"].items() if "DATABASE" not in name}
        variables = environment | own | {"PREFECT_HOME": str(tmp_path)}
        command = [{"4200": port, "0.0.0.0": "127.0.0.1"}.get(word, word) for word in service["command"]]
        api = f"http://127.0.0.1:{port}/api"
        _, python, *check = [word.replace("4200", port) for word in service["healthcheck"]["test"]]
        with started(command, variables, tmp_path):
            healthy = [str(Path(sys.executable).with_name(python)), *check]
            until(lambda: subprocess.run(healthy, capture_output=True).returncode == 0, 90, tmp_path / "log")

            def ask(path: str, body: dict[str, Any], words: str) -> Any:
                basic = base64.b64encode(words.encode()).decode()
                headers = {"Content-Type": "application/json", "Authorization": f"Basic {basic}"}
                request = urllib.request.Request(api + path, json.dumps(body).encode(), headers)
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return json.load(answer)

            with pytest.raises(urllib.error.HTTPError, match="401"):
                ask("/flow_runs/filter", {}, "admin:guessed")

            client = environment | {
                "PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path), "ATELIER_WORKSPACE": str(tmp_path),
                "PREFECT_API_AUTH_STRING": GIVEN["PREFECT_AUTH_STRING"], "PREFECT_WORKER_QUERY_SECONDS": "1",
            }  # fmt: skip
            for line in re.findall(r"(?m)^#   (?:ATELIER_WORKSPACE=\S+ )?(prefect .*?)(?:  +#.*)?$", DEPLOYMENT):
                words = line.replace("--no-prompt ", "").split()
                if "worker" in words:
                    break
                done = program("prefect", "--no-prompt", *words[1:], env=client, cwd=DEPLOY.parent)
                assert done.returncode == 0, done.stdout + done.stderr
            begin = program("prefect", "deployment", "run", "retrain/nightly", env=client, cwd=tmp_path)
            assert begin.returncode == 0, begin.stdout + begin.stderr
            with started(words, client, tmp_path):

                def failed() -> bool:
                    runs = ask("/flow_runs/filter", {}, GIVEN["PREFECT_AUTH_STRING"])
                    told = [run["state"]["message"] for run in runs if run["state_type"] == "FAILED"]
                    assert all("params.yaml does not exist" in message for message in told), (
                        told
                    )  # for here is no workspace
                    return bool(told)

                until(failed, 90, tmp_path / "log")


@pytest.mark.slow
def test_a_ray_worker_with_the_token_joins(compose: dict[str, Any], environment: dict[str, str]) -> None:
    from ray.util import get_node_ip_address

    services = interpolated(compose["services"], GIVEN)
    with tempfile.TemporaryDirectory(prefix="at-", dir="/tmp") as name, reserve("0.0.0.0", 24400) as ports:
        folder, port = Path(name), str(ports.numbers[0])
        here = f"{get_node_ip_address()}:{port}"
        places = {"6379": port, "ray-head:6379": here}
        head, worker = ([places.get(w, w) for w in services[n]["command"]] for n in ("ray-head", "ray-worker"))
        _, *check = [places.get(word, word) for word in services["ray-head"]["healthcheck"]["test"]]
        variables = environment | services["ray-head"]["environment"]
        known = {name: value for name, value in variables.items() if name.startswith("RAY_")} | {"RAY_ADDRESS": here}
        # what containers have of their own: a folder, CPUs
        with started([*head, "--num-cpus", "1", "--temp-dir", f"{folder}/r"], variables, folder):
            until(lambda: program(*check, env=variables, cwd=folder).returncode == 0, 60, folder / "log")
            with started([*worker, "--num-cpus", "1"], variables, folder):

                def joined() -> bool:
                    found = cluster.query_resources(known, 20)
                    return found is not None and found.cpus == (2, 2)

                until(joined, 60, folder / "log")
