"""How the tests drive the studio."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.system import System

WIDE = (1280, 900)
NARROW = (390, 844)
# A loaded machine takes its time; nothing here waits longer than it must. Milliseconds.
PATIENCE = 30_000
TALLEST = 3000
expect.set_options(timeout=PATIENCE)


@dataclass(frozen=True)
class Studio:
    """The studio's address, and the system behind it."""

    url: str
    system: System

    def open(self, page: Page, screen: str, query: str = "lang=en") -> None:
        """Opens a screen and waits until it is drawn; the first one is at the root."""
        page.goto(f"{self.url}/{'' if screen == 'describe' else screen}?{query}")
        page.locator("h1").first.wait_for()
        settled(page)


def settled(page: Page) -> None:
    """Waits until the studio has drawn what was asked for."""
    # The browser sends first, then the state changes: a moment too early would be before the question.
    page.wait_for_timeout(150)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def keyed(page: Page, key: str, inside: str = "") -> Locator:
    """A widget by the key that its page gave it; `inside` is what is looked for in it, of which one is visible."""
    place = ".st-key-" + "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in key)
    return page.locator(f"{place} {inside}:visible" if inside else place).first


def press(page: Page, key: str) -> None:
    """Presses a button by its key, and waits until the page is drawn again."""
    keyed(page, key, "button").click()
    settled(page)


def choose(page: Page, key: str, option: str) -> None:
    """Chooses an option of a select box by its text."""
    box = keyed(page, key, "input")
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).first.click()
    settled(page)


def upload(page: Page, key: str, *files: Path) -> None:
    """Drops files on an uploader."""
    page.locator(f'.st-key-{key.replace(".", "-")} input[type="file"]').set_input_files([str(file) for file in files])
    page.locator(f".st-key-{key.replace('.', '-')}").get_by_role("button", name=files[-1].name).first.wait_for()
    settled(page)


class running_studio:  # reads as a statement where it is used
    """The studio as a process of its own, for the time of the block; gives its address."""

    def __init__(self, folder: Path, gateway: str, **variables: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self._address = f"127.0.0.1:{taken.getsockname()[1]}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("STUDIO_", "GATEWAY_"))}
        data = {"DATA_DIR": str(folder / "data"), "STUDIO_ADDR": self._address, "GATEWAY_URL": gateway}
        self._environment = {**clean, **data, **variables}
        self._folder = folder

    def __enter__(self) -> str:
        with (self._folder / "studio.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "studio_service"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            log_text = (self._folder / "studio.log").read_text(errors="replace")
            assert self._process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.1)
        return f"http://{self._address}"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{self._address}/_stcore/health", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False
