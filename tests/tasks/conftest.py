"""What tests of several files start."""

from collections.abc import Iterator

import pytest

from tests.tasks.nodes import Nodes, nodes_started


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """A cluster whose head has one CPU."""
    with nodes_started() as started:
        yield started
