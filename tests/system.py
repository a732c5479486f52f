"""The whole system as processes, for tests that cross services."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from jewelry_local.topology import PROCESSES, environment, free_addresses

REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLES = REPOSITORY / "samples"
READY_SECONDS = 90.0


class System:
    """Starts every service on free ports and stores of its own; each can be killed and started alone.

    Args:
        folder: Where the stores and the logs go.
        variables: More environment for every service, such as keys and base URLs of emulators.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._addresses = free_addresses()
        self.url = f"http://{self._addresses['GATEWAY_ADDR']}"
        # A developer's own keys and stores never reach a test.
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self._environment = {
            **clean,
            **{name: value for name, value in environment().items() if name in _SHARED_CORES},
            **self._addresses,
            "DATA_DIR": str(folder / "data"),
            "GATEWAY_PUBLIC_URL": self.url,
            **(variables or {}),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> System:
        for process in PROCESSES:
            self.start(process.name)
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str) -> None:
        """Starts one service; its output goes to `<name>.log`."""
        process = next(process for process in PROCESSES if process.name == name)
        # Started in an empty folder, so that no .env of the repository is read.
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", process.module],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """SIGKILL, and waits until the process is gone."""
        self._running[name].kill()
        self._running[name].wait()

    def terminate(self, name: str) -> int:
        """SIGTERM; returns the exit status."""
        self._running[name].terminate()
        return self._running[name].wait(timeout=30)

    def is_running(self, name: str) -> bool:
        """False once the process has ended."""
        return self._running[name].poll() is None

    def address(self, name: str) -> str:
        """host:port of the named service."""
        process = next(process for process in PROCESSES if process.name == name)
        return process.address(self._addresses)

    def wait_ready(self, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """Waits until /readyz answers 200; returns its body."""
        deadline = time.monotonic() + seconds
        last = "no answer"
        while time.monotonic() < deadline:
            for name, process in self._running.items():
                assert process.poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"{self.url}/readyz", timeout=10, trust_env=False)
                last = answer.text
                if answer.status_code == httpx.codes.OK:
                    body: dict[str, Any] = answer.json()
                    return body
            time.sleep(0.1)
        raise AssertionError(f"not ready after {seconds} s: {last}")

    def log(self, name: str) -> str:
        """What the service wrote so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def client(self) -> httpx.Client:
        """A REST client of the gateway."""
        return httpx.Client(base_url=self.url, timeout=120, trust_env=False)

    def stop(self) -> None:
        """Stops everything, gently first."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(timeout=25)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


_FOREIGN = (
    "GOOGLE_",
    "OPENAI_",
    "AWS_",
    "ZILLIZ_",
    "MILVUS_",
    "CHROMA_",
    "REDIS_",
    "DATABASE_",
    "GATEWAY_",
    "HF_",
    "CLIP_",
)
_SHARED_CORES = ("OMP_WAIT_POLICY", "PYTHONUNBUFFERED", "TOKENIZERS_PARALLELISM")


def photo(sku: str, view: str = "") -> Path:
    """A sample photo."""
    return SAMPLES / "photos" / f"{sku}{view}.jpg"


def upload(client: httpx.Client, data: bytes, name: str = "photo.jpg", **form: str) -> httpx.Response:
    """POST /upload-and-index."""
    return client.post("/upload-and-index", files={"file": (name, data, "image/jpeg")}, data=form)


def running_system(folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[System]:
    """Body of a fixture: a system that runs until the tests that use it have ended."""
    with System(folder, variables) as system:
        yield system
