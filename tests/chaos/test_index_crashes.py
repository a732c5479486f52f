"""kill -9 of the vision index at each named step of ingest, delete and re-index; then restart and repair.

After each round everything that was acknowledged is there, once, and nothing is left over; and what was cut off goes
through when it is asked for again. The quick suite runs one round per step, `pytest -m slow` on this file 20.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from jewelry.vision_index.v1 import vision_index_pb2 as pb

from servicekit import client, errors
from tests.chaos.index_rig import STEPS, Ledger, Rig, picture, repair, verify

pytestmark = pytest.mark.xdist_group("index-crashes")
ROUNDS = 20
PICTURES = 6
BATCH = 2
SECONDS = 60.0  # for a call; the process dies long before
WRITES = {"after_rows"}  # rows that are as they should be are not written again
RESUMES = {"after_rows", "after_note"}  # in the second batch: the end of the first one is noted


class Crashes:
    """Goes from crash to crash on the same stores."""

    def __init__(self, rig: Rig) -> None:
        self._rig, self._ledger = rig, Ledger()
        self._numbers = itertools.count()

    async def round(self, step: str, lose_rows: bool = False) -> None:
        """One kill at the step, and what must hold after it."""
        family = STEPS[step].family
        async with self._rig.stub() as stub:
            await self._fill(stub)
        if lose_rows or step in WRITES:  # every row has to come from its object
            self._rig.kill()
            shutil.rmtree(self._rig.folder / "data" / "vision_index.db")
            self._rig.start()
        async with self._rig.stub() as stub:
            call = self._ask(family)
            self._rig.arm(step, nth=2 if family == "reindex" else 1)
            with pytest.raises((errors.Unavailable, errors.Cancelled)):
                await call(stub)
            self._rig.wait_killed()
        self._rig.start()
        async with self._rig.stub() as stub:
            if family == "reindex":
                assert (await _reindex(stub))[0] > 0 or step not in RESUMES
            await repair(stub)
            await verify(self._rig, stub, self._ledger)
            if family != "reindex":
                await call(stub)
                self._acknowledge(family)
                await verify(self._rig, stub, self._ledger)
            assert not await repair(stub), "something was left over"

    async def _fill(self, stub: Any) -> None:
        while len(self._ledger.stored) < PICTURES:
            image = picture(next(self._numbers))
            self._ledger.stored[await _upload(stub, image)] = image

    def _ask(self, family: str) -> Any:
        """The call to be cut off; noted first, as nobody will know how far it came."""
        if family == "reindex":
            return _reindex
        if family == "delete":
            url = next(iter(self._ledger.stored))
            self._ledger.unanswered_deletes.add(url)
            return lambda stub: client.call(stub.Delete, pb.DeleteRequest(urls=[url]), timeout=SECONDS)
        image = picture(next(self._numbers), "TIFF" if family == "exotic" else "PNG")
        self._ledger.unanswered.append(image)
        return lambda stub: self._uploaded(stub, image)

    async def _uploaded(self, stub: Any, image: bytes) -> None:
        self._ledger.stored[await _upload(stub, image)] = image

    def _acknowledge(self, family: str) -> None:
        self._ledger.unanswered.clear()
        for url in self._ledger.unanswered_deletes:
            del self._ledger.stored[url]
        self._ledger.deleted |= self._ledger.unanswered_deletes
        self._ledger.unanswered_deletes.clear()


async def _upload(stub: Any, image: bytes) -> str:
    request = pb.UploadAndIndexRequest(image=image, skip_duplicate_check=True, original_name="a b.png", sku="S-1")
    answer = await client.call(stub.UploadAndIndex, request, timeout=SECONDS)
    assert answer.indexed
    return str(answer.url)


async def _reindex(stub: Any) -> tuple[int, int]:
    """Pictures done at the start and at the end."""
    told = [m async for m in client.stream(stub.Reindex, pb.ReindexRequest(), timeout=SECONDS)]
    assert told[-1].progress.done == told[-1].progress.total
    return told[0].progress.done, told[-1].progress.done


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashes]:
    with Rig(tmp_path_factory.mktemp("index-crashes"), BATCH_SIZE=str(BATCH)) as rig:
        rig.start()
        yield Crashes(rig)


@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_each_step(crashes: Crashes, step: str) -> None:
    await crashes.round(step)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", STEPS)
async def test_twenty_kills_at_each_step(crashes: Crashes, step: str) -> None:
    for number in range(ROUNDS):
        await crashes.round(step, lose_rows=STEPS[step].family == "reindex" and number % 2 == 1)
