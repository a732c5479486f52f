"""Answers to requests with an Idempotency-Key, kept for a day."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gateway_service.adapters.database import METADATA, Database
from gateway_service.adapters.replicas import now_in

KEPT_SECONDS = 24 * 3600.0
# A request that is worked on renews its lease; one whose process died is free again after so long.
LEASE_SECONDS = 20.0

ANSWERS = sa.Table(
    "gateway_answers",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("body", sa.String(64), nullable=False),
    sa.Column("created", sa.Double, nullable=False, index=True),
    sa.Column("lease", sa.Double, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("headers", sa.Text, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)


@dataclass(frozen=True)
class Claim:
    """What is known of a key: `new`, `open`, `other` (another body) or `done`, then with the answer."""

    state: str
    since: str = ""
    """Tells this life of the key from one more than a day ago."""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""


class Answers:
    """Keys and their answers in the gateway's database; `id` is a hash of who asked what under which key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, key: str, body: str) -> Claim:
        """Takes a key for a body, or says what is known of it."""
        now = now_in(self._database)
        old = sa.delete(ANSWERS).where(ANSWERS.c.created < now - KEPT_SECONDS)
        values = {"id": key, "body": body, "status": 0, "headers": "", "content": b""}
        insert = self._database.insert(ANSWERS).values(created=now, lease=now + LEASE_SECONDS, **values)
        take = insert.on_conflict_do_nothing(index_elements=["id"]).returning(ANSWERS.c.id)
        again = sa.update(ANSWERS).where(
            ANSWERS.c.id == key, ANSWERS.c.body == body, ANSWERS.c.status == 0, ANSWERS.c.lease < now
        )

        def work(connection: Connection) -> Claim:
            connection.execute(old)
            taken = connection.execute(take).first() is not None
            taken = taken or connection.execute(again.values(lease=now + LEASE_SECONDS)).rowcount == 1
            return _claim(connection.execute(sa.select(ANSWERS).where(ANSWERS.c.id == key)).one(), body, taken)

        return await self._database.run(work)

    async def renew(self, key: str) -> None:
        """Keeps a claim alive."""
        lease = now_in(self._database) + LEASE_SECONDS
        update = sa.update(ANSWERS).where(ANSWERS.c.id == key).values(lease=lease)
        await self._database.run(lambda connection: connection.execute(update))

    async def store(self, key: str, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        """Keeps the answer."""
        packed = zlib.compress(content, 1)
        update = sa.update(ANSWERS).where(ANSWERS.c.id == key)
        done = update.values(status=status, headers=json.dumps(headers), content=packed)
        await self._database.run(lambda connection: connection.execute(done))

    async def release(self, key: str) -> None:
        """Forgets a key whose request may be tried again."""
        gone = sa.delete(ANSWERS).where(ANSWERS.c.id == key, ANSWERS.c.status == 0)
        await self._database.run(lambda connection: connection.execute(gone))


def _claim(row: Any, body: str, taken: bool) -> Claim:
    since = f"{row.created:.3f}"
    if row.body != body:
        return Claim("other")
    if row.status:
        headers = tuple((str(name), str(value)) for name, value in json.loads(row.headers))
        return Claim("done", since, row.status, headers, zlib.decompress(row.content))
    return Claim("new" if taken else "open", since)
