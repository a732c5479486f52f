"""Which processes make up the system, and where each listens."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """A process of the system.

    Attributes:
        name: Short name in the log.
        module: What `python -m` runs.
        address_variable: Environment variable with its host:port.
        default_address: Where it listens when the variable is not set.
    """

    name: str
    module: str
    address_variable: str
    default_address: str

    def address(self, environment: Mapping[str, str]) -> str:
        """host:port in the given environment."""
        return environment.get(self.address_variable) or self.default_address


def _process(name: str, port: int) -> Process:
    snake = name.replace("-", "_")
    return Process(name, f"{snake}_service", f"{snake.upper()}_ADDR", f"127.0.0.1:{port}")


# The ports are those of the architecture; the gateway last, so that its first probes find the rest.
PROCESSES = (
    _process("embedding", 50051),
    _process("vision-index", 50052),
    _process("analyzer", 50053),
    _process("copywriter", 50054),
    _process("exporter", 50055),
    _process("semantic", 50056),
    _process("gateway", 8000),
)

# The screens are for people: `make up` has them, the demo and the tests speak to the gateway.
STUDIO = _process("studio", 8501)
WITH_SCREENS = (*PROCESSES, STUDIO)


def environment(**overrides: str) -> dict[str, str]:
    """The environment that every process gets: our own, and what shared cores need."""
    # Idle OpenMP workers that spin starve the other processes of a small machine
    # (0.8 images/s instead of 8 when three processes shared two cores).
    shared_cores = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **shared_cores, **overrides}


def free_addresses() -> dict[str, str]:
    """A free loopback port for each process, so that a demo disturbs no running system."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PROCESSES]
    try:
        addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()
    return {process.address_variable: address for process, address in zip(PROCESSES, addresses, strict=True)}
