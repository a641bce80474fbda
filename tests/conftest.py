"""Real parts that every test shares: one Ray cluster and one workspace with versions for the session."""

import os
import signal
from collections.abc import Iterator

import pytest
import torch

from atelier.tasks.runtime.ray_settings import NO_METRICS
from atelier.tasks.workspace.layout import Workspace
from tests.tasks.published import studio

PRIORITY = {"RAY_worker_niceness": "0"}
SERVICES = {"ray_cluster", "nodes", "published", "own", "environment", "atelier", "plane", "studio", "server", "bucket"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts servers, clusters or commands as long: `make check` leaves it out."""
    for item in items:
        if isinstance(item, pytest.Function) and SERVICES.intersection(item.fixturenames):
            item.add_marker("long")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Networks of tests are too small to share: threads, of commands and of workers too, would wait for each other."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _workers_like_drivers() -> None:
    """By default Ray's workers have a low priority: beside other tests they would hardly start."""
    os.environ.update(PRIORITY)


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> None:
    """Hundreds of commands and workers would compile our modules each for itself."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session", autouse=True)
def _sigint_interrupts() -> None:
    """A shell starts commands in the background with SIGINT ignored, and what the tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A real Ray cluster with two CPUs on this machine."""
    os.environ["RAY_TRAIN_V2_ENABLED"] = "1"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ.update(NO_METRICS)
    import ray

    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with versions, to be read only; see `published.studio`."""
    return studio(tmp_path_factory.mktemp("published") / "studio")
