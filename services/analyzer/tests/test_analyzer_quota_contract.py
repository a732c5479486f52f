"""Quotas, the real SDK and the emulator together. Both count in the test's own time, so that minutes pass at once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from analyzer_world import FakeClock, RedisServer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image
from pydantic import SecretStr

from analyzer_service.adapters import redis_quota
from analyzer_service.analysis import RawView
from analyzer_service.keypool import KeyPool, Lease
from analyzer_service.settings import Settings
from analyzer_service.wiring import Wired, wire
from servicekit import deadlines, errors, telemetry
from tests import emulators
from tests.emulators import Emulator

KEYS = {"key-one": "a", "key-two": "b", "key-three": "c"}
CALLS, PER_MINUTE = 200, 20


def picture() -> RawView:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(buffer, "JPEG")
    return RawView(buffer.getvalue())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gemini(clock: FakeClock) -> Iterator[Emulator]:
    with emulators.gemini(labels=KEYS, clock=clock.now) as emulator:
        yield emulator


@asynccontextmanager
async def analyzer(gemini: Emulator, clock: FakeClock, **values: Any) -> AsyncIterator[Wired]:
    defaults: dict[str, Any] = {
        "google_api_keys": SecretStr(",".join(f"{label}:{key}" for key, label in KEYS.items())),
        "google_gemini_base_url": gemini.url,
        "gemini_timeout_seconds": 60.0,
    }
    wired = wire(Settings(_env_file=None, **{**defaults, **values}), clock)
    await wired.warm_up()
    # The emulator counts the list of models as a request.
    clock.time += 61
    try:
        yield wired
    finally:
        await wired.close()


async def run(wired: Wired, clock: FakeClock, calls: int, done: Callable[[int], None] = lambda count: None) -> float:
    """Captions that all start at once; seconds of the test's time until the last is answered."""
    return await run_replicas([wired], clock, calls, done)


async def run_replicas(
    replicas: Sequence[Wired], clock: FakeClock, calls: int, done: Callable[[int], None] = lambda count: None
) -> float:
    """The same, with the calls spread over several replicas."""
    pools = [wired.pool for wired in replicas if wired.pool is not None]
    finished = 0

    async def one(wired: Wired) -> None:
        nonlocal finished
        caption = await wired.analyzer.caption([picture()], "")
        assert caption.draft.name
        finished += 1
        done(finished)

    arrived: set[object] = set()

    def note_arrivals(pool: KeyPool) -> None:
        async def noted(*values: Any) -> Lease:
            arrived.add(asyncio.current_task())
            return await KeyPool.acquire(pool, *values)

        pool.acquire = noted  # type: ignore[method-assign]

    for pool in pools:
        note_arrivals(pool)
    # Time stands still while a request is on its way, or a call has not come to the pool yet.
    clock.busy = lambda: any(pool.in_flight for pool in pools) or len(arrived) < calls
    deadlines.enter(100_000)
    started = clock.now()
    await asyncio.gather(*(one(replicas[number % len(replicas)]) for number in range(calls)))
    return clock.now() - started


def captions(gemini: Emulator) -> list[Any]:
    return [entry for entry in gemini.log if entry.operation == "generateContent"]


async def test_200_calls_over_three_keys_with_limits(gemini: Emulator, clock: FakeClock) -> None:
    """The bound of 200 calls at 3 x 20 a minute is 200 s (latency is nothing here)."""
    gemini.configure(requests_per_minute=PER_MINUTE)
    async with analyzer(gemini, clock, gemini_requests_per_minute=PER_MINUTE) as wired:
        seconds = await run(wired, clock, CALLS)
    bound = 60 * CALLS / (3 * PER_MINUTE)
    print(f"{CALLS} calls: {seconds:.0f} s, bound {bound:.0f} s, ratio {seconds / bound:.2f}")
    assert seconds <= 1.15 * bound
    # No request was sent for nothing.
    assert [entry.status for entry in captions(gemini)] == [200] * CALLS


async def test_limits_that_nobody_configured_are_learned(gemini: Emulator, clock: FakeClock) -> None:
    gemini.configure(requests_per_minute=PER_MINUTE)
    async with analyzer(gemini, clock) as wired:
        seconds = await run(wired, clock, CALLS)
    assert seconds <= 1.15 * 60 * CALLS / (3 * PER_MINUTE)
    assert [entry.status for entry in captions(gemini)].count(200) == CALLS


async def test_one_key_revoked_half_way_loses_nothing(gemini: Emulator, clock: FakeClock) -> None:
    gemini.configure(requests_per_minute=PER_MINUTE)

    def revoke(count: int) -> None:
        if count == CALLS // 2:
            gemini.fault("revoked", key="key-two", times=None)

    async with analyzer(gemini, clock, gemini_requests_per_minute=PER_MINUTE) as wired:
        seconds = await run(wired, clock, CALLS, revoke)
        assert wired.pool is not None
        assert [state.quarantined for state in await wired.pool.states()] == [0, 1, 0]
    answered = [entry.key for entry in captions(gemini) if entry.status == 200]
    assert len(answered) == CALLS
    assert seconds <= 1.3 * 60 * CALLS / (2 * PER_MINUTE)


