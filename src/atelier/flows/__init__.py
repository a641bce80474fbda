"""When: Prefect flows, the command line and the parameters."""
