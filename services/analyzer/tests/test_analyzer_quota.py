"""The counts of quotas: the same behaviour in memory and in a real Redis; and what happens when Redis is away."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from analyzer_world import MODEL, FakeClock, RedisServer, free_port, key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import asyncio as redis_asyncio

from analyzer_service.adapters.redis_quota import RedisQuota
from analyzer_service.adapters.shared_quota import Counting, SharedQuota
from analyzer_service.keypool import KeyPool
from analyzer_service.quota import Candidate, Decision, Grant, Limits, MemoryQuota, Quota, QuotaStoreDown, Spent
from servicekit import errors

REPLICA = Path(__file__).parent / "quota_replica.py"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture(params=["memory", "redis"])
async def quota(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[Quota]:
    counts: Quota = MemoryQuota(clock, window=60)
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        counts = RedisQuota(server.url, clock=clock, window=60, timeout=30)
    yield counts
    await counts.close()


@pytest.fixture
def group() -> str:
    """A name that no other test uses: they share one Redis."""
    return uuid.uuid4().hex


async def take(quota: Quota, group: str, limits: Limits, tokens: int = 0, commit: bool = True) -> Decision:
    return await quota.take(MODEL, [Candidate(group, limits)], tokens, commit=commit)


async def test_requests_per_minute_slide(quota: Quota, clock: FakeClock, group: str) -> None:
    limits = Limits(requests_per_minute=2)
    assert (await take(quota, group, limits)).grant
    clock.time += 20
    assert (await take(quota, group, limits)).grant
    refused = await take(quota, group, limits)
    assert refused.grant is None
    (standing,) = refused.standings
    assert (standing.used, standing.parked) == (2, False)
    assert standing.wait == pytest.approx(40, abs=1e-5)
    clock.time += 39.9
    assert (await take(quota, group, limits)).grant is None
    clock.time += 0.2
    assert (await take(quota, group, limits)).grant
    # The second of the first two still counts.
    assert (await take(quota, group, limits)).standings[0].wait == pytest.approx(19.9, abs=1e-4)


async def test_tokens_per_minute_and_their_correction(quota: Quota, clock: FakeClock, group: str) -> None:
    limits = Limits(tokens_per_minute=1000)
    first = (await take(quota, group, limits, 400)).grant
    clock.time += 10
    second = (await take(quota, group, limits, 600)).grant
    assert first is not None
    assert second is not None
    # Waits until enough of the oldest are a minute old, not until all are.
    assert (await take(quota, group, limits, 300)).standings[0].wait == pytest.approx(50, abs=1e-5)
    assert (await take(quota, group, limits, 500)).standings[0].wait == pytest.approx(60, abs=1e-5)
    await quota.settle(second, 100)
    assert (await take(quota, group, limits, 500)).grant
    # More than the limit at once passes when nothing else was sent, else it could never pass.
    clock.time += 120
    assert (await take(quota, group, limits, 5000)).grant
    assert (await take(quota, group, limits, 1)).grant is None


async def test_a_day_ends_at_midnight_pacific(quota: Quota, clock: FakeClock, group: str) -> None:
    clock.time = datetime(2026, 11, 22, 18, 30, tzinfo=UTC).timestamp()
    limits = Limits(requests_per_day=2, tokens_per_day=1000)
    assert (await take(quota, group, limits, 10)).grant
    large = (await take(quota, group, limits, 900)).grant
    (standing,) = (await take(quota, group, limits)).standings
    midnight = datetime(2026, 11, 23, 8, 0, tzinfo=UTC).timestamp()
    assert standing.parked
    assert standing.used_today == 2
    assert clock.time + standing.wait == pytest.approx(midnight)
    clock.time = midnight
    assert (await take(quota, group, limits, 950)).grant
    # A correction of yesterday's tokens does not touch today's.
    assert large is not None
    await quota.settle(large, 5)
    assert (await take(quota, group, limits, 51)).standings[0].parked
    assert (await take(quota, group, limits, 50)).grant


async def test_hold_and_park(quota: Quota, clock: FakeClock, group: str) -> None:
    await quota.hold(group, MODEL, 12)
    await quota.hold(group, MODEL, 3)
    (standing,) = (await take(quota, group, Limits())).standings
    assert (standing.wait, standing.parked) == (pytest.approx(12, abs=1e-5), False)
    other = await quota.take("another-model", [Candidate(group)], 0)
    assert other.grant
    clock.time += 12.01
    assert (await take(quota, group, Limits())).grant
    await quota.park(group, MODEL)
    (standing,) = (await take(quota, group, Limits())).standings
    assert standing.parked
    assert 0 < standing.wait <= 86_400


async def test_least_loaded_first(quota: Quota, group: str) -> None:
    names = [f"{group}-{n}" for n in range(3)]
    small_and_large = [Candidate(names[0], Limits(2)), Candidate(names[1], Limits(8))]
    decisions = [await quota.take(MODEL, small_and_large, 0) for _ in range(10)]
    granted = [decision.grant.group for decision in decisions if decision.grant]
    assert granted.count(names[0]) == 2
    assert granted.count(names[1]) == 8
    assert granted.index(names[0], 1) > 4  # the small group is half full after one
    unlimited = [Candidate(names[2]), Candidate(f"{group}-3"), Candidate(f"{group}-4")]
    groups = [decision.grant.group for decision in [await quota.take(MODEL, unlimited, 0) for _ in range(6)] if
              decision.grant]  # fmt: skip
    assert groups[:3] == groups[3:]
    assert len(set(groups)) == 3


async def test_looking_counts_nothing(quota: Quota, group: str) -> None:
    for _ in range(5):
        assert (await take(quota, group, Limits(1), commit=False)).grant is None
    assert (await take(quota, group, Limits(1))).grant


async def test_charged_requests_count_once(quota: Quota, clock: FakeClock, group: str) -> None:
    spent = [Spent("one", 50, 10), Spent("two", 5, 20), Spent("old", 300, 40)]
    await quota.charge(group, MODEL, spent)
    await quota.charge(group, MODEL, spent[:2])
    (standing,) = (await take(quota, group, Limits(2))).standings
    assert (standing.used, standing.tokens, standing.used_today) == (2, 30, 3)
    assert standing.wait == pytest.approx(10, abs=1e-5)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "settle", "hold", "park", "charge", "look"]),
        st.integers(0, 2),
        st.integers(0, 700),
        st.floats(0, 45),
    ),
    max_size=40,
)
LIMITS = [Limits(3, 900, None, None), Limits(2, None, 6, None), Limits(None, 1500, None, 4000)]


class Twins:
    """The counts of this process and those in Redis, told the same."""

    def __init__(self, url: str) -> None:
        self.clock = FakeClock()
        name = uuid.uuid4().hex
        self.candidates = [Candidate(f"{name}-{n}", limits) for n, limits in enumerate(LIMITS)]
        self.both: list[Quota] = [MemoryQuota(self.clock), RedisQuota(url, clock=self.clock, timeout=30)]
        self.grants: list[list[Grant]] = []

    async def do(self, operation: str, number: int, tokens: int, pause: float) -> None:
        self.clock.time += pause
        group = self.candidates[number].group
        if operation in ("take", "look"):
            await self._compare(tokens, commit=operation == "take")
        elif operation == "settle" and self.grants:
            for counts, grant in zip(self.both, self.grants[tokens % len(self.grants)], strict=True):
                await counts.settle(grant, tokens)
        for counts in self.both:
            if operation == "hold":
                await counts.hold(group, MODEL, pause)
            elif operation == "park" and number == 2 and tokens > 600:
                await counts.park(group, MODEL)
            elif operation == "charge":
                await counts.charge(group, MODEL, [Spent(f"elsewhere-{tokens}", pause, tokens)])

    async def _compare(self, tokens: int, commit: bool) -> None:
        own, shared = [await counts.take(MODEL, self.candidates, tokens, commit=commit) for counts in self.both]
        assert own.standings == shared.standings
        assert (own.grant and own.grant.group) == (shared.grant and shared.grant.group)
        if own.grant and shared.grant:
            self.grants.append([own.grant, shared.grant])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
def test_both_decide_alike(redis_server: RedisServer, operations: list[tuple[str, int, int, float]]) -> None:
    """Whatever happens, Redis and this process grant the same group and tell the same waits."""

    async def compare() -> None:
        twins = Twins(redis_server.url)
        for operation in operations:
            await twins.do(*operation)
        for counts in twins.both:
            await counts.close()

    asyncio.run(compare())


# -- Redis away -------------------------------------------------------------------------------


async def test_redis_away_is_typed_and_quick() -> None:
    quota = RedisQuota(f"redis://:password@127.0.0.1:{free_port()}/0")
    with pytest.raises(QuotaStoreDown) as caught:
        await take(quota, "a", Limits())
    assert "password" not in str(caught.value)
    await quota.close()


def test_a_wrong_address_is_refused_at_the_start() -> None:
    with pytest.raises(errors.FailedPrecondition) as caught:
        RedisQuota("http://user:password@somewhere")
    assert caught.value.reason == "BAD_SETTINGS"
    assert "password" not in caught.value.message


async def test_a_crash_of_redis_is_survived_and_made_good(clock: FakeClock) -> None:
    with RedisServer.running() as server:
        shared = RedisQuota(server.url, clock=clock, timeout=30)
        quota = SharedQuota(shared, MemoryQuota(clock), share=0.5, clock=clock)
        limits = Limits(requests_per_minute=10)
        for _ in range(3):
            assert (await take(quota, "a", limits)).grant
        assert quota.counting is Counting.TOGETHER
        server.kill()
        # Half of ten, and the three from before count.
        granted = [(await take(quota, "a", limits)).grant for _ in range(5)]
        assert [bool(grant) for grant in granted] == [True, True, False, False, False]
        assert quota.counting is Counting.CUT_OFF
        await quota.settle(granted[0], 7)  # type: ignore[arg-type]
        await quota.hold("a", "another", 5)
        server.start()
        # It is left alone for a few seconds, then told what was granted meanwhile.
        assert (await take(quota, "a", limits)).grant is None
        clock.time += 5.1
        decision = await take(quota, "a", limits)
        assert decision.grant
        assert quota.counting is Counting.TOGETHER
        assert (decision.standings[0].used, decision.standings[0].tokens) == (2, 7)
        await quota.close()


async def test_a_redis_that_hangs_costs_one_short_wait(clock: FakeClock) -> None:
    with RedisServer.running() as server:
        quota = SharedQuota(RedisQuota(server.url, clock=clock), MemoryQuota(clock), share=1, clock=clock)
        assert (await take(quota, "a", Limits())).grant
        server.pause()
        async with asyncio.timeout(30):
            for _ in range(200):
                assert (await take(quota, "a", Limits())).grant
        assert quota.counting is Counting.CUT_OFF
        server.resume()
        clock.time += 6
        await take(quota, "a", Limits())
        assert quota.counting is Counting.TOGETHER
        await quota.close()


async def test_redis_holds_no_key_and_no_name(redis_server: RedisServer) -> None:
    pool = KeyPool([key("my-project")], limits=lambda g, m: Limits(5), quota=RedisQuota(redis_server.url, timeout=30))
    lease = await pool.acquire(MODEL, 30, 100)
    await lease.rate_limited(1, daily=True)
    client = redis_asyncio.Redis.from_url(redis_server.url)
    stored = ""
    async for name in client.scan_iter():
        kind = await client.type(name)
        content = await client.hgetall(name) if kind == b"hash" else await client.zrange(name, 0, -1)  # type: ignore[misc]
        stored += f"{name!r} {content!r} "
    assert MODEL in stored
    assert "my-project" not in stored
    assert "secret" not in stored
    await client.aclose()
    await pool.close()


# -- two replicas -----------------------------------------------------------------------------


def over_limit(times: list[float], limit: int, window: float) -> list[float]:
    """Grants that came while `limit` others were younger than the window."""
    times = sorted(times)
    return [at for n, at in enumerate(times) if n >= limit and at - times[n - limit] < window]


def test_two_replicas_never_exceed_their_quota(redis_server: RedisServer) -> None:
    """Two processes, 240 calls at once, two groups of 20 requests per window of half a second."""
    name = uuid.uuid4().hex
    order = {
        "url": redis_server.url, "groups": [f"{name}-a", f"{name}-b"], "calls": 120, "limit": 20, "window": 0.5,
        "tokens": 50, "tokens_limit": 800,
    }  # fmt: skip
    replicas = [
        subprocess.Popen([sys.executable, str(REPLICA), json.dumps(order)], stdout=subprocess.PIPE) for _ in range(2)
    ]
    outputs = [json.loads(replica.communicate(timeout=100)[0]) for replica in replicas]
    assert [replica.returncode for replica in replicas] == [0, 0]
    grants = [grant for output in outputs for grant in output]
    assert len(grants) == 240
    assert len({grant["receipt"] for grant in grants}) == 240
    for group in order["groups"]:  # type: ignore[attr-defined]
        times = [grant["at"] for grant in grants if grant["group"] == group]
        assert len(times) > 60
        # 800 tokens a window are 16 requests of 50: the tighter limit holds.
        assert over_limit(times, 16, 0.5 - 1e-5) == []
        most = max(sum(at - 0.5 + 1e-5 < other <= at for other in times) for at in times)
        print(f"{len(times)} grants to two replicas, at most {most} in any half second; the limit is 16")
    # They did share: neither replica was alone for all the time that it asked.
    spans = [(min(g["at"] for g in output), max(g["at"] for g in output)) for output in outputs]
    assert max(span[0] for span in spans) < min(span[1] for span in spans)


def test_the_check_of_the_replay_can_fail() -> None:
    assert over_limit([0, 0.1, 0.2, 0.9, 1.1], 3, 1.0) == [0.9]
    assert over_limit([0, 0.1, 0.2, 1.0, 1.1], 3, 1.0) == []
