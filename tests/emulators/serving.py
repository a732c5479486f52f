"""Runs an emulator on a free port of this machine, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from tests.emulators import gemini_api, openai_api
from tests.emulators.control import Config, Control, Fault, FaultKind, LogEntry


@dataclass(frozen=True)
class Emulator:
    """A running emulator: where it listens, and the state to steer it with."""

    url: str
    control: Control

    @property
    def log(self) -> list[LogEntry]:
        """Every request since the start or the last reset."""
        return self.control.log

    def fault(self, kind: FaultKind | str, **details: object) -> None:
        """Scripts a fault; the details are the fields of `Fault`."""
        self.control.add_fault(Fault.model_validate({"kind": kind, **details}))

    def configure(self, **changes: object) -> None:
        """Changes settings; the names are the fields of `Config`."""
        self.control.configure(changes)

    def reset(self) -> None:
        """Forgets log, faults and quotas."""
        self.control.reset()

    def count(self, operation: str | None = None, status: int | None = None) -> int:
        """How many logged requests match."""
        return sum(
            operation in (None, entry.operation) and status in (None, entry.status) for entry in self.control.log
        )


@contextmanager
def gemini(*, clock: Callable[[], float] = time.monotonic, **config: object) -> Iterator[Emulator]:
    """Gemini on a free port; give `url` as `base_url`. Keyword arguments are the fields of `Config`.

    `clock` is the time by which quotas are counted, in seconds; tests that wait for none give their own.
    """
    with _running(gemini_api.app, Config.model_validate(config), "", clock) as emulator:
        yield emulator


@contextmanager
def openai(**config: object) -> Iterator[Emulator]:
    """OpenAI on a free port; `url` ends in `/v1`. Keyword arguments are the fields of `Config`."""
    with _running(openai_api.app, Config.model_validate(config), "/v1") as emulator:
        yield emulator


@contextmanager
def _running(
    build: Callable[[Control], Starlette], config: Config, suffix: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[Emulator]:
    control = Control(config, clock)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    # Requests that hang on purpose must not hold up the end of a test: no grace at shutdown.
    settings = uvicorn.Config(
        build(control), log_level="critical", timeout_graceful_shutdown=0, lifespan="off", ws="none"
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, args=([listener],), name=f"emulator-{port}", daemon=True)
    thread.start()
    try:
        _wait_until_started(server, thread)
        yield Emulator(f"http://127.0.0.1:{port}{suffix}", control)
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
        listener.close()


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + 20
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the emulator did not start")
        time.sleep(0.005)