async def test_two_replicas_share_their_quota_in_redis(
    gemini: Emulator, clock: FakeClock, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider counts too, and has nothing to refuse."""
    monkeypatch.setattr(redis_quota, "TIMEOUT_SECONDS", 30.0)  # a busy machine is no Redis that is away
    values = {"redis_url": SecretStr(redis_server.url), "gemini_requests_per_minute": PER_MINUTE}
    async with analyzer(gemini, clock, **values) as one, analyzer(gemini, clock, **values) as other:
        gemini.configure(requests_per_minute=PER_MINUTE)
        seconds = await run_replicas([one, other], clock, 130)
        assert one.pool is not None
        states = await one.pool.states()
        adapters, _ = await one.analyzer.providers()
    assert [entry.status for entry in captions(gemini)] == [200] * 130
    assert seconds == pytest.approx(122, abs=1)
    assert sum(state.used for state in states) == 10
    assert adapters[0].detail == ""


async def test_without_redis_each_replica_takes_its_share(gemini: Emulator, clock: FakeClock) -> None:
    values = {"redis_url": SecretStr("redis://127.0.0.1:1/0"), "gemini_requests_per_minute": PER_MINUTE}
    async with analyzer(gemini, clock, **values) as one, analyzer(gemini, clock, **values) as other:
        gemini.configure(requests_per_minute=PER_MINUTE)
        await run_replicas([one, other], clock, 100)
        adapters, _ = await one.analyzer.providers()
    assert [entry.status for entry in captions(gemini)] == [200] * 100
    assert "each replica counts for itself" in adapters[0].detail


async def test_tokens_per_minute_are_counted_as_the_provider_counts_them(gemini: Emulator, clock: FakeClock) -> None:
    async with analyzer(gemini, clock, gemini_tokens_per_minute=4000) as wired:
        read = (await wired.analyzer.caption([picture()], "")).draft.cost.input_tokens
        clock.time += 61
        seconds = await run(wired, clock, 30)
        assert wired.pool is not None
        states = await wired.pool.states()
    # Each of three groups sends this many in a minute, as far as the estimate is right.
    in_a_minute = 3 * (4000 // read)
    assert seconds == pytest.approx(61 * (-(-30 // in_a_minute) - 1), abs=61)
    assert seconds >= 61
    assert all(state.used for state in states)


async def test_when_all_groups_wait_the_call_waits_for_the_first(gemini: Emulator, clock: FakeClock) -> None:
    for key, retry_after in zip(KEYS, (50, 20, 35), strict=True):
        gemini.fault("rate_limit_minute", operation="generateContent", key=key, retry_after=retry_after)
    async with analyzer(gemini, clock) as wired:
        assert await run(wired, clock, 1) == pytest.approx(20, abs=0.1)
    assert [entry.status for entry in captions(gemini)] == [429, 429, 429, 200]


async def test_a_parked_day_ends(gemini: Emulator, clock: FakeClock) -> None:
    async with analyzer(gemini, clock, gemini_requests_per_day=2) as wired:
        await run(wired, clock, 6)
        assert wired.pool is not None
        assert [state.parked for state in await wired.pool.states()] == [True, True, True]
        deadlines.enter(60)
        with pytest.raises(errors.ResourceExhausted) as caught:
            await wired.analyzer.caption([picture()], "")
        assert caught.value.reason == "PROVIDER_QUOTA"
        assert caught.value.retry_after is not None
        clock.time += caught.value.retry_after + 0.1
        await run(wired, clock, 1)
    assert len(captions(gemini)) == 7


@pytest.mark.parametrize("status", [500, 503])
async def test_in_a_storm_at_most_a_tenth_is_repeated(gemini: Emulator, clock: FakeClock, status: int) -> None:
    gemini.fault("server_error", operation="generateContent", status=status, times=None)
    async with analyzer(gemini, clock) as wired:
        assert wired.pool is not None
        pool = wired.pool
        clock.busy = lambda: pool.in_flight > 0
        for _ in range(60):
            with pytest.raises(errors.Unavailable):
                await wired.analyzer.caption([picture()], "")
    assert 60 < len(captions(gemini)) <= 66


async def test_a_broken_body_is_asked_for_again(gemini: Emulator, clock: FakeClock) -> None:
    gemini.fault("broken_body", operation="generateContent")
    async with analyzer(gemini, clock) as wired:
        await run(wired, clock, 1)
    assert len(captions(gemini)) == 2


async def test_keys_are_in_no_trace(gemini: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(telemetry, "tracer", provider.get_tracer)
    gemini.fault("revoked", key="key-one", times=None)
    async with analyzer(gemini, clock) as wired:
        await run(wired, clock, 3)
        gemini.fault("revoked", times=None)
        clock.busy = lambda: wired.pool is not None and wired.pool.in_flight > 0
        with pytest.raises(errors.Unavailable):
            await wired.analyzer.caption([picture()], "")
    told = " ".join(span.to_json() for span in spans.get_finished_spans())
    assert "generate_content" in told
    assert not any(key in told for key in KEYS)
