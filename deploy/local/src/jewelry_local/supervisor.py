"""Starts processes, gathers their logs, starts again what dies, and stops everything cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from jewelry_local.topology import Process

# Three deaths of one process within a minute: starting it again mends nothing.
MOST_DEATHS = 3
DEATHS_WINDOW_SECONDS = 60.0
# Longer than the services' own drain (20 s), so that SIGKILL meets only what hangs.
STOP_SECONDS = 25.0
KEPT_LINES = 25
# Longest line taken from a process; longer ones are cut by the reader.
LINE_LIMIT = 1 << 20

Log = Callable[[str, str], None]


class GaveUp(Exception):  # says what happened, as the log does
    """A process died too often; the message says which, and shows its last lines."""


def _die_with_parent() -> None:
    """Asks Linux to end this process when the supervisor dies, even by SIGKILL."""
    pr_set_pdeathsig = 1  # <linux/prctl.h>
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class _Child:
    def __init__(self, process: Process, running: asyncio.subprocess.Process) -> None:
        self.process = process
        self.running = running
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)


class Supervisor:
    """Runs processes until told to stop.

    Args:
        processes: What to run.
        environment: Environment of all of them.
        log: Called with the name of a process and one line of its output.
        restart: Start again what dies; otherwise the first death is given up on.
    """

    def __init__(
        self, processes: Sequence[Process], environment: Mapping[str, str], log: Log, *, restart: bool = True
    ) -> None:
        self._processes = processes
        self._environment = dict(environment)
        self._log = log
        self._restart = restart
        self._children: dict[str, _Child] = {}
        self._stopping = False

    def pid(self, name: str) -> int:
        """Process id of the named process."""
        return self._children[name].running.pid

    async def run(self) -> None:
        """Runs until cancelled; then, or when it gives up, every process has been stopped.

        Raises:
            GaveUp: A process died too often.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes:
                    group.create_task(self._keep(process))
        except* GaveUp as group_error:
            raise group_error.exceptions[0] from None
        finally:
            await asyncio.shield(self._stop())

    async def _keep(self, process: Process) -> None:
        deaths: deque[float] = deque()
        while True:
            child = await self._start(process)
            status = await self._follow(child)
            now = time.monotonic()
            deaths.append(now)
            while deaths and now - deaths[0] > DEATHS_WINDOW_SECONDS:
                deaths.popleft()
            how = _how_it_ended(status)
            self._log("supervisor", f"{process.name} {how}; its last lines:")
            for line in child.last_lines:
                self._log("supervisor", f"    {line}")
            if not self._restart or len(deaths) >= MOST_DEATHS:
                times = f"{len(deaths)} times within a minute" if len(deaths) > 1 else "once"
                tail = "\n".join(f"    {line}" for line in child.last_lines)
                raise GaveUp(f"{process.name} died {times} ({how}):\n{tail}")
            self._log("supervisor", f"starting {process.name} again")

    async def _start(self, process: Process) -> _Child:
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", process.module),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_LIMIT,
            # Its own session: Ctrl-C reaches the supervisor alone, which stops the rest in order.
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        child = self._children[process.name] = _Child(process, running)
        return child

    async def _follow(self, child: _Child) -> int:
        """Passes the process's lines on until it ends; returns its exit status."""
        assert child.running.stdout is not None
        while True:
            try:
                raw = await child.running.stdout.readline()
            except ValueError:  # a line beyond LINE_LIMIT; the reader has dropped it
                continue
            if not raw:
                return await child.running.wait()
            line = raw.decode(errors="replace").rstrip()
            child.last_lines.append(line)
            self._log(child.process.name, line)

    async def _stop(self) -> None:
        """SIGTERM to all, the doors first; SIGKILL to what is left after STOP_SECONDS."""
        alive = [child for child in reversed(self._children.values()) if child.running.returncode is None]
        for child in alive:
            with contextlib.suppress(ProcessLookupError):
                child.running.terminate()
        drains = [asyncio.create_task(self._follow(child)) for child in alive]
        if not drains:
            return
        _, late = await asyncio.wait(drains, timeout=STOP_SECONDS)
        for child in alive:
            if late and child.running.returncode is None:
                self._log("supervisor", f"{child.process.name} did not stop in {STOP_SECONDS:.0f} s; killed")
                with contextlib.suppress(ProcessLookupError):
                    child.running.kill()
        if late:
            await asyncio.wait(late, timeout=5.0)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
