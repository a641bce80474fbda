"""Free ports, reserved so that two programs that start at the same moment never get the same one.

A port is found here and bound a second later by a child process. Until the child ends, it holds an abstract socket
name of the kernel as the reservation. These names live in the network namespace, as ports do, and end with their last
holder, even if that is killed.
"""

import contextlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_LAST = 32000  # the kernel gives connections the ports above


@dataclass(frozen=True)
class Ports:
    """Ports for a child to bind."""

    numbers: tuple[int, ...]
    held: tuple[int, ...]  # file descriptors of the reservations, for the child's `pass_fds`


@contextlib.contextmanager
def reserve(host: str, first: int, count: int = 1, *, preferred: int | None = None) -> Iterator[Ports]:
    """Free ports, `preferred` or from `first` on, reserved for the child that is started in this block with `held`.

    Raises:
        RuntimeError: there are too few.
    """
    numbers: list[int] = []
    with contextlib.ExitStack() as ours:
        held: list[int] = []
        for port in [*([preferred] if preferred else []), *range(first, _LAST)]:
            if port in numbers or (name := _name(port)) is None:
                continue
            if not _free(host, port):
                name.close()
                continue
            ours.enter_context(name)
            numbers.append(port)
            held.append(name.fileno())
            if len(numbers) == count:
                yield Ports(tuple(numbers), tuple(held))
                return
    raise RuntimeError(f"no {count} free ports between {first} and {_LAST}: end other programs that listen there")


def _name(port: int) -> socket.socket | None:
    """The reservation of a port; None where another process has it."""
    name = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":
        try:
            name.bind(f"\0atelier-port-{port}")
        except OSError:
            name.close()
            return None
    return name


def _free(host: str, port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignores past connections of an ended server
        try:
            one.bind((host, port))
        except OSError:
            return False
    return True
