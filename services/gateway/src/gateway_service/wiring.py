"""The jobs of an application, over its clients and its database."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from gateway_service.adapters.answers import Answers
from gateway_service.adapters.database import Database
from gateway_service.adapters.dbos_engine import DbosEngine
from gateway_service.adapters.job_store import JobStore
from gateway_service.adapters.replicas import Replicas
from gateway_service.adapters.webhooks import SignedWebhooks
from gateway_service.clients import Clients
from gateway_service.jobs.inline import InlineEngine
from gateway_service.jobs.keeper import Keeper
from gateway_service.jobs.ports import Engine
from gateway_service.jobs.product import Patience, Products
from gateway_service.jobs.service import Jobs
from gateway_service.jobs.watch import Watch
from gateway_service.jobs.work import Work
from gateway_service.model import Adapter
from gateway_service.settings import Settings
from servicekit import errors

# Seconds for asking who answers, before an estimate.
ABOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Desk:
    """Where jobs are taken: open it before the first request where they are to be durable."""

    jobs: Jobs
    answers: Answers
    database: Database
    keeper: Keeper

    async def open(self) -> None:
        """Signs in among the replicas and goes on with what an earlier process left."""
        await self.keeper.open()
        await self.jobs.open()

    async def close(self) -> None:
        """Stops within the drain; open jobs go on in another process."""
        # The keeper uses the engine, and others may take over only when that has ended.
        await self.keeper.stop()
        await self.jobs.close()
        await self.keeper.leave()
        await self.database.close()


def build(settings: Settings, clients: Clients, *, durable: bool) -> Desk:
    """The desk of an application; without `durable`, jobs live no longer than the process."""
    url = settings.database_url.get_secret_value() if settings.database_url else None
    database = Database(url, settings.data_dir)
    store = JobStore(database)
    replica = settings.gateway_replica or ("local" if database.embedded else _own_name())
    engine = _engine(settings, None if database.embedded else url, replica) if durable else _inline(settings)
    watch = Watch()
    webhooks = SignedWebhooks(clients.fetcher, settings.gateway_webhook_secret)
    work = Work(
        store,
        Products(clients.pictures, clients.analyzer, clients.copywriter),
        clients.exporter,
        webhooks,
        watch,
        hasty=Patience(settings.catalogue_longest_wait, 2 * settings.catalogue_longest_wait),
        patient=Patience(settings.jobs_longest_wait, settings.jobs_patience, settings.jobs_outage),
    )
    jobs = Jobs(
        store,
        engine,
        work,
        watch,
        about=lambda: _about(clients),
        concurrency=settings.catalogue_concurrency,
        check_webhook=webhooks.check,
    )
    keeper = Keeper(
        store,
        engine,
        Replicas(database, replica),
        takeover_seconds=settings.jobs_takeover_seconds,
        keep_days=settings.jobs_keep_days,
    )
    return Desk(jobs, Answers(database), database, keeper)


def _engine(settings: Settings, url: str | None, replica: str) -> Engine:
    return DbosEngine(
        url=url,
        data_dir=settings.data_dir,
        replica=replica,
        per_job=settings.catalogue_concurrency,
        total=settings.catalogue_concurrency_total,
        poll=settings.jobs_poll_seconds,
        drain=settings.drain_seconds,
    )


def _inline(settings: Settings) -> Engine:
    return InlineEngine(per_job=settings.catalogue_concurrency, total=settings.catalogue_concurrency_total)


def _own_name() -> str:
    """A name that no other process has; whoever takes this one's place takes over by its silence."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


async def _about(clients: Clients) -> Sequence[Adapter]:
    """Who answers for vision and copy; a service that does not say is taken for one that asks a provider."""
    services = (clients.analyzer, clients.copywriter)
    found = await asyncio.gather(*(service.about(ABOUT_SECONDS) for service in services), return_exceptions=True)
    adapters: list[Adapter] = []
    for answer in found:
        if isinstance(answer, BaseException):
            if not isinstance(answer, errors.ServiceError):
                raise answer
        else:
            adapters += answer.adapters
    return adapters
