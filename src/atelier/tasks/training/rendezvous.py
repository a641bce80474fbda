"""How the workers of a training find each other: on their nodes' cluster addresses alone.

PyTorch's store and the sockets of Gloo and NCCL ask for no password. By default the store listens on every interface.
Here it is bound to the address by which the node is in the cluster, and the others to its interface: on one machine,
with a head of `atelier up`, that is the loopback interface.
"""

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
import ray
import torch.distributed

# Ray has no setting for this: `tests/tasks/training/test_workers.py` fails where a new Ray has changed its backend
from ray.train.torch.config import TorchConfig, _set_torch_distributed_env_vars, _TorchBackend

_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass
class NodeTorchConfig(TorchConfig):  # type: ignore[misc]
    """Ray's settings of PyTorch's process group, with our backend."""

    @property
    def backend_cls(self) -> type[Any]:
        """The class that connects the workers."""
        return NodeBackend


class NodeBackend(_TorchBackend):  # type: ignore[misc]
    """Ray's backend, with another rendezvous."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Connect the workers of a group."""
        kind = "nccl" if worker_group.get_resources_per_worker().get("GPU", 0) else "gloo"
        address, port = worker_group.execute_single(0, _free_port)
        worker_group.execute(_set_torch_distributed_env_vars)
        size, wait = len(worker_group), timedelta(seconds=backend_config.timeout_s)
        joining = [
            worker_group.execute_single_async(rank, _join, kind, rank, size, address, port, wait)
            for rank in range(size)
        ]
        ray.get(joining)


def _free_port() -> tuple[str, int]:
    """This node's address in the cluster, and a port that is free there."""
    address = ray.util.get_node_ip_address()
    with socket.create_server((address, 0), family=_family(address)) as found:
        return address, found.getsockname()[1]


def _join(kind: str, rank: int, size: int, address: str, port: int, wait: timedelta) -> None:
    """Connect this worker with the others."""
    own = ray.util.get_node_ip_address()
    interface = next((name for name, of_it in psutil.net_if_addrs().items() if own in {a.address for a in of_it}), None)
    for name in _INTERFACES if interface else ():
        os.environ.setdefault(name, str(interface))  # a user's own choice stays
    listening = socket.create_server((address, port), family=_family(address)).detach() if rank == 0 else None
    store = torch.distributed.TCPStore(address, port, size, rank == 0, wait, master_listen_fd=listening)  # type: ignore[attr-defined]
    torch.distributed.init_process_group(kind, store=store, rank=rank, world_size=size, timeout=wait)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
