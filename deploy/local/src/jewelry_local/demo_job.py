"""The main job, as a REST client sees it: upload, duplicate check, attributes, copy, workbooks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.progress import Progress

# Marketplace codes by category of the samples' table.
CODES = {
    "earrings": ("ama_ear", "fli_ear", "mee_ear"),
    "necklaces": ("ama_nec", "fli_nec", "mee_nec"),
    "bracelets": ("ama_bra", "fli_bra", "mee_bra"),
}
REPEATED = ("exact", "duplicate")
# What a merchandiser might ask for, and how long the shop's catalogue may take to be taken over at the start.
WISH: dict[str, Any] = {
    "manual_prompt": "red jhumkas with pearls for a wedding",
    "category": "earrings",
    "collection_size": 5,
}
SYNC_SECONDS = 60.0


class Failure(Exception):  # reads as what it says
    """A request was answered with a problem; the message is the gateway's own sentence."""


@dataclass(frozen=True)
class Product:
    """A sample product; the price in rupees."""

    sku: str
    photo: Path
    category: str
    mrp: float


@dataclass
class ProductReport:
    """What happened to one product."""

    product: Product
    verdict: str = ""
    url: str = ""
    upload_seconds: float = 0.0
    # By marketplace code.
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Report:
    """What the demo did."""

    products: list[ProductReport]
    repeat_verdict: str = ""
    repeat_match: str = ""
    workbooks: dict[str, Path] = field(default_factory=dict)
    collection: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class DemoJob:
    """Takes products through the main job."""

    def __init__(self, client: httpx.AsyncClient, products: list[Product], out: Path, progress: Progress) -> None:
        self._client = client
        self._progress = progress
        self._out = out
        self._report = Report([ProductReport(product) for product in products])

    async def run(self, *, collect: bool) -> Report:
        """Uploads every photo, one of them twice, fills a workbook per marketplace and category, finds a collection."""
        await self._upload()
        await self._send_again()
        await self._list_products()
        if collect:
            await self._collect()
        return self._report

    async def _upload(self) -> None:
        task = self._progress.add_task("checking, storing and indexing photos", total=len(self._report.products))
        for entry in self._report.products:
            started = time.monotonic()
            body = await self._send(entry.product.photo)
            entry.upload_seconds = time.monotonic() - started
            entry.verdict, entry.url = body["verdict"], body["s3_url"]
            if not entry.url:
                self._report.failures.append(f"{entry.product.sku}: no address came back")
            self._progress.advance(task)

    async def _send_again(self) -> None:
        """The first photo once more must be told as a duplicate, with the stored one's address."""
        first = self._report.products[0]
        task = self._progress.add_task("sending the first photo a second time", total=1)
        body = await self._send(first.product.photo)
        self._report.repeat_verdict, self._report.repeat_match = body["verdict"], body["s3_url"]
        if body["verdict"] not in REPEATED or body["s3_url"] != first.url:
            self._report.failures.append(f"a photo sent twice was called {body['verdict']}")
        self._progress.advance(task)

    async def _list_products(self) -> None:
        jobs = [
            (code, [entry for entry in self._report.products if entry.product.category == category])
            for category, codes in CODES.items()
            for code in codes
        ]
        task = self._progress.add_task("reading attributes, writing copy, filling", total=len(jobs))
        for code, entries in jobs:
            self._progress.update(task, description=f"attributes, copy and workbook for {code}")
            started = time.monotonic()
            body = await self._catalogue(code, entries)
            share = (time.monotonic() - started) / max(1, len(entries))
            by_sku = {result["sku"]: result for result in body["results"]}
            for entry in entries:
                result = entry.results[code] = by_sku.get(entry.product.sku, {"status": "missing"})
                entry.seconds += share
                if result["status"] != "success":
                    self._report.failures.append(f"{entry.product.sku} for {code}: {result}")
            self._report.workbooks[code] = await self._download(code, body["excel_file_url"])
            self._progress.advance(task)

    async def _collect(self) -> None:
        task = self._progress.add_task("finding a collection by meaning", total=1)
        until = time.monotonic() + SYNC_SECONDS
        while True:
            body = await _answer(await self._client.post("/semantic_filter_jewelry", json=WISH))
            if body["jewelry_ids"] or time.monotonic() > until:
                break
            await asyncio.sleep(0.5)
        self._report.collection = body
        if not body["jewelry_ids"]:
            self._report.failures.append(f"no collection was found: {body['relaxation'] or 'the catalogue is empty'}")
        self._progress.advance(task)

    async def _send(self, photo: Path) -> dict[str, Any]:
        files = {"file": (photo.name, photo.read_bytes(), "image/jpeg")}
        return await _answer(await self._client.post("/upload-and-index", files=files, data={"website": "alya"}))

    async def _catalogue(self, code: str, entries: list[ProductReport]) -> dict[str, Any]:
        request = {
            "image_urls": [entry.url for entry in entries],
            "skuids": [entry.product.sku for entry in entries],
            "marketplace_type": code,
            "website": "alya",
            "seller": {"by_sku": {entry.product.sku: {"mrp": entry.product.mrp} for entry in entries}},
        }
        return await _answer(await self._client.post("/catalog-ai", json=request))

    async def _download(self, code: str, url: str) -> Path:
        answer = await self._client.get(url)
        if answer.status_code != httpx.codes.OK:
            raise Failure(f"the workbook of {code} could not be downloaded: {answer.status_code}")
        self._out.mkdir(parents=True, exist_ok=True)
        path = self._out / f"{code}.xlsx"
        path.write_bytes(answer.content)
        return path


async def _answer(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    if response.status_code != httpx.codes.OK:
        raise Failure(f"{response.request.url.path}: {response.status_code} {body.get('detail', body)}")
    return body
