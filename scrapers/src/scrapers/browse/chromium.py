"""Finding and driving Chromium."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Error, Page, Playwright, ProxySettings, async_playwright
from pydantic import SecretStr

from scrapers.browse.errors import BrowserMissing

USUAL_PLACES = (
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome-stable",
    "/usr/bin/google-chrome",
    "/snap/bin/chromium",
    "/opt/google/chrome/chrome",
)
ARGUMENTS = (
    # Containers give Chromium neither user namespaces nor a large /dev/shm.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    # The browser itself calls nobody.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Pictures are addresses to us; not loading them spares the site most of the traffic.
    "--blink-settings=imagesEnabled=false",
)
CLOSING = 5.0  # seconds
# Pages that a browser serves before it is started anew, so that its memory does not grow over days.
PAGES_PER_BROWSER = 500
# Pages that a tab serves before it is closed. A new tab costs several times what a page in an old one does.
PAGES_PER_TAB = 50


def find_chromium(configured: Path | None = None) -> Path:
    """The Chromium to drive: the configured one, else one on the path or in its usual places.

    Raises:
        BrowserMissing: there is none.
    """
    if configured is not None:
        if configured.is_file():
            return configured
        raise BrowserMissing(f"there is no Chromium at {configured}: correct --chromium or CHROMIUM_PATH")
    named = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"))
    for place in (*named, *USUAL_PLACES):
        if place and Path(place).is_file():
            return Path(place)
    raise BrowserMissing(
        "no Chromium found: install it (Debian: apt-get install chromium), or name it with --chromium or CHROMIUM_PATH"
    )


def proxy_settings(proxy: SecretStr | None) -> ProxySettings | None:
    """Playwright's form of `http://user:password@host:port`."""
    if proxy is None:
        return None
    parts = urlsplit(proxy.get_secret_value())
    port = f":{parts.port}" if parts.port else ""
    settings = ProxySettings(server=f"{parts.scheme}://{parts.hostname}{port}")
    if parts.username:
        settings["username"] = parts.username
        settings["password"] = parts.password or ""
    return settings


async def _close(closing: Awaitable[None]) -> None:
    """Closes what may be dead already: Ctrl-C reaches the browser and its driver too, and then nobody answers."""
    with suppress(Error, TimeoutError):
        async with asyncio.timeout(CLOSING):
            await closing


async def _emptied(page: Page) -> bool:
    """Leaves the page, so that its scripts ask for nothing while the tab waits; False where the tab is broken."""
    try:
        await page.goto("about:blank", timeout=5_000)
    except Error:
        return False
    return True


@dataclass(slots=True)
class _Tab:
    """An open tab and how many pages it has served."""

    context: BrowserContext
    page: Page
    served: int = 0


class Chromium:
    """One browser, started when the first page is asked for, and anew when it died or has served many pages."""

    def __init__(
        self, executable: Path, *, user_agent: str, headful: bool = False, proxy: SecretStr | None = None
    ) -> None:
        self._executable = executable
        self._user_agent = user_agent
        self._headful = headful
        self._proxy = proxy_settings(proxy)
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._context: BrowserContext | None = None
        self._starting = asyncio.Lock()
        self._tabs: list[_Tab] = []
        self._served = 0
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """A tab of one's own, empty. It is used again afterwards, unless something went wrong in it.

        Raises:
            BrowserMissing: Chromium does not start.
        """
        async with self._starting:
            if self._served >= PAGES_PER_BROWSER:
                await self._idle.wait()
                await self._stop_browser()
            context = await self._ready_context()
            self._open += 1
            self._served += 1
            self._idle.clear()
        tab: _Tab | None = None
        try:
            tab = self._tabs.pop() if self._tabs else _Tab(context, await context.new_page())
            tab.served += 1
            yield tab.page
        except BaseException:
            await self._let_go(tab, again=False)
            raise
        await self._let_go(tab, again=tab.served < PAGES_PER_TAB and await _emptied(tab.page))

    async def _let_go(self, tab: _Tab | None, *, again: bool) -> None:
        if tab is not None and again and tab.context is self._context:
            self._tabs.append(tab)
        elif tab is not None:
            await _close(tab.page.close())
        self._open -= 1
        if self._open == 0:
            self._idle.set()

    async def _ready_context(self) -> BrowserContext:
        if self._context is not None and self._browser is not None and self._browser.is_connected():
            return self._context
        await self._stop_browser()
        if self._playwright is None:
            self._playwright = await async_playwright().start()
        try:
            self._browser = await self._playwright.chromium.launch(
                executable_path=self._executable,
                headless=not self._headful,
                args=[*ARGUMENTS, *(() if self._proxy else ("--no-proxy-server",))],
                proxy=self._proxy,
                # Signals are this program's business: it saves its state, then closes the browser.
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        except Error as error:
            raise BrowserMissing(f"{self._executable} does not start: {error.message.splitlines()[0]}") from error
        self._context = await self._browser.new_context(
            user_agent=self._user_agent, locale="en-IN", accept_downloads=False, service_workers="block"
        )
        self._served = 0
        return self._context

    async def _stop_browser(self) -> None:
        browser, self._browser, self._context = self._browser, None, None
        self._tabs.clear()
        if browser is not None:
            await _close(browser.close())

    async def close(self) -> None:
        """Ends the browser and its driver."""
        await self._stop_browser()
        playwright, self._playwright = self._playwright, None
        if playwright is not None:
            await _close(playwright.stop())
