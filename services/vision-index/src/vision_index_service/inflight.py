"""Uploads that are under way in this process: equal ones wait for each other, others do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from vision_index_service.model import Print, Vector


class KeyedLocks:
    """One lock per key, made when wanted and forgotten when nobody waits."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Holds the key's lock; those who wait are served in their order."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)

    @asynccontextmanager
    async def hold_all(self, keys: Iterable[str]) -> AsyncIterator[None]:
        """Holds several keys' locks; taken in one order, so that nobody waits in a circle."""
        async with AsyncExitStack() as held:
            for key in sorted(set(keys)):
                await held.enter_async_context(self.hold(key))
            yield


@dataclass(frozen=True, eq=False)
class _Upload:
    bucket: str
    print: Print
    vector: Vector
    done: asyncio.Event = field(default_factory=asyncio.Event)


class InFlight:
    """Keeps two uploads of the same photo, sent at once in different files, from both being new."""

    def __init__(self) -> None:
        self._uploads: list[_Upload] = []

    @asynccontextmanager
    async def enter(
        self, bucket: str, picture: Print, vector: Vector, same: Callable[[Print, Vector], bool]
    ) -> AsyncIterator[None]:
        """Waits until no earlier upload to the bucket is the ``same`` picture; later ones then wait for this."""
        mine = _Upload(bucket, picture, vector)
        while (before := self._before(bucket, same)) is not None:
            await before.done.wait()
        self._uploads.append(mine)
        try:
            yield
        finally:
            self._uploads.remove(mine)
            mine.done.set()

    def _before(self, bucket: str, same: Callable[[Print, Vector], bool]) -> _Upload | None:
        return next((u for u in self._uploads if u.bucket == bucket and same(u.print, u.vector)), None)
