"""Jobs, items and events in the gateway's database."""

from __future__ import annotations

import time
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from gateway_service.adapters import job_queries as queries
from gateway_service.adapters.database import Database
from gateway_service.adapters.job_queries import OPEN
from gateway_service.adapters.job_tables import (
    COUNTED,
    EVENTS,
    ITEMS,
    JOBS,
    dump,
    item_of,
    item_values,
    job_of,
)
from gateway_service.jobs.model import (
    END_EVENT,
    ENDED,
    ITEM_EVENT,
    DayCost,
    Edits,
    Event,
    Experience,
    Fault,
    Item,
    Job,
    Request,
    Webhook,
)
from gateway_service.model import Workbook
from servicekit import errors

_CANCELLED = {"status": "cancelled", "error": "the job was cancelled before its turn", "error_code": "CANCELLED"}


class JobStore:
    """The store of jobs; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, request: Request) -> tuple[Job, bool]:
        """A new job; or the one that has the request's idempotency key, and False."""
        job_id = uuid.uuid4().hex
        values = {
            "id": job_id,
            "kind": request.kind,
            "status": "queued",
            "code": request.code,
            "website": request.website,
            "attempt": 1,
            "owner": request.owner,
            "request_id": request.request_id,
            "idempotency": request.idempotency or None,
            "created": time.time(),
            "started": 0.0,
            "finished": 0.0,
            "estimate": request.estimate,
            "max_cost": request.max_cost,
            "patient": request.patient,
            "events": 0,
            "product_order": request.order,
            "options": "",
            "workbook": "",
            "fault": "",
            "webhook": dump(Webhook, request.webhook),
        }
        empty = item_values(Item("", 0, "queued")) | {"code": request.code, "attempt": 1, "edits": "", "issues": ""}
        items = [
            {**empty, "job_id": job_id, "position": position, "sku": sku} for position, sku in enumerate(request.skus)
        ]

        def work(connection: Connection) -> tuple[Job, bool]:
            if request.idempotency:
                known = queries.by_key(connection, request.idempotency)
                if known is not None:
                    return known, False
            connection.execute(sa.insert(JOBS), values)
            connection.execute(sa.insert(ITEMS), items)
            return queries.job(connection, job_id), True

        try:
            return await self._database.run(work)
        except errors.Unavailable as error:
            # Two requests with one key at the same moment: the other was first.
            if not isinstance(error.__cause__, IntegrityError) or not request.idempotency:
                raise
            known = await self.find(request.idempotency)
            if known is None:
                raise
            return known, False

    async def find(self, idempotency: str) -> Job | None:
        """The job that was made under an idempotency key."""
        return await self._database.run(lambda connection: queries.by_key(connection, idempotency), writes=False)

    async def get(self, job_id: str) -> Job:
        """The job. Raises `errors.NotFound`."""
        return await self._database.run(lambda connection: queries.job(connection, job_id), writes=False)

    async def page(self, *, status: str, limit: int, before: float) -> list[Job]:
        """Jobs, newest first, created before a time; an empty status is any."""
        query = sa.select(JOBS).where(JOBS.c.created < before).order_by(JOBS.c.created.desc(), JOBS.c.id).limit(limit)
        if status:
            query = query.where(JOBS.c.status == status)

        def work(connection: Connection) -> list[Job]:
            rows = connection.execute(query).all()
            sums = sa.select(ITEMS.c.job_id, *COUNTED).where(ITEMS.c.job_id.in_([row.id for row in rows]))
            counted = {row.job_id: row for row in connection.execute(sums.group_by(ITEMS.c.job_id))}
            return [job_of(row, counted[row.id]) for row in rows]

        return await self._database.run(work, writes=False)

    async def order(self, job_id: str) -> tuple[str, str]:
        """The order, and the options of its template where they are known; both as JSON."""
        query = sa.select(JOBS.c.product_order, JOBS.c.options).where(JOBS.c.id == job_id)

        def work(connection: Connection) -> tuple[str, str]:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise queries.no_job()
            return row.product_order, row.options

        return await self._database.run(work, writes=False)

    async def set_options(self, job_id: str, options: str) -> None:
        """Keeps the options of the order's template."""
        await self._database.run(lambda connection: queries.update(connection, job_id, options=options))

    async def items(self, job_id: str) -> list[Item]:
        """The items in the order of the request."""
        query = sa.select(ITEMS).where(ITEMS.c.job_id == job_id).order_by(ITEMS.c.position)
        return await self._database.run(
            lambda connection: [item_of(row) for row in connection.execute(query)], writes=False
        )

    async def item(self, job_id: str, position: int) -> Item:
        """One item."""
        query = sa.select(ITEMS).where(ITEMS.c.job_id == job_id, ITEMS.c.position == position)
        return await self._database.run(lambda connection: item_of(connection.execute(query).one()), writes=False)

    async def begin(self, job_id: str, attempt: int) -> list[int] | None:
        """Marks the attempt as running; positions of its open items, None for an attempt that is over."""
        positions = sa.select(ITEMS.c.position).where(ITEMS.c.job_id == job_id, ITEMS.c.status.in_(OPEN))

        def work(connection: Connection) -> list[int] | None:
            row = queries.locked(connection, job_id)
            if row is None or row.attempt != attempt or row.status in ENDED:
                return None
            if row.status == "queued":
                queries.update(connection, job_id, status="running", started=time.time())
            return list(connection.execute(positions.order_by(ITEMS.c.position)).scalars())

        return await self._database.run(work)

    async def begin_item(self, job_id: str, attempt: int, position: int) -> str:
        """`go`; `stop` where the attempt is over or the job cancelled; `dear` where max_cost could be passed.

        What runs is counted at the estimate, so that many products at once do not pass the bound together.
        """
        this = (ITEMS.c.job_id == job_id, ITEMS.c.position == position)

        def work(connection: Connection) -> str:
            row = queries.locked(connection, job_id)
            status = connection.execute(sa.select(ITEMS.c.status).where(*this)).scalar_one_or_none()
            if row is None or row.attempt != attempt or status not in OPEN:
                return "stop"
            if row.status in ENDED:
                # Cancelled while a process that died worked on it.
                connection.execute(sa.update(ITEMS).where(*this).values(finished=time.time(), **_CANCELLED))
                return "stop"
            if row.max_cost is not None and status == "queued":
                counted = queries.counted(connection, job_id)
                done = counted.success + counted.failed
                each = max(row.estimate, round(counted.inr_micros / done) if done else 0)
                if counted.inr_micros + (counted.running + 1) * each > row.max_cost:
                    return "dear"
            connection.execute(sa.update(ITEMS).where(*this).values(status="running", attempt=attempt))
            return "go"

        return await self._database.run(work)

    async def open_items(self, job_id: str) -> int:
        """How many items have not ended."""
        return await self._database.run(lambda connection: queries.open_items(connection, job_id), writes=False)

    async def finish_item(self, job_id: str, attempt: int, item: Item, event: str) -> int:
        """Keeps what became of an item, once; the number of items that are still open."""
        this = (ITEMS.c.job_id == job_id, ITEMS.c.position == item.position)
        unfinished = (*this, ITEMS.c.status.in_(OPEN))

        def work(connection: Connection) -> int:
            row = queries.locked(connection, job_id)
            if row is not None and row.attempt == attempt:
                changed = connection.execute(sa.update(ITEMS).where(*unfinished).values(**item_values(item)))
                if changed.rowcount:
                    queries.tell(connection, row, ITEM_EVENT, event)
            return queries.open_items(connection, job_id)

        return await self._database.run(work)

    async def finish(self, job_id: str, attempt: int, workbook: Workbook | None, fault: Fault | None) -> Job:
        """Ends the attempt with the status that follows from the items."""

        def work(connection: Connection) -> Job:
            row = queries.locked(connection, job_id)
            if row is None:
                raise queries.no_job()
            if row.attempt == attempt and not row.finished:
                counted = queries.counted(connection, job_id)
                status = row.status if row.status == "cancelled" else queries.status_of(counted, fault)
                changes: dict[str, Any] = {"status": status, "finished": time.time(), "fault": dump(Fault, fault)}
                if workbook is not None:
                    changes["workbook"] = dump(Workbook, workbook)
                queries.update(connection, job_id, **changes)
                queries.tell(connection, row, END_EVENT, queries.ended_event(status, counted))
            return queries.job(connection, job_id)

        return await self._database.run(work)

    async def cancel(self, job_id: str) -> tuple[Job, bool]:
        """Cancels what has not begun; True when nothing runs any more. An ended job stays as it is."""
        queued = (ITEMS.c.job_id == job_id, ITEMS.c.status == "queued")

        def work(connection: Connection) -> tuple[Job, bool]:
            row = queries.locked(connection, job_id)
            if row is None:
                raise queries.no_job()
            if row.status not in ENDED:
                connection.execute(sa.update(ITEMS).where(*queued).values(finished=time.time(), **_CANCELLED))
                queries.update(connection, job_id, status="cancelled")
            return queries.job(connection, job_id), queries.open_items(connection, job_id) == 0

        return await self._database.run(work)

    async def resume(self, job_id: str, max_cost: int | None) -> Job:
        """Opens failed and cancelled items again under a new attempt.

        Raises:
            errors.FailedPrecondition: JOB_RUNNING: the job has not ended.
        """
        again = (ITEMS.c.job_id == job_id, ITEMS.c.status.in_(("failed", "cancelled")))

        def work(connection: Connection) -> Job:
            row = queries.locked(connection, job_id)
            if row is None:
                raise queries.no_job()
            if not row.finished:
                raise errors.FailedPrecondition("the job has not ended; cancel it first", reason="JOB_RUNNING")
            if row.status == "succeeded":
                return queries.job(connection, job_id)
            attempt = row.attempt + 1
            connection.execute(
                sa.update(ITEMS).where(*again).values(status="queued", attempt=attempt, error="", error_code="")
            )
            changes: dict[str, Any] = {"status": "queued", "attempt": attempt, "finished": 0.0, "fault": ""}
            if max_cost is not None:
                changes["max_cost"] = max_cost
            # Somebody who resumes waits for nothing: the answer is the job.
            queries.update(connection, job_id, patient=True, **changes)
            return queries.job(connection, job_id)

        return await self._database.run(work)

    async def edit(self, job_id: str, sku: str, edits: Edits) -> Item:
        """Keeps a person's values. Raises `errors.NotFound`."""
        this = (ITEMS.c.job_id == job_id, ITEMS.c.sku == sku)

        def work(connection: Connection) -> Item:
            if not connection.execute(sa.update(ITEMS).where(*this).values(edits=dump(Edits, edits))).rowcount:
                raise errors.NotFound("the job has no such product; GET /jobs/{id} lists them", reason="ITEM_NOT_FOUND")
            return item_of(connection.execute(sa.select(ITEMS).where(*this)).one())

        return await self._database.run(work)

    async def set_workbook(self, job_id: str, workbook: Workbook) -> Job:
        """Replaces the job's workbook."""

        def work(connection: Connection) -> Job:
            queries.update(connection, job_id, workbook=dump(Workbook, workbook))
            return queries.job(connection, job_id)

        return await self._database.run(work)

    async def delivered(self, job_id: str) -> None:
        """Forgets the webhook."""
        await self._database.run(lambda connection: queries.update(connection, job_id, webhook=""))

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        """Events behind `after`, in order."""
        query = sa.select(EVENTS).where(EVENTS.c.job_id == job_id, EVENTS.c.seq > after)

        def work(connection: Connection) -> list[Event]:
            rows = connection.execute(query.order_by(EVENTS.c.seq).limit(limit))
            return [Event(row.seq, row.kind, row.data) for row in rows]

        return await self._database.run(work, writes=False)

    async def experience(self, code: str) -> Experience:
        """What the latest products of a marketplace code cost; without any, those of all codes."""
        return await self._database.run(
            lambda connection: (
                queries.experience(connection, code) or queries.experience(connection, "") or Experience()
            ),
            writes=False,
        )

    async def costs(self, since: float) -> list[DayCost]:
        """What products cost by day and marketplace code, from a time on."""
        return await self._database.run(lambda connection: queries.costs(connection, since), writes=False)

    async def unstarted(self, seconds: float) -> list[Job]:
        """Jobs that nobody has begun for so long."""
        late = sa.select(JOBS.c.id).where(JOBS.c.status == "queued", JOBS.c.created < time.time() - seconds)
        return await self._database.run(
            lambda connection: [queries.job(connection, job_id) for job_id in connection.execute(late).scalars().all()],
            writes=False,
        )

    async def running(self, seconds: float) -> list[Job]:
        """Jobs that have been running for longer."""
        found = sa.select(JOBS.c.id).where(JOBS.c.status == "running", JOBS.c.started < time.time() - seconds)
        return await self._database.run(
            lambda connection: [
                queries.job(connection, job_id) for job_id in connection.execute(found).scalars().all()
            ],
            writes=False,
        )

    async def reopen(self, job_id: str, attempt: int) -> Job:
        """Begins a new attempt over the open items of a running one; another attempt stays as it is."""
        open_items = (ITEMS.c.job_id == job_id, ITEMS.c.status.in_(OPEN))

        def work(connection: Connection) -> Job:
            row = queries.locked(connection, job_id)
            if row is not None and row.attempt == attempt and row.status == "running":
                again = {"status": "queued", "attempt": attempt + 1}
                connection.execute(sa.update(ITEMS).where(*open_items).values(**again))
                queries.update(connection, job_id, **again)
            return queries.job(connection, job_id)

        return await self._database.run(work)

    async def prune(self, before: float) -> list[str]:
        """Deletes jobs that ended before a time; their ids."""
        old = sa.select(JOBS.c.id).where(JOBS.c.finished > 0, JOBS.c.finished < before).limit(500)

        def work(connection: Connection) -> list[str]:
            found = list(connection.execute(old).scalars())
            if found:
                for table, column in ((EVENTS, EVENTS.c.job_id), (ITEMS, ITEMS.c.job_id), (JOBS, JOBS.c.id)):
                    connection.execute(sa.delete(table).where(column.in_(found)))
            return found

        return await self._database.run(work)
