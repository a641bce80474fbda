"""What every flow run does beside its work: progress, artifacts, cancellation, notification."""
