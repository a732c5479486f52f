"""A service on a real socket, for tests: every interceptor, health and deadline included."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from servicekit import client
from servicekit.server import RunningServer, Service
from servicekit.settings import ServiceSettings


def settings() -> ServiceSettings:
    """Settings that read neither the environment's `.env` nor wait on drain."""
    return ServiceSettings(_env_file=None, drain_seconds=1.0, drain_pause_seconds=0.0)  # type: ignore[call-arg]  # pydantic-settings takes it


@asynccontextmanager
async def serve_locally(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """Serves on a free port of the loopback until the block ends; gives a channel to it."""
    used = settings()
    server = RunningServer(service, used, "127.0.0.1:0")
    await server.start()
    try:
        await server.become_ready()
        channel = client.connect(f"127.0.0.1:{server.port}", service.descriptors, used)
        try:
            yield channel
        finally:
            await channel.close()
    finally:
        await server.stop(used.drain_seconds)
