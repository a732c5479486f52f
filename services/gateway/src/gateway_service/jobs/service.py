"""What HTTP asks of jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import marketplaces
from gateway_service import timing
from gateway_service.jobs.estimate import Estimate, estimate
from gateway_service.jobs.model import END_EVENT, DayCost, Edits, Event, Item, Job, Request, Webhook
from gateway_service.jobs.ports import Engine, Store
from gateway_service.jobs.watch import Watch, woken
from gateway_service.jobs.work import ORDER, Work
from gateway_service.model import Adapter, Order
from servicekit import errors

# Seconds between looks at the store where no news came: another replica may do the work.
LOOK = 0.5
# Seconds without an event after which a stream says that it lives.
QUIET = 15.0
_PAGE = 200


@dataclass(frozen=True)
class Asked:
    """How somebody asks for a job, beside the order; see `model.Request`."""

    kind: str
    owner: str = ""
    request_id: str = ""
    idempotency: str = ""
    max_cost: int | None = None
    webhook_url: str = ""
    webhook_secret: str = ""
    waits: bool = True


class Stopping(errors.Unavailable):
    """The gateway stops; the job goes on when it, or another, is there again."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"the gateway is about to stop; the job goes on: GET /jobs/{job_id}", reason="STOPPING", retry_after=5.0
        )


