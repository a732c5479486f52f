"""Wires settings, clients and the application, and serves until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import uvicorn
import uvloop

from gateway_service import auth
from gateway_service.app import create_app
from gateway_service.clients import Clients, connect
from gateway_service.settings import Settings
from servicekit import errors, logs, telemetry

logger = logging.getLogger(__name__)


def main() -> None:
    """The process's main call."""
    settings = Settings()
    logs.configure("gateway", settings)
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
    try:
        config = _config(settings, clients, host, port)
        # Ends the process, and says why, where the port is taken.
        listening = config.bind_socket()
        logger.info("gateway listens on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        await uvicorn.Server(config).serve([listening])
        logger.info("gateway has stopped")
    finally:
        await clients.close()


def _config(settings: Settings, clients: Clients, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings, clients),
        host=host,
        port=port,
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # The application refuses with an answer that says so; this is the last line behind it.
        limit_concurrency=settings.gateway_max_in_flight * 4,
        backlog=1024,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )


if __name__ == "__main__":
    main()
