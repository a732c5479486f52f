"""The key pool and the attempts through it, on a clock that only moves when somebody sleeps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from analyzer_world import MODEL, FakeClock, key
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from pydantic import SecretStr

from analyzer_service import pool_metrics
from analyzer_service.attempts import Caller, KeyRefused, QuotaExceeded, RetryBudget, TransientFailure
from analyzer_service.keypool import KeyPool
from analyzer_service.keys import ApiKey, parse_keys
from analyzer_service.quota import Limits
from servicekit import deadlines, errors


def make_pool(*groups: str, limits: Limits | None = None, **values: Any) -> tuple[KeyPool, FakeClock]:
    clock = FakeClock()
    same = limits or Limits()
    pool = KeyPool([key(group) for group in groups], limits=lambda group, model: same, clock=clock, **values)
    return pool, clock


def test_keys_from_settings() -> None:
    several = SecretStr("projA:k1, projA:k2,projB:k3,k4,projB:k3")
    keys = parse_keys(SecretStr("single"), several)
    assert [(entry.group, entry.label) for entry in keys] == [
        ("projA", "projA/1"), ("projA", "projA/2"), ("projB", "projB/1"), ("key4", "key4/1"),
    ]  # fmt: skip
    assert [entry.label for entry in parse_keys(SecretStr("single"), None)] == ["default/1"]
    assert parse_keys(None, SecretStr("  ")) == []
    with pytest.raises(errors.FailedPrecondition) as caught:
        parse_keys(None, SecretStr("projA:good,projB:"))
    assert "entry 2" in caught.value.message
    assert "good" not in caught.value.message


def test_keys_do_not_show() -> None:
    assert "secret-a-1" not in repr(key("a"))


async def test_least_loaded_group_first() -> None:
    pool, _ = make_pool("a", "b", "c")
    groups = [(await pool.acquire(MODEL, 10)).key.group for _ in range(6)]
    assert sorted(groups[:3]) == sorted(groups[3:]) == ["a", "b", "c"]


async def test_limit_per_minute_waits_for_the_first_to_free() -> None:
    pool, clock = make_pool("a", "b", limits=Limits(2))
    started = clock.now()
    for _ in range(4):
        await pool.acquire(MODEL, 100)
    assert clock.now() == started
    await pool.acquire(MODEL, 100)
    assert clock.now() == pytest.approx(started + 61)
    # Another model has a quota of its own.
    await pool.acquire("gemini-embedding-2", 1)


async def test_a_wait_beyond_the_deadline_is_refused_with_the_time() -> None:
    pool, clock = make_pool("a", limits=Limits(1))
    await pool.acquire(MODEL, 10)
    clock.time += 20
    with pytest.raises(errors.ResourceExhausted) as caught:
        await pool.acquire(MODEL, 10)
    assert caught.value.retry_after == pytest.approx(41)
    assert caught.value.reason == "PROVIDER_QUOTA"


async def test_retry_info_makes_the_group_wait_and_others_serve() -> None:
    pool, clock = make_pool("a", "b")
    lease = await pool.acquire(MODEL, 10)
    await lease.rate_limited(12.0, daily=False)
    other = "b" if lease.key.group == "a" else "a"
    assert {(await pool.acquire(MODEL, 1)).key.group for _ in range(3)} == {other}
    clock.time += 12.1
    assert lease.key.group in {(await pool.acquire(MODEL, 1)).key.group for _ in range(2)}


async def test_a_daily_quota_parks_until_midnight_pacific() -> None:
    pool, clock = make_pool("a")
    clock.time = datetime(2026, 11, 22, 18, 30, tzinfo=UTC).timestamp()
    await (await pool.acquire(MODEL, 1)).rate_limited(3.0, daily=True)
    (state,) = await pool.states()
    assert state.parked
    midnight = datetime(2026, 11, 23, 8, 0, tzinfo=UTC).timestamp()
    assert clock.time + state.wait == pytest.approx(midnight)
    with pytest.raises(errors.ResourceExhausted) as caught:
        await pool.acquire(MODEL, 300)
    assert caught.value.retry_after == pytest.approx(midnight - clock.time)
    clock.time = midnight + 1
    await pool.acquire(MODEL, 1)


async def test_a_refused_key_rests_and_its_sibling_serves() -> None:
    clock = FakeClock()
    pool = KeyPool([key("a", 1), key("a", 2)], clock=clock, quarantine_seconds=30)
    lease = await pool.acquire(MODEL, 1)
    lease.refused()
    assert (await pool.states())[0].quarantined == 1
    sibling = await pool.acquire(MODEL, 1)
    assert sibling.key.label != lease.key.label
    sibling.refused()
    with pytest.raises(errors.Unavailable) as caught:
        await pool.acquire(MODEL, 100)
    assert caught.value.reason == "PROVIDER_KEYS_REFUSED"
    clock.time += 31
    await pool.acquire(MODEL, 1)


async def test_200_calls_over_three_groups_take_as_long_as_the_quota_says() -> None:
    pool, clock = make_pool("a", "b", "c", limits=Limits(20))
    started = clock.now()
    await asyncio.gather(*(pool.acquire(MODEL, 1000) for _ in range(200)))
    # 200 calls at 60 a minute: three full minutes pass before the last 20 start.
    assert clock.now() - started <= 1.15 * 60 * 200 / 60


async def test_calls_are_served_in_the_order_in_which_they_came() -> None:
    pool, _ = make_pool("a", "b", limits=Limits(2))
    order: list[int] = []

    async def one(number: int) -> None:
        await pool.acquire(MODEL, 1000)
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(12)))
    assert order == list(range(12))
    assert pool.waiting == 0


async def test_who_cannot_be_served_in_time_is_told_at_once_and_others_go_on_waiting() -> None:
    pool, clock = make_pool("a", limits=Limits(1))
    await pool.acquire(MODEL, 1)
    patient = asyncio.create_task(pool.acquire(MODEL, 100))
    while not pool.waiting:
        await asyncio.sleep(0)
    started = clock.now()
    with pytest.raises(errors.ResourceExhausted) as caught:
        await pool.acquire(MODEL, 5)
    assert clock.now() - started < 5
    assert caught.value.retry_after == pytest.approx(61, abs=5)
    # Whose turn does not come before the deadline is told then.
    with pytest.raises(errors.ResourceExhausted):
        await pool.acquire(MODEL, 90)
    await patient
    assert clock.now() - started <= 95


async def test_who_gives_up_makes_room_for_the_next() -> None:
    pool, clock = make_pool("a", limits=Limits(1))
    await pool.acquire(MODEL, 1)
    first, second = (asyncio.create_task(pool.acquire(MODEL, 1000)) for _ in range(2))
    while pool.waiting < 2:
        await asyncio.sleep(0)
    first.cancel()
    started = clock.now()
    await second
    assert clock.now() - started <= 61
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_the_line_has_an_end() -> None:
    pool, _ = make_pool("a", limits=Limits(1), max_waiting=3)
    results = await asyncio.gather(*(pool.acquire(MODEL, 1000) for _ in range(8)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, errors.ResourceExhausted)]
    assert len(refused) >= 4
    assert all(not isinstance(result, BaseException) or result in refused for result in results)


async def test_requests_at_once_are_bounded_and_waiting_ones_hold_no_place() -> None:
    pool, _ = make_pool("a", max_in_flight=2, limits=Limits(100))
    first, second = await pool.acquire(MODEL, 1), await pool.acquire(MODEL, 1)
    with pytest.raises(errors.ResourceExhausted) as caught:
        await pool.acquire("another-model", 0.01)
    assert caught.value.reason == "PROVIDER_BUSY"
    waiting = asyncio.create_task(pool.acquire(MODEL, 30))
    await asyncio.sleep(0)
    first.release()
    first.release()
    third = await waiting
    assert pool.in_flight == 2
    second.release()
    third.release()
    assert pool.in_flight == 0


async def test_a_key_that_stays_refused_rests_longer_each_time() -> None:
    clock = FakeClock()
    pool = KeyPool([key("a", 1)], clock=clock, quarantine_seconds=30)
    rests = []
    for _ in range(9):
        (await pool.acquire(MODEL, 1)).refused()
        rests.append((await pool.states())[0].wait)
        clock.time += rests[-1]
    assert rests[:3] == pytest.approx([30, 60, 120])
    assert rests[-1] == pytest.approx(1800)
    lease = await pool.acquire(MODEL, 1)
    await lease.succeeded()
    lease.refused()
    assert (await pool.states())[0].wait == pytest.approx(30)


async def test_metrics_tell_how_groups_stand() -> None:
    reader = InMemoryMetricReader()
    pool_metrics.register(MeterProvider([reader]).get_meter("test"))
    pool, _ = make_pool("metric-a", "metric-b", limits=Limits(1))
    pool_metrics.observe(pool)
    leases = [await pool.acquire(MODEL, 1) for _ in range(2)]
    leases[0].refused()
    leases[1].failed()
    await leases[1].rate_limited(1, daily=True)
    waiting = asyncio.create_task(pool.acquire(MODEL, 100_000))
    while not pool.waiting:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    data = reader.get_metrics_data()
    assert data is not None
    told = {
        (metric.name.removeprefix("jewelry_key_pool_"), point.attributes["group"], point.attributes.get("kind", "")):
            point.value
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
        if str(point.attributes.get("group", "")).startswith("metric-")
    }  # fmt: skip
    refused, parked = leases[0].key.group, leases[1].key.group
    assert told["used", refused, ""] == told["used", parked, ""] == 1
    assert (told["quarantined", refused, ""], told["quarantined", parked, ""]) == (1, 0)
    assert (told["parked", refused, ""], told["parked", parked, ""]) == (0, 1)
    assert told["waiting", refused, ""] + told["waiting", parked, ""] == 1
    assert (
        told["errors", refused, "refused"] == told["errors", parked, "failed"] == told["errors", parked, "parked"] == 1
    )
    assert not any("secret" in str(item) for item in told)
    waiting.cancel()


# -- attempts ---------------------------------------------------------------------------------


def caller(pool: KeyPool, **values: object) -> Caller:
    return Caller(pool, timeout=40, jitter=lambda: 1.0, **values)  # type: ignore[arg-type]


async def test_quota_moves_on_to_the_next_group() -> None:
    pool, clock = make_pool("a", "b")
    asked: list[str] = []

    async def attempt(used: ApiKey, timeout: float) -> str:
        asked.append(used.group)
        if len(asked) == 1:
            raise QuotaExceeded("full", retry_after=30, daily=False)
        return "done"

    started = clock.now()
    assert await caller(pool).call(MODEL, attempt) == "done"
    assert len(set(asked)) == 2
    assert clock.now() == started


async def test_transient_faults_back_off_and_give_up() -> None:
    pool, clock = make_pool("a")
    tried = 0

    async def attempt(used: ApiKey, timeout: float) -> str:
        nonlocal tried
        tried += 1
        raise TransientFailure("it answered with status 500")

    started = clock.now()
    with pytest.raises(errors.Unavailable) as caught:
        await caller(pool, budget=RetryBudget(start=10)).call(MODEL, attempt)
    assert caught.value.reason == "PROVIDER_UNAVAILABLE"
    assert tried == 4
    assert clock.now() - started == pytest.approx(0.5 + 1 + 2)


async def test_timeouts_are_repeated_once_only() -> None:
    pool, _ = make_pool("a", "b")
    tried = 0

    async def attempt(used: ApiKey, timeout: float) -> str:
        nonlocal tried
        tried += 1
        raise TransientFailure("it did not answer in time", timeout=True)

    with pytest.raises(errors.Unavailable):
        await caller(pool, budget=RetryBudget(start=10)).call(MODEL, attempt)
    assert tried == 2


async def test_in_a_storm_hardly_anything_is_repeated() -> None:
    pool, _ = make_pool("a", "b", "c")
    tried = 0

    async def attempt(used: ApiKey, timeout: float) -> str:
        nonlocal tried
        tried += 1
        raise TransientFailure("it answered with status 500")

    shared = caller(pool)
    for _ in range(200):
        with pytest.raises(errors.Unavailable):
            await shared.call(MODEL, attempt)
    assert tried <= 1.1 * 200


async def test_one_revoked_key_loses_nothing() -> None:
    pool, _ = make_pool("a", "b", "c")
    done = 0

    async def attempt(used: ApiKey, timeout: float) -> int:
        nonlocal done
        if done >= 50 and used.group == "b":
            raise KeyRefused("it refuses the key")
        done += 1
        return done

    shared = caller(pool)
    assert len({await shared.call(MODEL, attempt) for _ in range(100)}) == 100
    assert [state.quarantined for state in await pool.states()] == [0, 1, 0]


async def test_the_callers_deadline_bounds_attempts() -> None:
    pool, clock = make_pool("a")
    deadlines.enter(10)
    given: list[float] = []

    async def attempt(used: ApiKey, timeout: float) -> str:
        given.append(timeout)
        clock.time += timeout
        raise TransientFailure("it did not answer in time", timeout=True)

    with pytest.raises(errors.DeadlineExceeded):
        await caller(pool, budget=RetryBudget(start=5)).call(MODEL, attempt)
    assert given[0] <= 10
