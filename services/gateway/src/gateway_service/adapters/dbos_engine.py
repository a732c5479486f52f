"""Durable workflows by DBOS, whose state is an SQLite file by default and PostgreSQL by URL.

DBOS is one per process, so that at most one engine is open at a time. Every coroutine runs on the loop that opened the
engine, where the channels to the services are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import opentelemetry.context
from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID
from opentelemetry import propagate, trace

from gateway_service.adapters.database import postgres_url
from gateway_service.jobs.ports import Tasks
from servicekit import telemetry

logger = logging.getLogger(__name__)

# Workflows of another version are left to processes of that version. Raised when the steps of a workflow change.
VERSION = "jobs-1"
FILE_NAME = "gateway-workflows.db"
SCHEMA = "gateway_workflows"
QUEUE = "products"
# DBOS makes its threads those of the whole loop: object stores and name look-ups use them too.
THREADS = 40
PENDING = "PENDING"
_OPEN = (PENDING, "ENQUEUED", "DELAYED")

_tracer = telemetry.tracer("jewelry.gateway")


class DbosEngine:
    """Runs jobs so that they survive the process.

    Args:
        url: PostgreSQL; None: a file in `data_dir`.
        replica: Name of this process; what it left is its own to go on with when it starts again.
        per_job, total: Products of one job, and of all, that this process works on at once.
        poll: Seconds between looks for work.
        drain: Most seconds that steps under way are waited for at the end.
    """

    def __init__(
        self, *, url: str | None, data_dir: Path, replica: str, per_job: int, total: int, poll: float, drain: float
    ) -> None:
        self._url = url
        self._folder = data_dir
        self._replica = replica
        self._per_job = min(per_job, total)
        self._total = total
        self._poll = poll
        self._drain = drain
        self._running: set[asyncio.Task[Any]] = set()
        self._steps = 0
        self._draining = False
        self._workflows: _Workflows | None = None

    async def open(self, tasks: Tasks) -> None:
        """Begins to run, what this process left when it ended included. Blocks the loop for a moment, once."""
        DBOS(config=self._config())
        self._workflows = _Workflows(self, tasks)
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE,
            worker_concurrency=self._total,
            partition_worker_concurrency=self._per_job,
            polling_interval_sec=self._poll,
            on_conflict="always_update",
        )

    async def start(self, job_id: str, attempt: int) -> None:
        """Starts an attempt, once."""
        await self._opened.begin_job(job_id, attempt)

    async def finish(self, job_id: str, attempt: int) -> None:
        """Starts the finish of an attempt, once."""
        await self._opened.finish(job_id, attempt)

    async def take_over(self, replicas: Sequence[str]) -> None:
        """Runs what dead replicas left. More than one may try: each workflow is handed out once."""
        left = await DBOS.list_workflows_async(
            executor_id=list(replicas), status=PENDING, app_version=VERSION, load_input=False, load_output=False
        )
        if left:
            logger.warning("takes over %d workflows of %s", len(left), ", ".join(replicas))
            await DBOS.resume_workflows_async([one.workflow_id for one in left])

    async def is_idle(self, job_id: str) -> bool:
        """True where no workflow of the job runs or waits, here or elsewhere."""
        found = await DBOS.list_workflows_async(
            workflow_id_prefix=f"{job_id}:", status=list(_OPEN), limit=1, load_input=False, load_output=False
        )
        return not found

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Deletes what is kept of jobs."""
        for job_id in job_ids:
            found = await DBOS.list_workflows_async(
                workflow_id_prefix=f"{job_id}:", load_input=False, load_output=False
            )
            await DBOS.delete_workflows_async([one.workflow_id for one in found])

    async def close(self) -> None:
        """Begins no further step, lets those that run end within the drain, then stops."""
        self._draining = True
        deadline = time.monotonic() + self._drain
        while self._steps and time.monotonic() < deadline:  # noqa: ASYNC110  # once, when the process ends
            await asyncio.sleep(0.02)
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        # DBOS made its own threads the loop's, and takes them along: nobody may be given them from here on.
        threads = ThreadPoolExecutor(thread_name_prefix="gateway")
        asyncio.get_running_loop().set_default_executor(threads)
        await asyncio.get_running_loop().run_in_executor(threads, lambda: DBOS.destroy(destroy_registry=True))

    # -- for the workflows ---------------------------------------------------------------------

    @contextlib.contextmanager
    def entered(self, name: str, caused_by: Mapping[str, str] | None) -> Iterator[None]:
        """Around the body of each workflow: at the end of the process they are cancelled, and go on in the next.

        Args:
            name: The workflow's.
            caused_by: The trace that started it, as `_trace` gives it: kept with the workflow, so that one that goes on
                in another process, or waited in the queue, belongs to the request that asked for it.
        """
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        # Of its own context alone: what DBOS has made current belongs to whoever took the workflow from the queue.
        token = opentelemetry.context.attach(propagate.extract(caused_by or {}, opentelemetry.context.Context()))
        try:
            with _tracer.start_as_current_span(f"job {name}", kind=trace.SpanKind.CONSUMER, record_exception=False):
                yield
        finally:
            opentelemetry.context.detach(token)
            self._running.discard(task)

    async def keep(self, name: str, step: Callable[[], Awaitable[str]]) -> str:
        """Runs a step and keeps its result; begins none while the process drains."""
        if self._draining:
            await asyncio.Event().wait()
        self._steps += 1
        try:

            async def told() -> str:
                return await step()

            return await DBOS.run_step_async({"name": name}, told)
        finally:
            self._steps -= 1

    @property
    def _opened(self) -> _Workflows:
        assert self._workflows is not None, "the engine was not opened"
        return self._workflows

    def _config(self) -> DBOSConfig:
        config: DBOSConfig = {
            "name": "gateway",
            "executor_id": self._replica,
            "application_version": VERSION,
            "log_level": "WARNING",
            "max_executor_threads": THREADS,
            "enable_otlp": False,
        }
        if self._url:
            return {**config, "system_database_url": postgres_url(self._url), "dbos_system_schema": SCHEMA}
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / FILE_NAME
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        # Stays with the file: those who read then wait for nobody who writes.
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        return {**config, "system_database_url": f"sqlite:///{file.absolute()}"}


