"""Opening one page: status, redirects, waiting for its content, growing it, keeping what could not be read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Error, Page, Response
from playwright.async_api import TimeoutError as PlaywrightTimeout

from scrapers.browse.chromium import Chromium
from scrapers.browse.errors import PageFailed, Throttled
from scrapers.browse.pace import Pace
from scrapers.browse.robots import Robots
from scrapers.sites.view import MAX_HTML
from scrapers.values import seconds_to_wait

MAX_SNAPSHOTS = 50
CONTENT_TRIES = 5
_GONE = (404, 410)
_NET_ERROR = re.compile(r"net::(ERR_\w+)")
_HOPELESS = {
    "ERR_TOO_MANY_REDIRECTS": "redirects in circles",
    "ERR_ABORTED": "is a download, not a page",
    "ERR_INVALID_URL": "is no address",
    "ERR_UNSAFE_PORT": "names a port that browsers refuse",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a page to load, and for its content to appear after that."""

    load: float
    settle: float


class Opened:
    """A page that has loaded."""

    def __init__(self, page: Page, response: Response | None, patience: Patience) -> None:
        self._page = page
        self._response = response
        self._patience = patience

    @property
    def url(self) -> str:
        """Where the page is now, after redirects."""
        return self._page.url

    async def html(self) -> str:
        """The document as it stands.

        Raises:
            PageFailed: the page keeps going elsewhere.
        """
        for _ in range(CONTENT_TRIES):
            try:
                return (await self._page.content())[:MAX_HTML]
            except PlaywrightTimeout as error:
                raise PageFailed("does not come to rest", retry=True) from error
            except Error as error:
                if "navigating" not in error.message:
                    raise failure(error) from error
                await asyncio.sleep(self._patience.settle / CONTENT_TRIES)
        raise PageFailed("keeps going elsewhere", retry=True)

    async def body(self) -> str:
        """The document as the server sent it, before scripts changed it; empty where it cannot be had."""
        if self._response is None:
            return ""
        try:
            return (await self._response.text())[:MAX_HTML]
        except (Error, UnicodeDecodeError):
            return ""

    async def readable(self, selectors: Sequence[str], enough: Callable[[str], bool]) -> str:
        """The first HTML that is `enough`: at once, after one of the selectors has appeared, or as it was sent.

        The document as it stands where nothing is enough.
        """
        html = await self.html()
        if enough(html):
            return html
        if selectors and self._patience.settle > 0:
            try:
                milliseconds = self._patience.settle * 1000
                await self._page.wait_for_selector(", ".join(selectors), state="attached", timeout=milliseconds)
            except PlaywrightTimeout:
                pass
            except Error as error:
                raise failure(error) from error
            html = await self.html()
            if enough(html):
                return html
        sent = await self.body()
        return sent if sent and enough(sent) else html

    async def grow(self, selectors: Sequence[str]) -> bool:
        """Scrolls to the end; True when more elements of the selectors appeared."""
        selector = ", ".join(selectors)
        try:
            before = await self._page.locator(selector).count()
            await self._page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
            await self._page.wait_for_function(
                "([selector, before]) => document.querySelectorAll(selector).length > before",
                arg=[selector, before],
                timeout=self._patience.settle * 1000 or 1,
            )
        except PlaywrightTimeout:
            return False
        except Error as error:
            raise failure(error) from error
        return True

    async def keep(self, folder: Path, name: str, html: str) -> None:
        """Writes the HTML and a screenshot into the folder, so that a person can see what the parser saw."""
        path = await asyncio.to_thread(_keep_html, folder, name, html)
        if path is None:
            return
        try:
            shot = await self._page.screenshot(timeout=self._patience.load * 1000)
        except Error:
            return
        await asyncio.to_thread(path.with_suffix(".png").write_bytes, shot)


def _keep_html(folder: Path, name: str, html: str) -> Path | None:
    """Where the HTML was written; None where the folder holds enough already."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob("*.html"))) >= MAX_SNAPSHOTS:
        return None
    path = folder / (re.sub(r"[^\w-]+", "_", name)[:100] + ".html")
    path.write_text(html, encoding="utf-8", errors="replace")
    return path


class Pages:
    """Opens pages one after another on a host, as robots.txt and the pace allow."""

    def __init__(self, chromium: Chromium, pace: Pace, robots: Robots, patience: Patience) -> None:
        self._chromium = chromium
        self._pace = pace
        self._robots = robots
        self._patience = patience

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[Opened]:
        """The page at an address.

        Raises:
            PageFailed: it cannot be had; `retry` says whether another try may help.
            SiteEnded: there is a captcha instead of robots.txt.
        """
        at_least = await self._robots.check(url)
        try:
            async with self._chromium.page() as page:
                # Only now: opening a tab takes its time, and the pace is that of requests.
                await self._pace.turn(host_of(url), at_least)
                response = await page.goto(url, wait_until="domcontentloaded", timeout=self._patience.load * 1000)
                if response is not None:
                    await _check_status(response)
                yield Opened(page, response, self._patience)
        except PlaywrightTimeout as error:
            raise PageFailed(f"did not load within {self._patience.load:g} s", retry=True) from error
        except Error as error:
            raise failure(error) from error

    async def next_turn(self, url: str) -> None:
        """Waits as before a page: scrolling loads more of one."""
        await self._pace.turn(host_of(url))

    def pause(self, url: str, seconds: float) -> None:
        """Nothing starts on the address's host for so long."""
        self._pace.pause(host_of(url), seconds)


class Refused(PageFailed):
    """401, 403 or 503: a refusal, unless the page behind it turns out to be something else."""

    def __init__(self, status: int, html: str, *, retry: bool, wait: float | None) -> None:
        super().__init__(f"answers {status}", retry=retry, wait=wait)
        self.status = status
        self.html = html


async def _check_status(response: Response) -> None:
    """Turns statuses into failures.

    Raises:
        PageFailed, Throttled, Refused: by status.
    """
    status = response.status
    if status < 400:
        content_type = (await response.header_value("content-type") or "text/html").lower()
        if "html" not in content_type:
            raise PageFailed(f"is {content_type.split(';')[0]}, not a page")
        return
    if status in _GONE:
        raise PageFailed(f"answers {status}", kind="gone")
    wait = seconds_to_wait(await response.header_value("retry-after"), datetime.now(UTC))
    if status == 429:
        raise Throttled("answers 429 (too many requests)", retry=True, wait=wait)
    try:
        html = (await response.text())[:MAX_HTML]
    except (Error, UnicodeDecodeError):
        html = ""
    raise Refused(status, html, retry=status >= 500 or status in (408, 425), wait=wait)


def failure(error: Error) -> PageFailed:
    """What a browser error means for the page."""
    match = _NET_ERROR.search(error.message)
    if match and match[1] in _HOPELESS:
        return PageFailed(_HOPELESS[match[1]])
    if match:
        return PageFailed(f"cannot be reached ({match[1]})", retry=True)
    return PageFailed(f"broke off: {error.message.splitlines()[0][:200]}", retry=True)


def host_of(url: str) -> str:
    """Host and port: what the pace is kept by."""
    return urlsplit(url).netloc
