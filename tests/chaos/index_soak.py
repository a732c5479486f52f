"""Random kill -9 of the vision index under load: `python -m tests.chaos.index_soak --rounds 500`.

Each round: uploads, deletes, re-indexes and repairs at once, SIGKILL at a random moment, start, repair, check that all
that was acknowledged is there once and nothing is left over. Stops at the first thing that is wrong, and says which
seed shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from jewelry.vision_index.v1 import vision_index_pb2 as pb

from servicekit import client, errors
from tests.chaos.index_rig import Ledger, Rig, picture, repair, verify

SECONDS = 60.0
MOST_PICTURES = 40
CALLERS = 4
LATEST_KILL = 2.0  # seconds after the load began
_CUT_OFF = (errors.Unavailable, errors.Cancelled, errors.Unknown, errors.Internal)


class Load:
    """Callers who upload, delete and look after the index until it dies."""

    def __init__(self, chance: random.Random) -> None:
        self.ledger, self.done = Ledger(), Counter[str]()
        self._chance = chance
        self._numbers = itertools.count()

    async def run(self, stub: Any) -> None:
        """Calls until cancelled; whatever was not answered is in the ledger as such."""
        long_work = self._chance.choice((self._reindex, self._repair, None))
        callers = [self._caller(stub) for _ in range(CALLERS)]
        await asyncio.gather(*callers, *([long_work(stub)] if long_work else []))

    async def settle(self, stub: Any) -> None:
        """Asks again for what was cut off."""
        for image in list(self.ledger.unanswered):
            await self._upload(stub, image)
            self.done["uploads repeated"] += 1
        for url in list(self.ledger.unanswered_deletes):
            await self._delete(stub, url)
            self.done["deletes repeated"] += 1

    async def _caller(self, stub: Any) -> None:
        while True:
            with contextlib.suppress(*_CUT_OFF):
                free = [url for url in self.ledger.stored if url not in self.ledger.unanswered_deletes]
                if free and self._chance.random() < len(self.ledger.stored) / MOST_PICTURES:
                    await self._delete(stub, self._chance.choice(free))
                    continue
                image = picture(next(self._numbers), self._chance.choice(("PNG", "PNG", "PNG", "TIFF")))
                self.ledger.unanswered.append(image)
                await asyncio.gather(*(self._upload(stub, image) for _ in range(self._chance.choice((1, 1, 3)))))
            await asyncio.sleep(0)

    async def _upload(self, stub: Any, image: bytes) -> None:
        request = pb.UploadAndIndexRequest(image=image, skip_duplicate_check=True, sku="S-1")
        answer = await client.call(stub.UploadAndIndex, request, timeout=SECONDS)
        assert self.ledger.stored.get(answer.url, image) == image, "one address for two pictures"
        self.ledger.stored[answer.url] = image
        if image in self.ledger.unanswered:
            self.ledger.unanswered.remove(image)
        self.done["uploads"] += 1

    async def _delete(self, stub: Any, url: str) -> None:
        self.ledger.unanswered_deletes.add(url)
        answer = await client.call(stub.Delete, pb.DeleteRequest(urls=[url]), timeout=SECONDS)
        if answer.results[0].status == pb.DELETE_STATUS_FAILED:
            return
        self.ledger.unanswered_deletes.discard(url)
        self.ledger.stored.pop(url, None)
        self.ledger.deleted.add(url)
        self.done["deletes"] += 1

    async def _reindex(self, stub: Any) -> None:
        with contextlib.suppress(*_CUT_OFF):
            async for _ in client.stream(stub.Reindex, pb.ReindexRequest(), timeout=SECONDS):
                self.done["batches re-indexed"] += 1

    async def _repair(self, stub: Any) -> None:
        request = pb.RepairRequest(mend=True, delete_orphan_rows=True)
        with contextlib.suppress(*_CUT_OFF):
            async for _ in client.stream(stub.Repair, request, timeout=SECONDS):
                pass
            self.done["repairs under load"] += 1


async def one_round(rig: Rig, load: Load, chance: random.Random) -> Counter[str]:
    """Load, kill, start, repair, check; what the repair found."""
    async with rig.stub() as stub:
        calls = asyncio.create_task(load.run(stub))
        await asyncio.sleep(chance.uniform(0.0, LATEST_KILL))
        rig.kill()
        calls.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await calls
    rig.start()
    async with rig.stub() as stub:
        found = await repair(stub)
        await verify(rig, stub, load.ledger)
        await load.settle(stub)
        await verify(rig, stub, load.ledger)
        left = await repair(stub)
        assert not left, f"the repair left {dict(left)}"
    return found


async def soak(folder: Path, rounds: int, minutes: float, seed: int) -> int:
    """Runs the rounds that fit; returns how many."""
    chance = random.Random(seed)
    load = Load(chance)
    mended: Counter[str] = Counter()
    began = time.monotonic()
    number = 0
    with Rig(folder, BATCH_SIZE="4") as rig:
        rig.start()
        while number < rounds and time.monotonic() - began < minutes * 60:
            mended += await one_round(rig, load, chance)
            number += 1
            if number % 10 == 0:
                print(f"{number} rounds, {time.monotonic() - began:.0f} s, {dict(load.done)}", flush=True)
    print(f"{number} kills in {time.monotonic() - began:.0f} s; acknowledged pictures lost: 0; left over: 0")
    print(f"calls: {dict(load.done)}")
    print(f"mended after kills: {dict(mended)}; stored at the end: {len(load.ledger.stored)}")
    return number


def main() -> int:
    """The command; 1 when fewer rounds than asked for fit into the time."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.index_soak", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=120.0, help="stop after this time, whatever is left")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--folder", type=Path, help="keep stores and logs there")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="index-soak-"))
    print(f"seed {given.seed}, stores and logs in {folder}", flush=True)
    done = asyncio.run(soak(folder, given.rounds, given.minutes, given.seed))
    if given.folder is None:
        shutil.rmtree(folder)
    return 0 if done == given.rounds else 1


if __name__ == "__main__":
    sys.exit(main())
