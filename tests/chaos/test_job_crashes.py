"""kill -9 of the gateway at random moments of a 200-product job: nothing lost, nothing finished paid for twice."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.jobs_rig import PAID, Gateway, Services, is_ended, kept, whole

PRODUCTS = 200
QUICK_PRODUCTS = 60
QUICK_ROUNDS = 2
SLOW_ROUNDS = int(os.environ.get("JOB_ROUNDS", "50"))
# A round begins while there is time for it.
SLOW_SECONDS = float(os.environ.get("JOB_SECONDS", "1700"))


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    async with Services().serving() as running:
        yield running


@pytest.fixture
async def gateway(tmp_path: Path, services: Services) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path, services.addresses)
    yield made
    await made.close()


async def rounds(
    gateway: Gateway, services: Services, products: int, count: int, seconds: float, seed: int
) -> tuple[int, int, int]:
    """Kills in that many jobs, within that time; rounds done, calls kept at the kills, calls that were repeated."""
    chance = random.Random(seed)
    picture = gateway.picture()
    database = f"sqlite:///{gateway.folder}/data/gateway-workflows.db"
    await gateway.start()
    started = time.monotonic()
    lasted, done, held, repeated = products / 40, 0, 0, 0
    for number in range(count):
        began = time.monotonic()
        if began - started > seconds:
            break
        name = f"R{number}"
        job_id = await gateway.submit(picture, name, products)
        pause = chance.uniform(0, lasted)
        await asyncio.sleep(pause)
        gateway.kill()
        # What was kept when the process died must never be asked for again.
        paid = kept(database, job_id)
        before = {one: services.calls[one[0], f"{name}-{one[1]:03d}"] for one in paid}
        killed = time.monotonic()
        await gateway.start()
        again = time.monotonic()
        await gateway.until(job_id, is_ended)
        lasted = 0.7 * lasted + 0.3 * (killed - began + time.monotonic() - again)
        await whole(gateway, services, job_id, name, products)
        after = {one: services.calls[one[0], f"{name}-{one[1]:03d}"] for one in paid}
        assert after == before, f"round {number}, killed after {pause:.2f} s: a call that had finished was repeated"
        calls = {sku: services.calls[rpc, sku] for rpc in PAID.values() for sku in _skus(name, products)}
        assert min(calls.values()) == 1
        repeated += sum(services.calls[rpc, sku] - 1 for rpc in PAID.values() for sku in _skus(name, products))
        held += len(paid)
        done += 1
    assert await gateway.terminate() == 0, gateway.log()
    return done, held, repeated


async def test_a_killed_gateway_goes_on(gateway: Gateway, services: Services) -> None:
    seed = random.randrange(10**6)
    done, _, repeated = await rounds(gateway, services, QUICK_PRODUCTS, QUICK_ROUNDS, 600, seed)
    assert done == QUICK_ROUNDS
    # At most what was under way when it died: sixteen products at a time.
    assert repeated <= 16 * done


@pytest.mark.slow
@pytest.mark.timeout(SLOW_SECONDS + 300)
async def test_fifty_kills(gateway: Gateway, services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(10**6)
    done, held, repeated = await rounds(gateway, services, PRODUCTS, SLOW_ROUNDS, SLOW_SECONDS, seed)
    with capsys.disabled():
        print(
            f"\n{done} of {SLOW_ROUNDS} rounds of {PRODUCTS} products, one kill -9 each (seed {seed}): all products "
            f"there once; of {held} paid calls kept at the kills, 0 repeated; under way and repeated: {repeated}"
        )
    assert done == SLOW_ROUNDS
    assert repeated <= 16 * done


async def test_sigterm_finishes_the_steps_under_way_and_repeats_none(gateway: Gateway, services: Services) -> None:
    picture = gateway.picture()
    await gateway.start()
    services.seconds = 0.3
    job_id = await gateway.submit(picture, "T", 40)
    await gateway.until(job_id, lambda job: job["done"] >= 4)
    assert await gateway.terminate() == 0, gateway.log()
    services.seconds = 0.01
    await gateway.start()
    await gateway.until(job_id, is_ended)
    await whole(gateway, services, job_id, "T", 40)
    assert set(services.calls.values()) == {1}


def _skus(name: str, products: int) -> list[str]:
    return [f"{name}-{number:03d}" for number in range(products)]
