"""The key pool and the attempts through it, on a clock that only moves when somebody sleeps."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from analyzer_service.attempts import Caller, KeyRefused, QuotaExceeded, RetryBudget, TransientFailure
from analyzer_service.keypool import ApiKey, KeyPool, parse_keys
from servicekit import deadlines, errors

MODEL = "gemini-3.8-flash"


class FakeClock:
    """Sleeping moves the time; concurrent sleepers wake in order."""

    def __init__(self, start: float = 1_795_000_000.0) -> None:
        self.time = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time + seconds, self._count, future))
        # Everybody who can run does so first; then the time moves to the first who wakes.
        for _ in range(50):
            await asyncio.sleep(0)
        while not future.done():
            wakes, _, first = heapq.heappop(self._sleepers)
            self.time = max(self.time, wakes)
            if not first.done():
                first.set_result(None)
            await asyncio.sleep(0)


def key(group: str, number: int = 1) -> ApiKey:
    return ApiKey(group, f"{group}/{number}", SecretStr(f"secret-{group}-{number}"))


def make_pool(*groups: str, limit: int | None = None) -> tuple[KeyPool, FakeClock]:
    clock = FakeClock()
    return KeyPool([key(group) for group in groups], requests_per_minute=limit, clock=clock), clock


@pytest.fixture(autouse=True)
def no_deadline() -> None:
    deadlines.enter(None)


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
    pool, clock = make_pool("a", "b", limit=2)
    started = clock.now()
    for _ in range(4):
        await pool.acquire(MODEL, 100)
    assert clock.now() == started
    await pool.acquire(MODEL, 100)
    assert clock.now() == pytest.approx(started + 60)
    # Another model has a quota of its own.
    await pool.acquire("gemini-embedding-2", 1)


async def test_a_wait_beyond_the_deadline_is_refused_with_the_time() -> None:
    pool, clock = make_pool("a", limit=1)
    await pool.acquire(MODEL, 10)
    clock.time += 20
    with pytest.raises(errors.ResourceExhausted) as caught:
        await pool.acquire(MODEL, 10)
    assert caught.value.retry_after == pytest.approx(40)
    assert caught.value.reason == "PROVIDER_QUOTA"


async def test_retry_info_makes_the_group_wait_and_others_serve() -> None:
    pool, clock = make_pool("a", "b")
    lease = await pool.acquire(MODEL, 10)
    lease.rate_limited(12.0, daily=False)
    other = "b" if lease.key.group == "a" else "a"
    assert {(await pool.acquire(MODEL, 1)).key.group for _ in range(3)} == {other}
    clock.time += 12.1
    assert lease.key.group in {(await pool.acquire(MODEL, 1)).key.group for _ in range(2)}


async def test_a_daily_quota_parks_until_midnight_pacific() -> None:
    pool, clock = make_pool("a")
    clock.time = datetime(2026, 11, 22, 18, 30, tzinfo=UTC).timestamp()
    (await pool.acquire(MODEL, 1)).rate_limited(3.0, daily=True)
    (state,) = pool.states()
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
    assert pool.states()[0].quarantined == 1
    sibling = await pool.acquire(MODEL, 1)
    assert sibling.key.label != lease.key.label
    sibling.refused()
    with pytest.raises(errors.Unavailable) as caught:
        await pool.acquire(MODEL, 100)
    assert caught.value.reason == "PROVIDER_KEYS_REFUSED"
    clock.time += 31
    await pool.acquire(MODEL, 1)


async def test_200_calls_over_three_groups_take_as_long_as_the_quota_says() -> None:
    pool, clock = make_pool("a", "b", "c", limit=20)
    started = clock.now()
    await asyncio.gather(*(pool.acquire(MODEL, 1000) for _ in range(200)))
    # 200 calls at 60 a minute: three full minutes pass before the last 20 start.
    assert clock.now() - started <= 1.15 * 60 * 200 / 60


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
    assert [state.quarantined for state in pool.states()] == [0, 1, 0]


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
