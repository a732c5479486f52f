"""What an engine runs: the beginning of a job, a product, the end, and the telling of others."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

from pydantic import TypeAdapter

from gateway_service import timing
from gateway_service.catalogue import Exporter, tasks
from gateway_service.jobs.model import Fault, Item, Job
from gateway_service.jobs.ports import Flow, Store, Webhooks
from gateway_service.jobs.product import Patience, Products, failed
from gateway_service.jobs.rows import rows
from gateway_service.jobs.watch import Watch
from gateway_service.model import Order, ProductTask, Workbook
from servicekit import context, deadlines, errors

logger = logging.getLogger(__name__)

T = TypeVar("T")

ORDER = TypeAdapter(Order)
_WORKBOOK = TypeAdapter(Workbook)
_OPTIONS = TypeAdapter(dict[str, tuple[str, ...]])
_FAULT = TypeAdapter(Fault)

# What a kept step begins with that failed.
_MARK = "fault:"
# What a finish keeps that came too late.
_STALE = "stale"
# Orders of jobs that run, so that two hundred products do not read theirs two hundred times.
_ORDERS_KEPT = 32
# Seconds between attempts to deliver a webhook.
WEBHOOK_PAUSES = (1.0, 10.0, 60.0, 300.0, 1800.0)


class _Begun(NamedTuple):
    """How a product began: go, stop or dear, and what an earlier attempt had paid for."""

    may: str
    has_analysis: bool
    has_copy: bool


class Work:
    """The parts of a job; each may be run again by another process and then goes on.

    What decides which steps follow is itself a kept step: a second run goes the way of the first.
    """

    def __init__(
        self,
        store: Store,
        products: Products,
        exporter: Exporter,
        webhooks: Webhooks,
        watch: Watch,
        *,
        hasty: Patience,
        patient: Patience,
    ) -> None:
        self._store = store
        self._products = products
        self._exporter = exporter
        self._webhooks = webhooks
        self._watch = watch
        self._hasty = hasty
        self._patient = patient
        self._orders: OrderedDict[str, Order] = OrderedDict()

    async def start(self, flow: Flow, job_id: str, attempt: int) -> None:
        """Asks the exporter what its template allows, before anything is paid for, and starts the products."""
        await self._enter(job_id)
        positions = json.loads(await flow.keep("begin", lambda: self._begun(job_id, attempt)))
        if positions is None:
            return
        self._watch.tell(job_id)
        told = await flow.keep("options", lambda: self._options(job_id))
        fault = _fault(told)
        if fault is not None:
            await self._end(flow, job_id, attempt, None, fault)
            return
        await _surely(lambda: self._store.set_options(job_id, told))
        if positions:
            await flow.children(job_id, attempt, positions)
        else:
            await flow.finish(job_id, attempt)

    async def product(self, flow: Flow, job_id: str, attempt: int, position: int) -> None:
        """Works on one product; the last one to end starts the finish."""
        job = await self._enter(job_id)
        begun = _Begun(*json.loads(await flow.keep("begin", lambda: self._begun_item(job_id, attempt, position))))
        if begun.may == "stop":
            remaining = await _surely(lambda: self._store.open_items(job_id))
        else:
            item = await self._worked(flow, job, position, begun)
            remaining = await _surely(lambda: self._store.finish_item(job_id, attempt, item, _told(item)))
            self._watch.tell(job_id)
        if not remaining:
            await flow.finish(job_id, attempt)

    async def finish(self, flow: Flow, job_id: str, attempt: int) -> None:
        """Writes all that went well into one workbook, and ends the attempt."""
        await self._enter(job_id)
        told = await flow.keep("export", lambda: self._exported(job_id, attempt))
        if told == _STALE:
            return
        fault = _fault(told)
        workbook = _WORKBOOK.validate_json(told) if told and fault is None else None
        await self._end(flow, job_id, attempt, workbook, fault)

    async def notify(self, flow: Flow, job_id: str, attempt: int) -> None:
        """Posts the end of the job to its webhook, again after a while where nobody takes it."""
        job = await self._enter(job_id)
        if job.webhook is None:
            return
        body = json.dumps(
            {"type": "job.ended", "id": job.id, "kind": job.kind, "status": job.status, "attempt": attempt}
            | _numbers(job)
        ).encode()
        for pause in (0.0, *WEBHOOK_PAUSES):
            if pause:
                await flow.sleep(pause)
            try:
                await self._webhooks.deliver(job.webhook.url, job.webhook.secret, body)
                break
            except errors.InvalidArgument as error:
                logger.warning("job %s: its webhook is not called again: %s", job_id, error.message)
                break
            except errors.ServiceError as error:
                logger.info("job %s: its webhook did not take the call: %s", job_id, error.message)
        await _surely(lambda: self._store.delivered(job_id))

    async def export(self, job: Job) -> Workbook:
        """Writes what the job has into a workbook. Raises `errors.ServiceError`."""
        order = await self._order(job.id)
        made = rows(order, await self.items(job.id))
        if not made:
            raise errors.FailedPrecondition("no product of the job succeeded: there is nothing to write")
        return await self._exporter.export(order, made)

    async def items(self, job_id: str) -> list[Item]:
        """The job's items with the addresses of their pictures."""
        products = (await self._order(job_id)).products
        return [replace(item, image_urls=products[item.position][1]) for item in await self._store.items(job_id)]

    async def _end(self, flow: Flow, job_id: str, attempt: int, workbook: Workbook | None, fault: Fault | None) -> None:
        job = await _surely(lambda: self._store.finish(job_id, attempt, workbook, fault))
        self._watch.tell(job_id)
        logger.info("job %s ended %s: %d of %d products", job_id, job.status, job.counts.succeeded, job.counts.total)
        if job.webhook is not None:
            await flow.notify(job_id, attempt)

    async def _enter(self, job_id: str) -> Job:
        """Calls made for a job carry the id of the request that asked for it, and none of that request's deadline."""
        job = await _surely(lambda: self._store.get(job_id))
        context.set_request_id(job.request_id or job_id)
        deadlines.enter(None)
        timing.join(self._watch.timings.get(job_id))
        return job

    async def _order(self, job_id: str) -> Order:
        order = self._orders.get(job_id)
        if order is None:
            text, _ = await self._store.order(job_id)
            order = ORDER.validate_json(text)
            self._orders[job_id] = order
            while len(self._orders) > _ORDERS_KEPT:
                self._orders.popitem(last=False)
        return order

    async def _task(self, job_id: str, position: int) -> ProductTask:
        order = await self._order(job_id)
        _, options = await self._store.order(job_id)
        one = replace(order, products=(order.products[position],))
        return tasks(one, _OPTIONS.validate_json(options) if options else {})[0]

    async def _options(self, job_id: str) -> str:
        order = await self._order(job_id)
        try:
            return _OPTIONS.dump_json(dict(await self._exporter.field_options(order))).decode()
        except errors.ServiceError as error:
            return _faulty(error)

    async def _begun(self, job_id: str, attempt: int) -> str:
        return json.dumps(await _surely(lambda: self._store.begin(job_id, attempt)))

    async def _begun_item(self, job_id: str, attempt: int, position: int) -> str:
        may = await _surely(lambda: self._store.begin_item(job_id, attempt, position))
        item = await _surely(lambda: self._store.item(job_id, position))
        return json.dumps([may, item.analysis is not None, item.copy is not None])

    async def _worked(self, flow: Flow, job: Job, position: int, begun: _Begun) -> Item:
        item = await _surely(lambda: self._store.item(job.id, position))
        if begun.may == "dear":
            sentence = "not begun: it could have cost more than max_cost leaves; resume with a higher one"
            return failed(item, sentence, "MAX_COST")
        # What this attempt paid for is a step's result, and only what an earlier one paid for is the item's: a restart
        # thus goes through the same steps.
        item = replace(
            item,
            analysis=item.analysis if begun.has_analysis else None,
            copy=item.copy if begun.has_copy else None,
        )
        task = await _surely(lambda: self._task(job.id, position))
        return await self._products.work(task, item, flow.keep, self._patient if job.patient else self._hasty)

    async def _exported(self, job_id: str, attempt: int) -> str:
        job = await _surely(lambda: self._store.get(job_id))
        if job.attempt != attempt or job.finished:
            return _STALE
        if not job.counts.succeeded or job.status == "cancelled":
            return ""
        try:
            return _WORKBOOK.dump_json(await self.export(job)).decode()
        except errors.ServiceError as error:
            return _faulty(error)


def _faulty(error: errors.ServiceError) -> str:
    message = f"the workbook could not be written: {error.message}"
    return _MARK + _FAULT.dump_json(Fault(error.code, message, error.reason, error.retry_after)).decode()


def _fault(told: str) -> Fault | None:
    return _FAULT.validate_json(told.removeprefix(_MARK)) if told.startswith(_MARK) else None


async def _surely(ask: Callable[[], Awaitable[T]]) -> T:
    """Asks the store until it answers: work that is paid for is not given up because a database restarts."""
    while True:
        try:
            return await ask()
        except errors.Unavailable as error:
            await asyncio.sleep(error.retry_after or 1.0)


def _told(item: Item) -> str:
    """The event of a finished item."""
    cost = item.cost
    return json.dumps(
        {
            "sku": item.sku,
            "position": item.position,
            "status": item.status,
            "error": item.error or None,
            "cost": {"calls": cost.calls, "inr": cost.inr},
        }
    )


def _numbers(job: Job) -> dict[str, object]:
    counts = job.counts
    return {
        "total": counts.total,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "inr": job.cost.inr,
        "excel_file_url": job.workbook.url if job.workbook else "",
    }
