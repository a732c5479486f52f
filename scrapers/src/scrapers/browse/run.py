"""One run: search pages become product pages, these become records, until nothing is left or the site ends it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scrapers.browse.errors import PageFailed, SiteEnded, Throttled
from scrapers.browse.pages import Opened, Pages, Refused
from scrapers.browse.store import Store, Task
from scrapers.facts import PageKind
from scrapers.record import Record
from scrapers.sites import SearchPage, SearchResult, Site

logger = logging.getLogger(__name__)

MAX_SCROLLS = 60
MAX_BACKOFF = 120.0
# So many pages in a row without one success are not bad luck: the markup has changed, or the site refuses silently.
MAX_FAILURES_IN_A_ROW = 8
_REFUSALS = (401, 403)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much and how patiently. Waits are in seconds."""

    products: int
    search_pages: int
    parallel: int
    retries: int
    backoff: float
    max_wait: float


class Run:
    """Scrapes what the store holds. Can be started again with the same store after any kind of end.

    Args:
        snapshots: the folder for pages that could not be parsed.
        changed: called after every page, for the progress bar.
    """

    def __init__(
        self,
        site: Site,
        pages: Pages,
        store: Store,
        limits: Limits,
        snapshots: Path,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._site = site
        self._pages = pages
        self._store = store
        self._limits = limits
        self._snapshots = snapshots
        self._changed = changed
        self._taken: set[int] = set()
        self._moved = asyncio.Condition()
        self._failures_in_a_row = 0

    async def go(self) -> None:
        """Works until nothing waits any more.

        Raises:
            SiteEnded: the site wants no more requests; what waits keeps waiting in the store.
            BrowserMissing: Chromium does not start.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._limits.parallel):
                    group.create_task(self._work())
        except ExceptionGroup as failures:
            # Whoever ended first cancelled the others; its reason is the run's.
            raise _first(failures) from failures

    async def _work(self) -> None:
        while (task := await self._take()) is not None:
            try:
                await self._finish(task)
            finally:
                async with self._moved:
                    self._taken.discard(task.id)
                    self._moved.notify_all()
            self._changed()

    async def _take(self) -> Task | None:
        """The next task; None when none waits and none that runs can bring more."""
        async with self._moved:
            while True:
                task = self._store.next(self._taken)
                if task is not None:
                    self._taken.add(task.id)
                    return task
                if not self._taken:
                    return None
                await self._moved.wait()

    async def _finish(self, task: Task) -> None:
        for attempt in range(self._limits.retries + 1):
            try:
                await (self._search(task) if task.kind == "search" else self._product(task))
            except PageFailed as problem:
                self._refuse(problem)
                if problem.retry and attempt < self._limits.retries:
                    await self._back_off(task, problem, attempt)
                    continue
                if isinstance(problem, Throttled):
                    raise SiteEnded(f"{self._site.data.title} keeps answering 429 (too many requests)") from problem
                self._fail(task, problem)
                return
            else:
                self._failures_in_a_row = 0
                return

    def _refuse(self, problem: PageFailed) -> None:
        """Ends the run where the failure is a refusal of the whole site."""
        if not isinstance(problem, Refused):
            return
        reason = self._site.block_reason(problem.html)
        if reason:
            raise SiteEnded(reason) from problem
        if problem.status in _REFUSALS:
            raise SiteEnded(f"{self._site.data.title} refuses: status {problem.status}") from problem

    async def _back_off(self, task: Task, problem: PageFailed, attempt: int) -> None:
        """Waits before the next attempt: as long as the site asks for, with the whole host, else longer each time."""
        backoff = min(self._limits.backoff * 2**attempt, MAX_BACKOFF)
        wait = problem.wait if problem.wait is not None else backoff * random.uniform(0.75, 1.25)  # noqa: S311
        if wait > self._limits.max_wait:
            raise SiteEnded(f"{self._site.data.title} asks to wait for {wait:.0f} s") from problem
        logger.info("%s %s; attempt %d in %.1f s", task.key, problem.reason, attempt + 2, wait)
        if problem.wait is not None or isinstance(problem, Throttled):
            self._pages.pause(task.url, wait)
        else:
            await asyncio.sleep(wait)

    def _fail(self, task: Task, problem: PageFailed) -> None:
        logger.warning("%s %s", task.key, problem.reason)
        self._store.fail(task, problem.kind, problem.reason)
        if problem.kind in ("gone", "disallowed"):
            return
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise SiteEnded(
                f"{self._failures_in_a_row} pages in a row could not be read, the last because it {problem.reason}: "
                f"look at {self._snapshots}, or run `scrapers check {self._site.name}`"
            )

    async def _product(self, task: Task) -> None:
        async with self._pages.open(task.url) as opened:
            record = await self._read_product(opened, task.key)
        if not self._store.save(task, record):
            logger.info("%s is %s again", task.key, record.product_id)

    async def _read_product(self, opened: Opened, key: str) -> Record:
        html, record = await read_product(self._site, opened)
        if record.recognised:
            return record.model_copy(update={"scraped_at": datetime.now(UTC), "url": self._site.tidy(opened.url)})
        await self._unreadable(opened, key, html)
        raise PageFailed("is no product page that the parser knows", kind="unparsed")

    async def _search(self, task: Task) -> None:
        async with self._pages.open(task.url) as opened:
            found, results = await self._read_search(opened, task)
        new = self._store.finish_search(task, results, found.next_url, self._limits.products, self._limits.search_pages)
        logger.info("%s: %d results, %d new", task.url, len(results), new)

    async def _read_search(self, opened: Opened, task: Task) -> tuple[SearchPage, list[SearchResult]]:
        selectors = selectors_of(self._site, "search", ("results", "links"))
        html = await opened.readable(selectors, lambda text: bool(self._site.parse_search(text, opened.url).results))
        found = self._site.parse_search(html, opened.url)
        if not found.recognised:
            await self._unreadable(opened, "search", html)
            raise PageFailed("is no search page that the parser knows", kind="unparsed")
        # A page that names no next one may grow when scrolled.
        known = {result.product_id: result for result in found.results}
        for _ in range(MAX_SCROLLS if found.results and not found.next_url else 0):
            if len(known) >= self._limits.products or not await opened.grow(selectors):
                break
            await self._pages.next_turn(task.url)
            found = self._site.parse_search(await opened.html(), opened.url)
            for result in found.results:
                known.setdefault(result.product_id, result)
            if found.next_url:
                break
        return found, list(known.values())

    async def _unreadable(self, opened: Opened, key: str, html: str) -> None:
        """Keeps the page, and ends the run where it is a captcha.

        Raises:
            SiteEnded: it is one.
        """
        await opened.keep(self._snapshots, f"{self._site.name}-{key}", html)
        reason = self._site.block_reason(html)
        if reason:
            raise SiteEnded(reason)
        if not self._site.owns(opened.url):
            raise PageFailed("leads to another site", kind="unparsed")


async def read_product(site: Site, opened: Opened) -> tuple[str, Record]:
    """The HTML of an open product page and its record, after waiting for what is not there at once."""
    read: dict[str, Record] = {}

    def complete(html: str) -> bool:
        read[html] = record = site.parse_product(html, opened.url)
        return record.recognised and (record.price is not None or record.availability != "")

    html = await opened.readable(selectors_of(site, "product", ("title", "price")), complete)
    return html, read[html]


def selectors_of(site: Site, page: PageKind, data: tuple[str, ...]) -> list[str]:
    """Selectors of a page's data: what to wait for, and what to count."""
    facts = [fact for datum in data for fact in site.data.of(page, datum) if fact.how == "css"]
    return list(dict.fromkeys(fact.what.rpartition("@")[0] or fact.what for fact in facts))


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """The most telling of the workers' exceptions: an end by the site before its consequences."""
    ends = (failure for failure in failures.exceptions if isinstance(failure, SiteEnded))
    return next(ends, failures.exceptions[0])
