"""Common to flow runs: progress, artifacts, cancellation, notification, runs of killed processes."""
