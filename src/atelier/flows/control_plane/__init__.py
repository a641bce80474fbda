"""The control plane: Prefect server and Ray cluster that commands use."""