class Jobs:
    """Submits, watches and steers jobs.

    Args:
        about: Who answers for the roles vision and copy.
        concurrency: Products of one job at once.
        check_webhook: Raises `errors.InvalidArgument` for an address that will never be called.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        work: Work,
        watch: Watch,
        *,
        about: Callable[[], Awaitable[Sequence[Adapter]]],
        concurrency: int,
        check_webhook: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._engine = engine
        self._work = work
        self._watch = watch
        self._about = about
        self._concurrency = concurrency
        self._check_webhook = check_webhook
        self._opening = asyncio.Lock()
        self._opened = False
        self._stopping = False

    async def open(self) -> None:
        """Starts the engine, once."""
        async with self._opening:
            if not self._opened:
                await self._engine.open(self._work)
                self._opened = True

    def stop_waiting(self) -> None:
        """Sends everybody away who waits, within moments; their jobs go on. May be called by a signal."""
        self._stopping = True

    async def close(self) -> None:
        """Stops the engine; jobs that run go on later."""
        self.stop_waiting()
        if self._opened:
            await self._engine.close()

    # -- asking for work -----------------------------------------------------------------------

    async def estimate(self, order: Order) -> Estimate:
        """What the order will cost and take."""
        experience = await self._store.experience(order.code)
        return estimate(order, experience, await self._about(), self._concurrency)

    async def submit(self, order: Order, asked: Asked) -> Job:
        """A job for the order; with an idempotency key that is known, the job that was made under it.

        Raises:
            errors.InvalidArgument: The webhook's address will never be called.
        """
        await self.open()
        if asked.webhook_url:
            self._check_webhook(asked.webhook_url, asked.webhook_secret)
        if asked.idempotency:
            known = await self._store.find(asked.idempotency)
            if known is not None:
                return known
        # Only a bound on the cost needs to know beforehand what a product costs.
        expected = (await self.estimate(order)).per_product if asked.max_cost is not None else 0
        request = Request(
            kind=asked.kind,
            code=order.code,
            website=order.website,
            order=ORDER.dump_json(order).decode(),
            skus=tuple(sku for sku, _ in order.products),
            owner=asked.owner,
            request_id=asked.request_id,
            idempotency=asked.idempotency,
            max_cost=asked.max_cost,
            estimate=expected,
            webhook=_webhook(asked),
            patient=not asked.waits,
        )
        job, is_new = await self._store.create(request)
        record = timing.current()
        if asked.waits and record is not None:
            self._watch.timings.setdefault(job.id, record)
        if is_new:
            await self._engine.start(job.id, job.attempt)
        return job

    async def wait(self, job_id: str) -> Job:
        """The job when it has ended.

        Raises:
            errors.ServiceError: What made the whole job fail; `Stopping`.
        """
        try:
            with self._watch.on(job_id) as news:
                while not (job := await self._store.get(job_id)).finished:
                    if self._stopping:
                        raise Stopping(job_id)
                    await woken(news, LOOK)
        finally:
            self._watch.timings.pop(job_id, None)
        if job.fault is not None:
            kind = errors.BY_CODE.get(job.fault.code, errors.Unknown)
            raise kind(job.fault.message, reason=job.fault.reason, retry_after=job.fault.retry_after)
        return job

    # -- looking -------------------------------------------------------------------------------

    async def get(self, job_id: str) -> Job:
        """The job. Raises `errors.NotFound`."""
        return await self._store.get(job_id)

    async def page(self, *, status: str = "", limit: int = 50, before: float | None = None) -> list[Job]:
        """Jobs, newest first."""
        return await self._store.page(status=status, limit=limit, before=time.time() + 60 if before is None else before)

    async def items(self, job_id: str) -> list[Item]:
        """The job's products with the workbook's findings."""
        job = await self._store.get(job_id)
        found = job.workbook.findings if job.workbook else ()
        return [
            replace(item, issues=(*item.issues, *(one for one in found if one.sku == item.sku)))
            for item in await self._work.items(job_id)
        ]

    async def events(self, job_id: str, after: int) -> AsyncIterator[Event | None]:
        """Events behind `after` as they happen, until the job's last one; None now and then where nothing happens."""
        job = await self._store.get(job_id)
        quiet = time.monotonic()
        with self._watch.on(job_id) as news:
            while True:
                # The job first: events that it had when it ended are then all found below.
                job = await self._store.get(job_id)
                page = await self._store.events(job_id, after, _PAGE)
                for event in page:
                    after = event.seq
                    yield event
                if self._stopping or (job.finished and not page):
                    return
                if page:
                    quiet = time.monotonic()
                    if page[-1].kind == END_EVENT or len(page) == _PAGE:
                        continue
                elif time.monotonic() - quiet > QUIET:
                    quiet = time.monotonic()
                    yield None
                await woken(news, LOOK)

    # -- steering ------------------------------------------------------------------------------

    async def cancel(self, job_id: str) -> Job:
        """Begins no further product; what runs is finished and kept. An ended job stays as it is."""
        await self.open()
        job, still = await self._store.cancel(job_id)
        self._watch.tell(job_id)
        if still and not job.finished:
            await self._engine.finish(job_id, job.attempt)
            job = await self._settled(job_id)
        return job

    async def resume(self, job_id: str, max_cost: int | None = None) -> Job:
        """Works again on what failed or was cancelled; what was paid for is used. A job that succeeded stays as it is.

        Raises:
            errors.FailedPrecondition: JOB_RUNNING.
        """
        await self.open()
        job = await self._store.resume(job_id, max_cost)
        if not job.finished:
            await self._engine.start(job.id, job.attempt)
        return job

    async def edit(self, job_id: str, sku: str, edits: Edits) -> Item:
        """Adds a person's values to those that were given before; the workbook takes them with the next export.

        Raises:
            errors.InvalidArgument: A field that the marketplace does not have.
            errors.NotFound: No such job or product.
        """
        job = await self._store.get(job_id)
        known = {one.name for one in marketplaces.load(job.code).fields}
        unknown = sorted(set(edits.fields) - known)
        if unknown:
            sentence = f"{job.code} has no field {unknown[0][:80]!r}; the review names the fields"
            raise errors.InvalidArgument(sentence, reason="FIELD_UNKNOWN", fields={"fields": sentence})
        items = {item.sku: item for item in await self._store.items(job_id)}
        earlier = items[sku].edits if sku in items else Edits()
        merged = Edits(
            fields={**earlier.fields, **edits.fields},
            title=earlier.title if edits.title is None else edits.title,
            bullet_points=earlier.bullet_points if edits.bullet_points is None else edits.bullet_points,
            description=earlier.description if edits.description is None else edits.description,
        )
        await self._store.edit(job_id, sku, merged)
        return next(item for item in await self.items(job_id) if item.sku == sku)

    async def export(self, job_id: str) -> Job:
        """Writes the workbook again from what the job has, a person's values included; asks no model.

        Raises:
            errors.FailedPrecondition: The job has not ended, or no product succeeded.
        """
        job = await self._store.get(job_id)
        if not job.finished:
            raise errors.FailedPrecondition(
                "the job has not ended; its workbook comes with its end", reason="JOB_RUNNING"
            )
        return await self._store.set_workbook(job_id, await self._work.export(job))

    async def costs(self, since: float) -> list[DayCost]:
        """What products cost by day and marketplace code, from a time on (seconds since 1970)."""
        return await self._store.costs(since)

    async def _settled(self, job_id: str) -> Job:
        """The job, shortly waited for where its end is a matter of moments."""
        deadline = time.monotonic() + 5.0
        with self._watch.on(job_id) as news:
            while not (job := await self._store.get(job_id)).finished and time.monotonic() < deadline:
                await woken(news, LOOK)
        return job


def _webhook(asked: Asked) -> Webhook | None:
    return Webhook(asked.webhook_url, asked.webhook_secret) if asked.webhook_url else None
