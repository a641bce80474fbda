"""Free ports that two programs, started at one moment, do not both take.

A port is looked for here and bound a second later by the child that it is for. Until that child ends, it holds a name
of the kernel's that says so: names are in the network's own namespace, as ports are, and a name goes with its last
holder, however that ends.
"""

import contextlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_LAST = 32000  # above are the ports that the kernel gives connections


@dataclass(frozen=True)
class Ports:
    """Ports for a child to bind."""

    numbers: tuple[int, ...]
    held: tuple[int, ...]  # file descriptors: give them to the child, as `pass_fds`, for as long as it lives


@contextlib.contextmanager
def reserve(host: str, first: int, count: int = 1, *, like: int | None = None) -> Iterator[Ports]:
    """Free ports, kept for the child that is started in this block and gets `held`.

    Args:
        host: the address that the child binds.
        first: where the search begins.
        count: how many.
        like: a port to take first if it is free: the one that a child that is gone had.

    Raises:
        RuntimeError: there are not so many.
    """
    numbers: list[int] = []
    with contextlib.ExitStack() as ours:
        held: list[int] = []
        for port in [*([like] if like else []), *range(first, _LAST)]:
            if port in numbers or (name := _name(port)) is None:
                continue
            with contextlib.ExitStack() as tried:
                tried.enter_context(name)
                if not _free(host, port):
                    continue
                ours.push(tried.pop_all())
            numbers.append(port)
            held.append(name.fileno())
            if len(numbers) == count:
                yield Ports(tuple(numbers), tuple(held))
                return
    raise RuntimeError(f"no {count} free ports between {first} and {_LAST}: end other programs that listen there")


def _name(port: int) -> socket.socket | None:
    """What says that this port is taken or soon will be; None where somebody else says so."""
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
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections of an ended server
        try:
            one.bind((host, port))
        except OSError:
            return False
    return True
