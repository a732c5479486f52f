"""One flight per key: in a process, between processes, and after the holder was killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.adapters.openai_writer import OpenAIWriter
from copywriter_service.copywriter import Copywriter
from copywriter_service.domain import Order, TimeLeft
from copywriter_service.flights import Flights
from servicekit import errors
from tests.emulators import Emulator

MakeOrder = Callable[..., Order]


async def test_fifty_callers_pay_once(
    make_copywriter: Callable[..., Copywriter], make_order: MakeOrder, emulator: Emulator
) -> None:
    emulator.configure(latency=0.2)
    copywriter = make_copywriter()
    outcomes = await asyncio.gather(*(copywriter.write(make_order()) for _ in range(50)))
    assert emulator.count("responses") == 1
    assert len({outcome.copy for outcome in outcomes}) == 1


async def test_marketplaces_of_one_sku_share_what_is_written(
    make_copywriter: Callable[..., Copywriter], make_order: MakeOrder, emulator: Emulator
) -> None:
    emulator.configure(latency=0.1)
    copywriter = make_copywriter()
    codes = ["ama_ear"] + ["fli_ear", "sho_ear", "mee_ear"] * 5
    outcomes = await asyncio.gather(*(copywriter.write(make_order(code=code)) for code in codes))
    # Whoever comes first writes what its marketplace takes; each of the three parts is paid for once.
    assert 1 <= emulator.count("responses") <= 3
    assert len({outcome.copy.description for outcome in outcomes}) == 1
    assert len({outcome.copy.title for outcome in outcomes if outcome.copy.title}) == 1


async def test_an_error_is_shared_and_the_next_call_tries_again(
    make_copywriter: Callable[..., Copywriter], make_order: MakeOrder, emulator: Emulator
) -> None:
    emulator.configure(latency=0.1)
    emulator.fault("refusal")
    copywriter = make_copywriter()
    results = await asyncio.gather(*(copywriter.write(make_order()) for _ in range(20)), return_exceptions=True)
    assert {getattr(result, "reason", "") for result in results} == {"PROVIDER_REFUSED"}
    assert emulator.count("responses") == 1
    assert not (await copywriter.write(make_order())).cached


async def test_two_replicas_pay_once(
    database_url: str | None, tmp_path: Path, make_writer: Callable[..., OpenAIWriter], make_order: MakeOrder,
    emulator: Emulator,
) -> None:  # fmt: skip
    emulator.configure(latency=0.3)
    replicas = [Copywriter(SqlCache(database_url, tmp_path), make_writer(), lease_seconds=2) for _ in range(3)]
    await asyncio.gather(*(replica.open() for replica in replicas))
    sku = f"SKU-{tmp_path.name}"
    try:
        callers = [replica.write(make_order(sku=sku)) for replica in replicas for _ in range(10)]
        outcomes = await asyncio.gather(*callers)
    finally:
        await asyncio.gather(*(replica.close() for replica in replicas))
    assert emulator.count("responses") == 1
    assert len({outcome.copy for outcome in outcomes}) == 1
    assert sum(not outcome.cached for outcome in outcomes) <= 10


async def test_the_lease_of_a_dead_replica_runs_out(
    make_copywriter: Callable[..., Copywriter], file_cache: SqlCache, make_order: MakeOrder, emulator: Emulator
) -> None:
    # What kill -9 leaves behind: a lease that nobody renews.
    assert await file_cache.acquire("en-IN:SKU-1", "dead", 1.0)
    started = time.monotonic()
    outcome = await make_copywriter().write(make_order(), seconds=20)
    assert not outcome.cached
    assert 0.5 < time.monotonic() - started < 10
    assert emulator.count("responses") == 1


async def test_a_living_replica_is_waited_for_until_the_deadline(
    make_copywriter: Callable[..., Copywriter], file_cache: SqlCache, make_order: MakeOrder, emulator: Emulator
) -> None:
    assert await file_cache.acquire("en-IN:SKU-1", "alive", 60.0)
    copywriter = make_copywriter()
    with pytest.raises(errors.DeadlineExceeded) as caught:
        await copywriter.write(make_order(), seconds=0.3)
    assert caught.value.reason == "COPY_SLOW"
    assert emulator.count("responses") == 0
    await copywriter._flights.close()


async def test_the_lease_is_renewed_while_work_goes_on(file_cache: SqlCache) -> None:
    flights: Flights[str] = Flights(file_cache, lease_seconds=1.2)

    async def work(time_left: TimeLeft) -> str:
        for _ in range(9):
            await asyncio.sleep(0.2)
            assert not await file_cache.acquire("key", "thief", 1)
        return "done"

    assert await flights.fly("key", "f", work, 10) == "done"
    assert await file_cache.acquire("key", "next", 1)


async def test_work_outlives_the_caller_who_began_it(file_cache: SqlCache) -> None:
    flights: Flights[str] = Flights(file_cache, lease_seconds=5)
    goes_on, finished = asyncio.Event(), asyncio.Event()

    async def work(time_left: TimeLeft) -> str:
        await goes_on.wait()
        finished.set()
        return "paid for"

    with pytest.raises(errors.DeadlineExceeded):
        await flights.fly("key", "f", work, 0.1)
    later = asyncio.create_task(flights.fly("key", "f", work, 5))
    await asyncio.sleep(0)
    goes_on.set()
    assert await later == "paid for"
    assert finished.is_set()


async def test_closing_ends_flights_and_gives_leases_back(file_cache: SqlCache) -> None:
    flights: Flights[str] = Flights(file_cache, lease_seconds=60)
    began = asyncio.Event()

    async def work(time_left: TimeLeft) -> str:
        began.set()
        await asyncio.Event().wait()
        return ""

    waiting = asyncio.create_task(flights.fly("key", "f", work, 30))
    await began.wait()
    await flights.close()
    with pytest.raises(errors.Unavailable):
        await waiting
    assert await file_cache.acquire("key", "next", 1)
