"""Which processes of the gateway live: each says so every few seconds."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gateway_service.adapters.database import METADATA, Database

REPLICAS = sa.Table(
    "gateway_replicas",
    METADATA,
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("seen", sa.Double, nullable=False),
    sa.Column("claimed", sa.Double, nullable=False),
)

# A replica that claimed a dead one's work and died over it is given up after so many seconds.
CLAIM_SECONDS = 30.0


class Replicas:
    """Signs of life in the database, by the database's own clock."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self.name = name

    async def beat(self) -> None:
        """Says that this process lives."""
        now = now_in(self._database)
        statement = self._database.insert(REPLICAS).values(id=self.name, seen=now, claimed=0.0)
        upsert = statement.on_conflict_do_update(index_elements=["id"], set_={"seen": now, "claimed": 0.0})
        await self._database.run(lambda connection: connection.execute(upsert))

    async def claim_dead(self, seconds: float) -> list[str]:
        """Names of replicas without a sign of life for so long; nobody else is given them meanwhile."""
        now = now_in(self._database)
        dead = (REPLICAS.c.id != self.name, REPLICAS.c.seen < now - seconds, REPLICAS.c.claimed < now - CLAIM_SECONDS)
        claim = sa.update(REPLICAS).where(*dead).values(claimed=now).returning(REPLICAS.c.id)
        return await self._database.run(lambda connection: list(connection.execute(claim).scalars()))

    async def forget(self, name: str) -> None:
        """Removes a replica whose work was taken over; one that lives after all signs in again."""
        still = sa.delete(REPLICAS).where(REPLICAS.c.id == name, REPLICAS.c.claimed > 0)

        def work(connection: Connection) -> None:
            connection.execute(still)

        await self._database.run(work)

    async def leave(self) -> None:
        """Lets others take over at once what this process leaves."""
        gone = sa.update(REPLICAS).where(REPLICAS.c.id == self.name).values(seen=0.0)
        await self._database.run(lambda connection: connection.execute(gone))


def now_in(database: Database) -> sa.ColumnElement[float]:
    """The database's own time in seconds since 1970."""
    if database.embedded:
        return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Double)
    return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Double)
