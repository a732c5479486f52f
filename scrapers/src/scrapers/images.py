"""Downloading products' pictures, by request: from the site's own hosts only, with type, size and pixels checked."""

from __future__ import annotations

import asyncio
import io
import re
import warnings
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
from PIL import Image

from scrapers.browse.errors import PageFailed, SiteEnded
from scrapers.browse.pace import Pace
from scrapers.browse.robots import Robots
from scrapers.outcome import Picture
from scrapers.record import Record

MAX_BYTES = 20 * 1024 * 1024  # what the catalogue takes
MAX_PIXELS = 50_000_000  # what the catalogue takes
MIN_SIDE = 32  # smaller ones are transparent pixels and spacers
MAX_REDIRECTS = 3
PARALLEL = 4
TRIES = 3
# What shops serve and the catalogue takes; by what Pillow finds in the bytes, whatever the server calls it.
_TYPES = {"JPEG": ("image/jpeg", "jpg"), "PNG": ("image/png", "png"), "WEBP": ("image/webp", "webp")}
_TYPES |= {"GIF": ("image/gif", "gif"), "AVIF": ("image/avif", "avif")}


class PictureRefused(Exception):
    """A picture that is not taken, and why. `retry` where another try may help."""

    def __init__(self, reason: str, *, retry: bool = False) -> None:
        super().__init__(reason)
        self.retry = retry


@dataclass(frozen=True, slots=True)
class Checked:
    """A picture whose bytes are what they should be."""

    data: bytes
    media_type: str
    ending: str
    width: int
    height: int


def check(data: bytes) -> Checked:
    """Looks at the bytes: a picture of a known type, whole, of a sane size.

    Raises:
        PictureRefused: it is not.
    """
    if not data:
        raise PictureRefused("is empty")
    if len(data) > MAX_BYTES:
        raise PictureRefused(f"is larger than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[*_TYPES]) as picture:
                kind, (width, height) = picture.format or "", picture.size
                if width * height > MAX_PIXELS:
                    raise PictureRefused(f"has {width} x {height} pixels, more than {MAX_PIXELS:,}")
                if min(width, height) < MIN_SIDE:
                    raise PictureRefused(f"has {width} x {height} pixels only")
                picture.load()
    except PictureRefused:
        raise
    except Exception as error:  # Pillow raises many kinds on broken files
        raise PictureRefused("is no whole picture of a known type") from error
    media_type, ending = _TYPES[kind]
    return Checked(data, media_type, ending, width, height)


class Downloader:
    """Fetches pictures into a folder, a few at a time, as robots.txt and the pace allow.

    Args:
        hosts: hosts that may be asked, each with its subdomains; an address elsewhere is refused.
        saved: called with every picture, also with those that could not be had.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        folder: Path,
        hosts: Iterable[str],
        pace: Pace,
        robots: Robots,
        saved: Callable[[Picture], None],
    ) -> None:
        self._client = client
        self._folder = folder
        self._hosts = tuple(hosts)
        self._pace = pace
        self._robots = robots
        self._saved = saved
        self._places = asyncio.Semaphore(PARALLEL)

    async def fetch_all(self, record: Record, known: Collection[str]) -> None:
        """Every picture of a product that is not among the `known` addresses."""
        wanted = [(place, url) for place, url in enumerate(record.images, 1) if url not in known]
        async with asyncio.TaskGroup() as group:
            for place, url in wanted:
                group.create_task(self._fetch(record.product_id, place, url))

    async def _fetch(self, product_id: str, place: int, url: str) -> None:
        async with self._places:
            try:
                checked = await self._had(url)
            except PictureRefused as refusal:
                self._saved(Picture(product_id, url, reason=str(refusal)))
                return
            name = f"{re.sub(r'[^A-Za-z0-9-]+', '_', product_id)[:60]}_{place:02d}.{checked.ending}"
            await asyncio.to_thread(self._keep, name, checked.data)
            sizes = (checked.width, checked.height, len(checked.data))
            self._saved(Picture(product_id, url, str(self._folder / name), checked.media_type, *sizes))

    def _keep(self, name: str, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f".{name}.partial"
        partial.write_bytes(data)
        partial.replace(self._folder / name)

    async def _had(self, url: str) -> Checked:
        for attempt in range(TRIES):
            try:
                return await asyncio.to_thread(check, await self._bytes(url))
            except PictureRefused as refusal:
                if not refusal.retry or attempt == TRIES - 1:
                    raise
            await asyncio.sleep(2**attempt)
        raise AssertionError("unreachable")

    async def _bytes(self, url: str) -> bytes:
        """The answer's body; redirects are followed within the allowed hosts only."""
        for _ in range(MAX_REDIRECTS + 1):
            self._check_host(url)
            try:
                delay = await self._robots.check(url)
            except PageFailed as problem:
                raise PictureRefused(problem.reason, retry=problem.retry) from problem
            except SiteEnded as end:
                raise PictureRefused(str(end)) from end
            await self._pace.turn(urlsplit(url).netloc, delay)
            try:
                async with self._client.stream("GET", url) as answer:
                    if answer.is_redirect and "location" in answer.headers:
                        url = urljoin(url, answer.headers["location"])
                        continue
                    return await _body(answer)
            except httpx.HTTPError as error:
                raise PictureRefused(f"cannot be reached: {type(error).__name__}", retry=True) from error
        raise PictureRefused("redirects too often")

    def _check_host(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not any(
            host == allowed or host.endswith("." + allowed) or parts.netloc == allowed for allowed in self._hosts
        ):
            raise PictureRefused(f"lies on {host or 'no host'}, which is none of the site's picture hosts")


async def _body(answer: httpx.Response) -> bytes:
    if answer.status_code != 200:
        retry = answer.status_code == 429 or answer.status_code >= 500
        raise PictureRefused(f"answers {answer.status_code}", retry=retry)
    kind = answer.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind and not kind.startswith("image/") and kind not in ("application/octet-stream", "binary/octet-stream"):
        raise PictureRefused(f"is {kind[:60]}, not a picture")
    data = bytearray()
    async for chunk in answer.aiter_bytes():
        data += chunk
        if len(data) > MAX_BYTES:
            raise PictureRefused(f"is larger than {MAX_BYTES // 1024 // 1024} MiB")
    return bytes(data)
