"""The exporter: merges, checks, keeps runs, writes workbooks and stores them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from exporter_service import families, rendering, review
from exporter_service.adapters.runs import Run, Snapshot, SqliteRuns
from exporter_service.model import (
    Finding,
    Format,
    Medium,
    Product,
    SellerValue,
    Template,
    Variation,
    listing_of,
)
from exporter_service.preparing import Preparation, Prepared, in_row, located
from exporter_service.profiles import Profiles
from exporter_service.templates import Templates
from objectstore import ObjectStore
from servicekit import errors

logger = logging.getLogger(__name__)

MAX_PRODUCTS = 10_000
"""Most products in one request."""
# Two processes that append to one run may each store an older state; each then looks again. More rounds than this
# mean that others append without pause, and the last of them stores everything.
_ROUNDS = 5


@dataclass(frozen=True)
class Order:
    """What is to be exported or validated."""

    code: str
    products: Sequence[Product]
    template_id: str = ""
    website: str = ""
    seller_values: Sequence[SellerValue] = ()
    run_id: str = ""
    format: Format = Format.OWN
    review_copy: bool = False


@dataclass(frozen=True)
class Exported:
    """A stored workbook. `url` is empty when no product could be written."""

    url: str
    run_id: str
    rows: int
    findings: tuple[Finding, ...]
    review_url: str
    provenance_url: str
    template_id: str
    dropped_fields: tuple[str, ...]


@dataclass(frozen=True)
class _Files:
    """Files of a run at one revision."""

    revision: int
    count: int
    workbook: bytes
    provenance: bytes
    review: bytes


class Exporter:
    """Domain service; one per process."""

    def __init__(
        self, store: ObjectStore, templates: Templates, profiles: Profiles, runs: SqliteRuns, renders: int
    ) -> None:
        """`renders` workbooks at most are written at the same time."""
        self.store = store
        self.templates = templates
        self._profiles = profiles
        self._runs = runs
        self._renders = asyncio.Semaphore(renders)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def export(self, order: Order) -> Exported:
        """Writes products into the workbook of a run and stores it.

        Without a run id, the products get a run of their own; giving its id later writes its workbook again.

        Raises:
            errors.InvalidArgument: UNKNOWN_MARKETPLACE, NO_PRODUCTS, TOO_MANY_PRODUCTS, RUN_MISMATCH, TEMPLATE_*.
            errors.NotFound: RUN_NOT_FOUND, TEMPLATE_NOT_FOUND.
            errors.FailedPrecondition: RUN_CLOSED.
            errors.Unavailable: the object store or the database of runs cannot be used.
        """
        listing_of(order.code)
        _limit(order)
        run = await self._run_of(order) if order.run_id else None
        if run is None and not order.products:
            raise errors.InvalidArgument("there are no products to export: give at least one", reason="NO_PRODUCTS")
        website = run.website if run else self._website(order.website)
        template = await self.templates.choose(order.code, _template_id(order, run), website)
        rendering.extension(template, order.format)
        if run is not None:
            return await self._exported(order, template, run)
        own = await asyncio.to_thread(self._runs.create, order.code, website, template.id, True)
        try:
            done = await self._exported(order, template, own)
        except BaseException:
            # The caller never learned of this run, so nobody could ever write it again.
            await asyncio.shield(asyncio.to_thread(self._runs.discard, own.id))
            raise
        if not done.url:
            await asyncio.to_thread(self._runs.discard, own.id)
        return done

    async def validate(self, order: Order) -> tuple[Finding, ...]:
        """What the marketplace would refuse; rows count as they would in a new workbook. Raises as `export`."""
        listing_of(order.code)
        _limit(order)
        website = self._website(order.website)
        template = await self.templates.choose(order.code, order.template_id, website)
        prepared = await asyncio.to_thread(
            lambda: self._preparation(template, order, website, {}).run(order.products, None)
        )
        return located(template, prepared, range(len(prepared.skus)))

    async def start_run(self, code: str, website: str, template_id: str) -> Run:
        """Opens a run. Raises as `export`."""
        listing_of(code)
        name = self._website(website)
        template = await self.templates.choose(code, template_id, name)
        return await asyncio.to_thread(self._runs.create, code, name, template.id, False)

    async def close_run(self, run_id: str, code: str, website: str) -> tuple[str, Run]:
        """Closes a run, or the open one of a code that was started last, and opens a new one in its place.

        Returns:
            Id of the closed run, "" when none was open, and the new run.
        """
        if run_id:
            old: Run | None = await asyncio.to_thread(self._runs.get, run_id)
        else:
            listing_of(code)
            old = await asyncio.to_thread(self._runs.newest_open, code, self._website(website))
        if old is None:
            return "", await self.start_run(code, website, "")
        closed = await asyncio.to_thread(self._runs.close, old.id)
        new = await asyncio.to_thread(self._runs.create, old.code, old.website, old.template_id, False)
        return (old.id if closed else ""), new

    async def _run_of(self, order: Order) -> Run:
        run = await asyncio.to_thread(self._runs.get, order.run_id)
        for name, wanted, has in (
            ("marketplace code", order.code, run.code),
            ("website", order.website and self._website(order.website), run.website),
            ("template", order.template_id, run.template_id),
        ):
            if wanted and wanted != has:
                raise errors.InvalidArgument(
                    f"the run {run.id} has the {name} {has}, not {wanted}", reason="RUN_MISMATCH"
                )
        if run.closed:
            raise errors.FailedPrecondition("the run is closed: start a new one", reason="RUN_CLOSED")
        return run

    def _website(self, website: str) -> str:
        return self.store.website_of(self.store.bucket_for(website))

    def _preparation(
        self, template: Template, order: Order, website: str, there: Mapping[str, Variation]
    ) -> Preparation:
        profile = self._profiles.values(website, template.listing)
        extension = rendering.extension(template, order.format)
        return Preparation(template, order.seller_values, profile, there, extension)

    async def _exported(self, order: Order, template: Template, run: Run) -> Exported:
        lock = self._locks.setdefault(run.id, asyncio.Lock())
        async with lock:
            prepared, positions = await asyncio.to_thread(self._keep, order, template, run)
            if run.own and not run.revision and not prepared.skus:
                findings = located(template, prepared, positions)
                return Exported("", "", 0, findings, "", "", template.id, prepared.dropped)
            urls, count = await self._store(template, run, order)
        return Exported(
            url=urls["workbook"],
            run_id=run.id,
            rows=count,
            findings=located(template, prepared, positions),
            review_url=urls.get("review", ""),
            provenance_url=urls["provenance"],
            template_id=template.id,
            dropped_fields=prepared.dropped,
        )

    def _keep(self, order: Order, template: Template, run: Run) -> tuple[Prepared, Sequence[int]]:
        """Merges and checks the products, and puts them into the run; gives the position of each."""
        preparation = self._preparation(template, order, run.website, self._runs.families(run.id))
        with self._runs.stage(preparation.shared, preparation.shared_origins) as stage:
            prepared = preparation.run(order.products, stage)
            return prepared, stage.move(run.id) if prepared.skus else []

    async def _store(self, template: Template, run: Run, order: Order) -> tuple[dict[str, str], int]:
        """Writes the run's files until they hold its newest rows; gives their addresses and the number of rows."""
        bucket = self.store.bucket_for(run.website)
        extension = rendering.extension(template, order.format)
        for _ in range(_ROUNDS):
            async with self._renders:
                files = await asyncio.to_thread(self._files, template, run, order)
            stored = {
                "provenance": (f"{run.stem}.provenance.json", files.provenance, "application/json"),
                "workbook": (f"{run.stem}.{extension}", files.workbook, rendering.CONTENT_TYPES[extension]),
            }
            if files.review:
                kind = template.medium.value if template.medium is Medium.XLSM else Medium.XLSX.value
                stored["review"] = (f"{run.stem}.review.{kind}", files.review, rendering.CONTENT_TYPES[kind])
            for key, data, content_type in stored.values():
                await self.store.put(bucket, key, data, content_type)
            now = await asyncio.to_thread(self._runs.get, run.id)
            if now.revision == files.revision:
                break
        logger.info("stored %s rows of %s in run %s", files.count, run.code, run.id)
        return {name: self.store.url(bucket, key) for name, (key, _, _) in stored.items()}, files.count

    def _files(self, template: Template, run: Run, order: Order) -> _Files:
        about = {
            "run_id": run.id,
            "marketplace_code": run.code,
            "website": run.website,
            "template_id": template.id,
            "sheet": template.sheet,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with self._runs.snapshot(run.id) as rows:
            workbook = rendering.workbook(template, rows, order.format)
            provenance = rendering.provenance(about, template.data_row, rows)
            reviewed = self._reviewed(template, rows, workbook, order) if order.review_copy else b""
            return _Files(rows.revision, rows.count, workbook, provenance, reviewed)

    def _reviewed(self, template: Template, rows: Snapshot, workbook: bytes, order: Order) -> bytes:
        """A copy with a sheet of all findings; where the template is no .xlsx, a workbook with that sheet alone."""
        by_sku: dict[str, list[Finding]] = {}
        for finding in families.check(template.listing, template.by_key, rows.families()):
            by_sku.setdefault(finding.sku, []).append(finding)
        found = (
            finding
            for position, (sku, findings) in enumerate(rows.findings())
            for finding in in_row(template, (*findings, *by_sku.get(sku, ())), position)
        )
        if template.medium not in (Medium.XLSX, Medium.XLSM):
            return review.alone(found)
        if order.format not in (Format.OWN, Format.XLSX):
            workbook = rendering.workbook(template, rows, Format.XLSX)
        return review.with_review(workbook, found)


def _limit(order: Order) -> None:
    if len(order.products) > MAX_PRODUCTS:
        raise errors.InvalidArgument(
            f"a request takes at most {MAX_PRODUCTS} products: send the rest to the same run",
            reason="TOO_MANY_PRODUCTS",
        )


def _template_id(order: Order, run: Run | None) -> str:
    return run.template_id if run else order.template_id
