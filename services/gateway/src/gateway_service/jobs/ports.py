"""What the jobs need from outside, as Protocols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from gateway_service.jobs.model import DayCost, Edits, Event, Experience, Fault, Item, Job, Request
from gateway_service.model import Workbook


class Keep(Protocol):
    """Runs a step and keeps its result: a step that finished is not run again, not even by another process."""

    async def __call__(self, name: str, step: Callable[[], Awaitable[str]]) -> str:
        """The step's result, kept or new."""
        ...


class Flow(Protocol):
    """What a running workflow may ask of its engine."""

    async def keep(self, name: str, step: Callable[[], Awaitable[str]]) -> str:
        """See `Keep`."""
        ...

    async def children(self, job_id: str, attempt: int, positions: Sequence[int]) -> None:
        """Starts a product workflow for each position, once."""
        ...

    async def finish(self, job_id: str, attempt: int) -> None:
        """Starts the finish of an attempt, once."""
        ...

    async def notify(self, job_id: str, attempt: int) -> None:
        """Starts the delivery of the job's webhook, once."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleeps; a restart does not begin anew."""
        ...


class Tasks(Protocol):
    """What an engine runs; see `work.Work`."""

    async def start(self, flow: Flow, job_id: str, attempt: int) -> None:
        """Begins an attempt."""
        ...

    async def product(self, flow: Flow, job_id: str, attempt: int, position: int) -> None:
        """Works on one product."""
        ...

    async def finish(self, flow: Flow, job_id: str, attempt: int) -> None:
        """Ends an attempt."""
        ...

    async def notify(self, flow: Flow, job_id: str, attempt: int) -> None:
        """Delivers the webhook."""
        ...


class Engine(Protocol):
    """Runs workflows so that they survive the process."""

    async def open(self, tasks: Tasks) -> None:
        """Begins to run, what an earlier process left included."""
        ...

    async def start(self, job_id: str, attempt: int) -> None:
        """Starts an attempt, once."""
        ...

    async def finish(self, job_id: str, attempt: int) -> None:
        """Starts the finish of an attempt, once."""
        ...

    async def take_over(self, replicas: Sequence[str]) -> None:
        """Runs what dead replicas left."""
        ...

    async def is_idle(self, job_id: str) -> bool:
        """True where no workflow of the job runs or waits, here or elsewhere."""
        ...

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Deletes what is kept of jobs."""
        ...

    async def close(self) -> None:
        """Lets steps that run end within the drain, then stops; what is open goes on in another process."""
        ...


class Store(Protocol):
    """Jobs, their items and events."""

    async def create(self, request: Request) -> tuple[Job, bool]:
        """A new job; or the one that has the request's idempotency key, and False."""
        ...

    async def find(self, idempotency: str) -> Job | None:
        """The job that was made under an idempotency key."""
        ...

    async def get(self, job_id: str) -> Job:
        """The job. Raises `errors.NotFound`."""
        ...

    async def page(self, *, status: str, limit: int, before: float) -> list[Job]:
        """Jobs, newest first, created before a time."""
        ...

    async def order(self, job_id: str) -> tuple[str, str]:
        """The order, and the options of its template where they are known; both as JSON."""
        ...

    async def set_options(self, job_id: str, options: str) -> None:
        """Keeps the options of the order's template."""
        ...

    async def items(self, job_id: str) -> list[Item]:
        """The items in the order of the request."""
        ...

    async def item(self, job_id: str, position: int) -> Item:
        """One item."""
        ...

    async def begin(self, job_id: str, attempt: int) -> list[int] | None:
        """Marks the attempt as running; positions of its open items, None for an attempt that is over."""
        ...

    async def begin_item(self, job_id: str, attempt: int, position: int) -> str:
        """`go`; `stop` where the attempt is over or the job cancelled; `dear` where max_cost could be passed."""
        ...

    async def open_items(self, job_id: str) -> int:
        """How many items have not ended."""
        ...

    async def finish_item(self, job_id: str, attempt: int, item: Item, event: str) -> int:
        """Keeps what became of an item, once; the number of items that are still open."""
        ...

    async def finish(self, job_id: str, attempt: int, workbook: Workbook | None, fault: Fault | None) -> Job:
        """Ends the attempt with the status that follows from the items."""
        ...

    async def cancel(self, job_id: str) -> tuple[Job, bool]:
        """Cancels what has not begun; True when nothing runs any more."""
        ...

    async def resume(self, job_id: str, max_cost: int | None) -> Job:
        """Opens failed and cancelled items again under a new attempt."""
        ...

    async def edit(self, job_id: str, sku: str, edits: Edits) -> Item:
        """Keeps a person's values. Raises `errors.NotFound`."""
        ...

    async def set_workbook(self, job_id: str, workbook: Workbook) -> Job:
        """Replaces the job's workbook."""
        ...

    async def delivered(self, job_id: str) -> None:
        """Forgets the webhook."""
        ...

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        """Events behind `after`, in order."""
        ...

    async def experience(self, code: str) -> Experience:
        """What products of a marketplace code cost lately."""
        ...

    async def costs(self, since: float) -> list[DayCost]:
        """What products cost by day and marketplace code, from a time on."""
        ...

    async def unstarted(self, seconds: float) -> list[Job]:
        """Jobs that nobody has begun for so long."""
        ...

    async def running(self, seconds: float) -> list[Job]:
        """Jobs that have been running for longer."""
        ...

    async def reopen(self, job_id: str, attempt: int) -> Job:
        """Begins a new attempt over the open items of a running one."""
        ...

    async def prune(self, before: float) -> list[str]:
        """Deletes jobs that ended before a time; their ids."""
        ...


class Webhooks(Protocol):
    """Tells others that a job has ended."""

    async def deliver(self, url: str, secret: str, body: bytes) -> None:
        """Posts a signed body. Raises `errors.ServiceError`; InvalidArgument: to try again is of no use."""
        ...