# Optional: workflows that an earlier release left have none.
_Trace = Mapping[str, str] | None


def _trace() -> dict[str, str]:
    """The current trace as headers."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


class _Workflows:
    """The workflows as DBOS knows them, and what a running one may ask for."""

    def __init__(self, engine: DbosEngine, tasks: Tasks) -> None:
        self._engine = engine

        @DBOS.workflow(name="job")
        async def start(job_id: str, attempt: int, caused_by: _Trace = None) -> None:
            with engine.entered("job", caused_by):
                await tasks.start(self, job_id, attempt)

        @DBOS.workflow(name="product")
        async def product(job_id: str, attempt: int, position: int, caused_by: _Trace = None) -> None:
            with engine.entered("product", caused_by):
                await tasks.product(self, job_id, attempt, position)

        @DBOS.workflow(name="finish")
        async def finish(job_id: str, attempt: int, caused_by: _Trace = None) -> None:
            with engine.entered("finish", caused_by):
                await tasks.finish(self, job_id, attempt)

        @DBOS.workflow(name="notify")
        async def notify(job_id: str, attempt: int, caused_by: _Trace = None) -> None:
            with engine.entered("notify", caused_by):
                await tasks.notify(self, job_id, attempt)

        self._start, self._product, self._finish, self._notify = start, product, finish, notify

    async def keep(self, name: str, step: Callable[[], Awaitable[str]]) -> str:
        """Runs a step and keeps its result."""
        return await self._engine.keep(name, step)

    async def children(self, job_id: str, attempt: int, positions: Sequence[int]) -> None:
        """Queues a product for each position, once."""
        queue = await DBOS.retrieve_queue_async(QUEUE)
        assert queue is not None
        for position in positions:
            with SetWorkflowID(f"{job_id}:{attempt}:{position}"), SetEnqueueOptions(queue_partition_key=job_id):
                await queue.enqueue_async(self._product, job_id, attempt, position, _trace())

    async def finish(self, job_id: str, attempt: int) -> None:
        """Starts the finish of an attempt, once."""
        await self._begin(self._finish, f"{job_id}:{attempt}:finish", job_id, attempt)

    async def notify(self, job_id: str, attempt: int) -> None:
        """Starts the delivery of the webhook, once."""
        await self._begin(self._notify, f"{job_id}:{attempt}:notify", job_id, attempt)

    async def sleep(self, seconds: float) -> None:
        """Sleeps until a time that a restart does not move."""
        await DBOS.sleep_async(seconds)

    async def begin_job(self, job_id: str, attempt: int) -> None:
        """Starts an attempt, once."""
        await self._begin(self._start, f"{job_id}:{attempt}", job_id, attempt)

    async def _begin(self, workflow: Any, name: str, job_id: str, attempt: int) -> None:
        """Starts a workflow, unless there is one of this name."""
        with SetWorkflowID(name):
            await DBOS.start_workflow_async(workflow, job_id, attempt, _trace())
