"""The settings of a training are read without torch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["atelier.tasks.training.config", "atelier.flows.config.defaults", "atelier"])
def test_parameters_are_read_without_torch(module: str) -> None:
    script = f"import {module}, sys; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
