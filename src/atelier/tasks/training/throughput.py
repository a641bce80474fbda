"""Throughput and memory of a training: figures that are logged with its losses."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Throughput:
    """Measures a training between two entries of its journal; time of checkpoints and sample grids is left out.

    Args:
        batch_size: pictures a step, over all workers.
    """

    def __init__(self, batch_size: int, step: int, device: torch.device) -> None:
        self._batch_size, self._step, self._device = batch_size, step, device
        self._since = time.monotonic()

    @contextmanager
    def excluded(self) -> Iterator[None]:
        """Exclude the time of a block from the rate."""
        started = time.monotonic()
        yield
        self._since += time.monotonic() - started

    def take(self, step: int, data_wait: float) -> dict[str, float]:
        """The figures since the last call.

        Returns:
            `images_per_second` of all workers together; `data_wait`, this worker's share of the time, 0…1; `memory_gb`,
            the most that this process ever took, of its GPU where it has one.
        """
        now = time.monotonic()
        rate = (step - self._step) * self._batch_size / max(now - self._since, 1e-9)
        self._step, self._since = step, now
        figures = {"images_per_second": rate, "data_wait": data_wait, "memory_gb": self._memory() / 1e9}
        return {name: float(f"{value:.4g}") for name, value in figures.items()}

    def _memory(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
