"""Training: Ray Train around `models.training`."""
