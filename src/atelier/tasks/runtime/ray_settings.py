"""Environment variables of Ray: security, what is switched off, and how a process finds its cluster."""

# a head listens on the loopback interface and asks for a token: who reaches an open Ray port runs code as its owner.
# Without the second variable Ray takes 127.0.0.1 for the outer address and listens on every interface
_LOOPBACK = {"RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# statistics for a dashboard: without one they cost each process a hundredth of a core for nothing
NO_METRICS = {
    "RAY_enable_metrics_collection": "0",
    "RAY_event_stats": "0",
    "RAY_task_events_report_interval_ms": "0",
}
RAY_SETTINGS = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a thread that still uses Ray when its process ends would connect again
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of Ray's own actors, which it prints when a job is interrupted
    # OpenMP's threads spin while they wait for each other, and take the cores from workers, whose priority Ray lowers;
    # after so few rounds they sleep (benchmarks/beside.py)
    "GOMP_SPINCOUNT": "10000",
}
CLUSTER_SETTINGS = tuple(_LOOPBACK)  # must be equal in a driver and its cluster


def ray_environment(address: str, token: str | None = None, *, metrics: bool = False) -> dict[str, str]:
    """The variables by which a process and its children find a cluster (host:port); set them before ray is imported.

    `token` is the path of the token file of our own head, which has a dashboard where there are `metrics`; None for a
    user's cluster, whose settings stay.
    """
    ours = {**_LOOPBACK, **({} if metrics else NO_METRICS), "RAY_AUTH_TOKEN_PATH": token} if token else {}
    return {"RAY_ADDRESS": address, **RAY_SETTINGS, **ours}


def reread_settings() -> None:
    """Make Ray read its variables again, where it was imported before they were set."""
    # Ray reads both once, at import, and has no public way to read them again; a driver cannot always set them first.
    # `tests/tasks/runtime/test_cluster.py::test_a_driver_with_the_token_connects[early]` fails where a new Ray has
    # changed them
    from ray._private import ray_constants
    from ray._private.authentication.authentication_token_setup import AuthenticationTokenLoader, Config

    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, not ray_constants.IS_WINDOWS_OR_OSX
    )
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
