"""What the commands do, wired from settings: browse, download, send, write, and say how it went."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from scrapers import canary, catalogue, output
from scrapers.browse.chromium import Chromium, find_chromium
from scrapers.browse.errors import PageFailed, SiteEnded
from scrapers.browse.pace import Pace
from scrapers.browse.pages import Pages, Patience, Refused
from scrapers.browse.robots import NoRobots, Robots
from scrapers.browse.run import Limits, Run, read_product
from scrapers.browse.store import Store, drop
from scrapers.images import Downloader
from scrapers.inputs import Wanted
from scrapers.progress import Bar
from scrapers.settings import Settings
from scrapers.sites import Site

OK, SOME_FAILED, USAGE, ENDED, STOPPED = 0, 1, 2, 3, 130
REQUEST_TIMEOUT = 30.0  # seconds, for robots.txt and pictures


@dataclass(frozen=True, slots=True)
class Job:
    """One `scrapers <site> ...` command. `images` is the folder for pictures, None where they are not wanted."""

    site: Site
    wanted: Wanted
    outputs: Sequence[Path]
    state: Path
    limit: int
    search_pages: int
    fresh: bool
    obey_robots: bool
    headful: bool
    images: Path | None
    image_hosts: Sequence[str]
    into_catalogue: bool
    website: str
    every_image: bool


def snapshots_of(state: Path) -> Path:
    """The folder for pages that could not be parsed."""
    return state.with_name(state.name.removesuffix(".sqlite") + "-snapshots")


async def scrape(job: Job, settings: Settings, console: Console) -> int:
    """Does the job; returns the exit status.

    Raises:
        BrowserMissing, StoreError: before anything was scraped.
    """
    executable = find_chromium(settings.chromium_path)
    if job.fresh:
        drop(job.state)
    store = Store(job.state, job.wanted.name)
    try:
        return await _scrape(job, settings, console, store, executable)
    finally:
        store.close()


async def _scrape(job: Job, settings: Settings, console: Console, store: Store, executable: Path) -> int:
    _plan(job, store, console)
    ended, status = "", OK
    try:
        if store.counts().waiting or store.waiting_searches():
            try:
                await _browse(job, settings, console, store, executable)
            except SiteEnded as end:
                ended, status = str(end), ENDED
        if job.images is not None:
            await _download(job, settings, console, store, job.images)
        if job.into_catalogue:
            await _send(job, settings, console, store)
    except asyncio.CancelledError:
        ended, status = "stopped", STOPPED
    except catalogue.CatalogueRefused as refusal:
        ended, status = ended or str(refusal), status or SOME_FAILED
    # Whatever happened, what is there is written.
    _write(job, store)
    return _report(store, console, job, ended, status)


def _plan(job: Job, store: Store, console: Console) -> None:
    """What is wanted and not yet in the store."""
    for line in job.wanted.refused[:5]:
        console.print(f"not a product of {job.site.data.title}: {line[:80]}", markup=False, highlight=False)
    if len(job.wanted.refused) > 5:
        console.print(f"... and {len(job.wanted.refused) - 5} more lines", highlight=False)
    again = store.try_again()
    store.reach(job.limit, job.search_pages)
    before = store.counts()
    store.add_products(job.wanted.products, job.limit)
    if job.wanted.search:
        store.add_search(job.wanted.search)
    if before.done:
        left = store.counts().waiting
        console.print(
            f"going on: {before.done} products are there, {left} to go, {again} of them tried before"
            if left or store.waiting_searches()
            else f"nothing left to scrape: {before.done} products are there (--fresh scrapes them again)",
            highlight=False,
        )


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """For robots.txt and pictures; proxies by configuration only, as for the browser."""
    proxy = settings.scraper_proxy.get_secret_value() if settings.scraper_proxy else None
    async with httpx.AsyncClient(
        headers={"User-Agent": settings.scraper_user_agent}, timeout=REQUEST_TIMEOUT, proxy=proxy, trust_env=False
    ) as client:
        yield client


def _robots(site: Site, settings: Settings, client: httpx.AsyncClient, *, obey: bool) -> Robots:
    kind = Robots if obey else NoRobots
    return kind(client, settings.scraper_user_agent, site.block_reason)


@asynccontextmanager
async def _pages(
    site: Site, settings: Settings, executable: Path, *, obey_robots: bool, headful: bool
) -> AsyncIterator[Pages]:
    chromium = Chromium(
        executable, user_agent=settings.scraper_user_agent, headful=headful, proxy=settings.scraper_proxy
    )
    async with _client(settings) as client:
        client.follow_redirects = True
        client.max_redirects = 5
        robots = _robots(site, settings, client, obey=obey_robots)
        patience = Patience(settings.scraper_timeout, settings.scraper_settle)
        try:
            yield Pages(chromium, Pace(settings.scraper_delay), robots, patience)
        finally:
            await chromium.close()


async def _browse(job: Job, settings: Settings, console: Console, store: Store, executable: Path) -> None:
    limits = Limits(
        products=job.limit,
        search_pages=job.search_pages,
        parallel=settings.scraper_pages,
        retries=settings.scraper_retries,
        backoff=settings.scraper_backoff,
        max_wait=settings.scraper_max_wait,
    )
    opening = _pages(job.site, settings, executable, obey_robots=job.obey_robots, headful=job.headful)
    with Bar(console, job.site.data.title, store.counts) as bar:
        async with opening as pages:
            await Run(job.site, pages, store, limits, snapshots_of(job.state), bar.update).go()


async def _download(job: Job, settings: Settings, console: Console, store: Store, folder: Path) -> None:
    hosts = [*job.site.data.image_hosts, *job.image_hosts, urlsplit(job.site.base_url).netloc]
    had = _there(store)
    async with _client(settings) as client:
        robots = _robots(job.site, settings, client, obey=job.obey_robots)
        pace = Pace(settings.scraper_image_delay)
        downloader = Downloader(client, folder, hosts, pace, robots, store.save_picture)
        for record in store.records():
            await downloader.fetch_all(record, {url for url in record.images if (record.product_id, url) in had})
    pictures = store.pictures().values()
    refused = sum(1 for picture in pictures if picture.reason)
    said = f"pictures: {len(pictures) - refused} in {folder}, {refused} could not be had"
    console.print(said, markup=False, highlight=False, soft_wrap=True)


def _there(store: Store) -> set[tuple[str, str]]:
    """Product and address of the pictures whose files are there."""
    return {key for key, picture in store.pictures().items() if picture.file and Path(picture.file).is_file()}


async def _send(job: Job, settings: Settings, console: Console, store: Store) -> None:
    sent = store.uploads()
    pictures = store.pictures()
    async with httpx.AsyncClient(base_url=settings.gateway_url, trust_env=False) as client:
        gateway = catalogue.Catalogue(client, job.website, settings.gateway_api_key)
        for record in store.records():
            for url in record.images if job.every_image else record.images[:1]:
                picture = pictures.get((record.product_id, url))
                before = sent.get((record.product_id, url))
                if picture is not None and picture.file and (before is None or before.status == "failed"):
                    store.save_upload(await gateway.send(picture))
    console.print(f"catalogue: {catalogue.summary(store.uploads().values())}", highlight=False)


def _write(job: Job, store: Store) -> None:
    results = output.Results(store.records, store.pictures(), store.uploads(), store.failures())
    for path in job.outputs:
        output.write(path, results)


def _report(store: Store, console: Console, job: Job, ended: str, status: int) -> int:
    counts = store.counts()
    files = ", ".join(str(path) for path in job.outputs)
    console.print(f"{counts.done} products in {files}", markup=False, highlight=False, soft_wrap=True)
    failures = store.failures()
    for failure in failures[:10]:
        line = f"  {failure.key} {failure.reason} ({failure.status})"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(failures) > 10:
        console.print(f"  ... and {len(failures) - 10} more, on the sheet of failures", highlight=False)
    if ended:
        left = f"; {counts.waiting} products wait, the same command goes on with them" if counts.waiting else ""
        console.print(f"{ended}{left}", markup=False, highlight=False, soft_wrap=True)
    return status or (SOME_FAILED if failures else OK)


async def check(
    site: Site, products: Sequence[str], settings: Settings, console: Console, *, headful: bool, verbose: bool
) -> int:
    """The canary: looks at the first of the products that still exists; returns the exit status.

    Raises:
        BrowserMissing: there is no Chromium.
    """
    executable = find_chromium(settings.chromium_path)
    async with _pages(site, settings, executable, obey_robots=True, headful=headful) as pages:
        for product in products:
            url = product if product.startswith("http") else site.product_url(product)
            try:
                async with pages.open(url) as opened:
                    html, record = await read_product(site, opened)
                    reason = "" if record.recognised else site.block_reason(html)
            except PageFailed as problem:
                reason = site.block_reason(problem.html) if isinstance(problem, Refused) else ""
                console.print(f"{url} {reason or problem.reason}", markup=False, highlight=False, soft_wrap=True)
                if problem.kind == "gone":
                    continue
                return ENDED
            except SiteEnded as end:
                console.print(str(end), markup=False, highlight=False)
                return ENDED
            if reason:
                console.print(reason, markup=False, highlight=False)
                return ENDED
            checkup = canary.examine(site, html, url)
            canary.report(checkup, console, verbose=verbose)
            return SOME_FAILED if checkup.lost else OK
    console.print("none of the known products exists any more: name one with --product", highlight=False)
    return USAGE
