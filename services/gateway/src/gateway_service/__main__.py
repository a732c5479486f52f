"""Wires settings, clients and the application, and serves until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
import uvloop

from gateway_service import auth, masking, serving
from gateway_service.app import create_app
from gateway_service.clients import connect
from gateway_service.settings import Settings
from servicekit import errors, logs, telemetry

logger = logging.getLogger(__name__)


def main() -> None:
    """The process's main call."""
    settings = Settings()
    logs.configure("gateway", settings)
    masking.install(settings)
    telemetry.configure("gateway", settings)
    try:
        host, port = settings.listen
        auth.check_binding(host, auth.ApiKeys(settings.gateway_api_keys.get_secret_value()))
    except (errors.FailedPrecondition, ValueError) as error:
        logger.error("gateway could not start: %s", error)
        sys.exit(1)
    # uvicorn raises the signal that stopped it once more when all is closed; by then it has done its work.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, host, port))


async def _serve(settings: Settings, host: str, port: int) -> None:
    clients = connect(settings)
    app = create_app(settings, clients, durable=True)
    desk = app.state.desk
    try:
        serving.allow_connections(settings.gateway_max_connections)
        config = serving.config(settings, app, host, port)
        # Ends the process, and says why, where the port is taken.
        listening = config.bind_socket()
        await desk.open()
        logger.info("gateway listens on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        await _Server(config, desk.jobs.stop_waiting).serve([listening])
        logger.info("gateway has stopped")
    finally:
        await desk.close()
        await clients.close()


class _Server(uvicorn.Server):
    """Says at once that it is about to stop, so that those who wait for a job are sent away within the drain."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT came."""
        self._stopping()
        super().handle_exit(sig, frame)


if __name__ == "__main__":
    main()
