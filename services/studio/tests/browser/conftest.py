"""A running system with the studio in front of it, and a real Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from services.studio.tests.browser.driving import NARROW, PATIENCE, TALLEST, WIDE, Studio, running_studio, settled
from tests.system import REPOSITORY, SAMPLES, System


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The whole system on embedded stores, and the studio."""
    folder = tmp_path_factory.mktemp("studio")
    catalogue = {"PRODUCTS_FILE": str(SAMPLES / "products.csv")}
    with System(folder, catalogue) as system, running_studio(folder, system.url) as url:
        yield Studio(url, system)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser of the machine."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium: make test-browser installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


def _page(chromium: Browser, size: tuple[int, int], *, touch: bool = False) -> Iterator[Page]:
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]},
        accept_downloads=True,
        has_touch=touch,
        timezone_id="Asia/Kolkata",
        locale="en-IN",
    )
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page as wide as a small laptop."""
    yield from _page(chromium, WIDE)


@pytest.fixture
def narrow(chromium: Browser) -> Iterator[Page]:
    """A page as wide as a phone."""
    yield from _page(chromium, NARROW, touch=True)


@pytest.fixture(scope="session")
def shots() -> Callable[[Page, str], None]:
    """Keeps a picture of the whole page as docs/screens/<name>-<width>.png, where STUDIO_SCREENS=1 asks for it."""
    wanted = os.environ.get("STUDIO_SCREENS") == "1"
    folder = REPOSITORY / "docs" / "screens"

    def shoot(page: Page, name: str) -> None:
        settled(page)
        size = page.viewport_size
        assert size is not None
        # Nothing sticks out to the side.
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
        if not wanted:
            return
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": min(max(height + 20, size["height"]), TALLEST)})
        page.mouse.move(1, 1)
        # Charts and pictures take a moment after a change of size.
        page.wait_for_timeout(1200)
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}-{size['width']}.png")
        page.set_viewport_size(size)
        settled(page)

    return shoot
