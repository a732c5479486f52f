"""The supervisor with real processes: restart, giving up, and a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from jewelry_local.supervisor import GaveUp, Supervisor
from jewelry_local.topology import Process

Script = Callable[[str, str], Process]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    def write(name: str, body: str) -> Process:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(body))
        return Process(name, name, "UNUSED", "")

    return write


class Lines:
    """Collects the log and lets a test wait for a line."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []
        self._new = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.all.append((name, line))
        self._new.set()

    async def wait_for(self, name: str, text: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(1 for who, line in self.all if who == name and text in line) < times:
                self._new.clear()
                await self._new.wait()


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONUNBUFFERED": "1"}


RUNS = """
    import signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: (print("stopped well"), sys.exit(0)))
    print("up")
    while True: time.sleep(0.05)
"""


async def stop(running: asyncio.Task[None]) -> None:
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_killed_process_is_named_and_started_again(script: Script, tmp_path: Path) -> None:
    lines = Lines()
    supervisor = Supervisor([script("steady", RUNS)], environment(tmp_path), lines)
    running = asyncio.create_task(supervisor.run())
    await lines.wait_for("steady", "up")
    first = supervisor.pid("steady")
    os.kill(first, signal.SIGKILL)
    await lines.wait_for("supervisor", "steady was killed by SIGKILL")
    await lines.wait_for("steady", "up", times=2)
    assert supervisor.pid("steady") != first
    await stop(running)
    assert ("steady", "stopped well") in lines.all


async def test_three_deaths_stop_everything_and_say_why(script: Script, tmp_path: Path) -> None:
    lines = Lines()
    broken = script("broken", "print('no key in the lock'); raise SystemExit(3)")
    supervisor = Supervisor([script("steady", RUNS), broken], environment(tmp_path), lines)
    with pytest.raises(GaveUp, match=r"broken died 3 times within a minute \(ended with status 3\)") as caught:
        await supervisor.run()
    assert "no key in the lock" in str(caught.value)
    with pytest.raises(ProcessLookupError):
        os.kill(supervisor.pid("steady"), 0)


async def test_without_restart_the_first_death_ends_it(script: Script, tmp_path: Path) -> None:
    supervisor = Supervisor([script("broken", "raise SystemExit(1)")], environment(tmp_path), Lines(), restart=False)
    with pytest.raises(GaveUp, match="broken died once"):
        await supervisor.run()


async def test_processes_end_when_the_supervisor_is_killed(script: Script, tmp_path: Path) -> None:
    script("steady", RUNS)
    parent = """
        import asyncio, os
        from jewelry_local.supervisor import Supervisor
        from jewelry_local.topology import Process
        async def main():
            tell = lambda name, line: print(s.pid("steady"), flush=True)
            s = Supervisor([Process("steady", "steady", "", "")], os.environ, tell)
            await s.run()
        asyncio.run(main())
    """
    script("parent", parent)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "parent", env=environment(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    async with asyncio.timeout(10):
        while _alive(child):
            await asyncio.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
