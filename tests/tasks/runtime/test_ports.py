"""Ports for programs that start at the same moment."""

import os
import socket
import subprocess
import sys

from atelier.tasks.runtime.ports import reserve

TAKE = """
import subprocess, sys
from atelier.tasks.runtime.ports import reserve
with reserve("127.0.0.1", 24100, 2) as ports:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=ports.held)
print(*ports.numbers, flush=True)
input()
child.communicate(b"\\n")
"""


def test_programs_that_start_together_get_different_ports_until_their_children_end() -> None:
    command = [sys.executable, "-c", TAKE]
    programs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(4)
    ]
    found = [program.stdout.readline().split() for program in programs if program.stdout]
    taken = {port for ports in found for port in ports}
    assert len(taken) == 8, "none of them is bound yet"
    with reserve("127.0.0.1", 24100) as more:
        assert str(more.numbers[0]) not in taken
    for program in programs:
        program.communicate("\n", timeout=20)
    first = int(found[0][0])
    with reserve("127.0.0.1", 24100, preferred=first) as again:
        assert again.numbers == (first,), "a reservation ends with its last holder"


def test_a_port_that_is_bound_is_not_free() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        with reserve("127.0.0.1", 24200, preferred=port) as ports:
            assert port not in ports.numbers
