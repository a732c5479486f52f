"""`make up`: the system, kept running, with one log."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from rich.console import Console

from jewelry_local.console import ScreenLog
from jewelry_local.readiness import NotReady, wait_until_ready
from jewelry_local.supervisor import GaveUp, Supervisor
from jewelry_local.topology import PROCESSES, STUDIO, WITH_SCREENS, environment

READY_SECONDS = 120.0


async def up() -> int:
    """Runs until Ctrl-C or SIGTERM, or until a process dies too often; returns the exit status."""
    console = Console(highlight=False)
    log = ScreenLog(console)
    used = environment()
    gateway, studio = (f"http://{process.address(used)}" for process in (PROCESSES[-1], STUDIO))
    # The screens go where the gateway is, wherever that was told to listen.
    used.setdefault("GATEWAY_URL", gateway)
    supervisor = Supervisor(WITH_SCREENS, used, log)
    running = asyncio.create_task(supervisor.run())
    announcing = asyncio.create_task(_announce(gateway, studio, log))
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        log("supervisor", "everything has stopped")
    except GaveUp as error:
        log("supervisor", f"stopped everything: {error}")
        return 1
    finally:
        announcing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await announcing
    return 0


async def _announce(gateway: str, studio: str, log: ScreenLog) -> None:
    try:
        await wait_until_ready(gateway, seconds=READY_SECONDS)
    except NotReady as error:
        log("supervisor", str(error))
        return
    log("supervisor", f"ready: {studio} is the studio; {gateway} the gateway (documentation: {gateway}/docs)")
    log("supervisor", "Ctrl-C stops everything")
