"""The server builder: one way in which every service starts, serves and stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from servicekit import errors, logs, telemetry
from servicekit.interceptors import ServerInterceptor
from servicekit.settings import ServiceSettings

logger = logging.getLogger(__name__)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class Service:
    """What a service gives to the builder.

    Attributes:
        register: Adds the servicer to a server.
        descriptors: The protobuf services that it serves.
        warm_up: Awaited before health turns SERVING; a failure ends the process.
        close: Awaited after the last call has ended.
        admit: Called with the path of each unary call, within its deadline, before its request is read; raises to
            refuse the call at the least cost. For services with large requests.
    """

    register: Callable[[grpc.aio.Server], None]
    descriptors: Sequence[ServiceDescriptor]
    warm_up: Callable[[], Awaitable[None]] | None = None
    close: Callable[[], Awaitable[None]] | None = None
    admit: Callable[[str], None] | None = None


class RunningServer:
    """A started server; `become_ready` opens it, `stop` drains it."""

    def __init__(self, service: Service, settings: ServiceSettings, address: str) -> None:
        self._service = service
        self._pause = settings.drain_pause_seconds
        self._interceptor = ServerInterceptor(service.admit)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[self._interceptor],
            maximum_concurrent_rpcs=settings.grpc_max_concurrent_rpcs,
            options=_options(settings),
        )
        service.register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [descriptor.full_name for descriptor in service.descriptors]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        self._health_names = ["", *names]
        credentials = server_credentials(settings)
        try:
            if credentials is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise errors.FailedPrecondition(f"cannot listen on {address}: is the port taken?") from error

    async def start(self) -> None:
        """Listens, and says NOT_SERVING until `become_ready`."""
        for name in self._health_names:
            await self._health.set(name, NOT_SERVING)
        await self._server.start()

    async def become_ready(self) -> None:
        """Warms up, then says SERVING."""
        if self._service.warm_up is not None:
            await self._service.warm_up()
        # What start-up made lives as long as the process; the collector need not walk it again.
        gc.collect()
        gc.freeze()
        self._interceptor.ready = True
        for name in self._health_names:
            await self._health.set(name, SERVING)

    async def stop(self, grace: float) -> None:
        """Says NOT_SERVING, lets callers turn away and calls in flight end for up to `grace` seconds, then closes."""
        started = time.monotonic()
        await self._health.enter_graceful_shutdown()
        if self._interceptor.ready:
            await self._let_callers_turn_away(min(grace / 4, 10 * self._pause))
        await self._server.stop(max(0.0, grace - (time.monotonic() - started)))
        if self._service.close is not None:
            await self._service.close()

    async def _let_callers_turn_away(self, most: float) -> None:
        """Serves on until no call has arrived for `drain_pause_seconds`, for up to `most` seconds.

        gRPC cancels what is on its way to a server that stops: callers must have read NOT_SERVING, and what they had
        sent before must have been taken in.
        """
        until = time.monotonic() + most
        while (left := until - time.monotonic()) > 0 and self._pause:
            arrived = self._interceptor.arrived
            await asyncio.sleep(min(self._pause, left))
            if self._interceptor.arrived == arrived:
                return


def server_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """TLS where a certificate is configured, mTLS where an authority is; else None."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    authority = settings.tls_ca.read_bytes() if settings.tls_ca else None
    pair = (settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def _options(settings: ServiceSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.grpc_max_message_bytes),
        ("grpc.max_send_message_length", settings.grpc_max_message_bytes),
        ("grpc.max_connection_age_ms", settings.grpc_max_connection_age_seconds * 1000),
        ("grpc.max_connection_age_grace_ms", round(settings.drain_seconds * 1000)),
        # Clients ping every 20 s, also while idle; without this the server would call it abuse.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients are our own. One whose pings bunch up on a busy machine is not cut off with all its calls in flight.
        ("grpc.http2.max_ping_strikes", 0),
        # A second process on the same port is a mistake to be told, not load to be shared.
        ("grpc.so_reuseport", 0),
    ]


def run(name: str, settings: ServiceSettings, address: str, build: Callable[[], Awaitable[Service]]) -> None:
    """Serves until SIGTERM or SIGINT; the process's main call.

    Args:
        name: Short name in logs and traces, such as `embedding`.
        settings: The service's settings.
        address: host:port to listen on.
        build: Wires the service; heavy work belongs into its `warm_up`.

    Raises:
        SystemExit: With status 1 when the service could not start; the log says why.
    """
    logs.configure(name, settings)
    telemetry.configure(name, settings)
    try:
        asyncio.run(_serve(name, settings, address, build))
    except errors.ServiceError as error:
        logger.error("%s could not start: %s", name, error.message)
        sys.exit(1)


async def _serve(name: str, settings: ServiceSettings, address: str, build: Callable[[], Awaitable[Service]]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    server = RunningServer(await build(), settings, address)
    await server.start()
    warming = asyncio.create_task(server.become_ready())
    stop_asked = asyncio.create_task(stopping.wait())
    await asyncio.wait({warming, stop_asked}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if warming.done():
            warming.result()
            logger.info("%s is ready on %s", name, address)
        await stop_asked
        logger.info("%s is stopping", name)
    finally:
        warming.cancel()
        await server.stop(settings.drain_seconds)
