"""Starts the exporter: python -m exporter_service."""

from __future__ import annotations

import asyncio

from jewelry.exporter.v1 import exporter_pb2
from jewelry.exporter.v1.exporter_pb2_grpc import add_ExporterServiceServicer_to_server

from exporter_service.adapters.runs import SqliteRuns
from exporter_service.exporting import Exporter
from exporter_service.profiles import Profiles
from exporter_service.retention import Retention
from exporter_service.servicer import ExporterServicer
from exporter_service.settings import Settings
from exporter_service.templates import Templates
from objectstore import open_store
from servicekit import Service, run


def build_service(settings: Settings) -> Service:
    """Wires the service; nothing is opened before it warms up."""
    store = open_store(settings)
    runs = SqliteRuns(settings.data_dir / "exporter" / "runs.v2.sqlite3")
    templates = Templates(settings.data_dir / "exporter" / "templates", store)
    profiles = Profiles.read(settings.seller_profiles)
    exporter = Exporter(store, templates, profiles, runs, settings.exporter_renders)
    retention = Retention(runs, settings.exporter_keep_days, settings.exporter_keep_runs)
    servicer = ExporterServicer(exporter)

    async def warm_up() -> None:
        await asyncio.to_thread(runs.prepare)
        retention.start()

    async def close() -> None:
        await retention.stop()
        await store.close()

    return Service(
        register=lambda server: add_ExporterServiceServicer_to_server(servicer, server),
        descriptors=[exporter_pb2.DESCRIPTOR.services_by_name["ExporterService"]],
        warm_up=warm_up,
        close=close,
    )


def main() -> None:
    """Serves until it is told to stop."""
    settings = Settings()

    async def build() -> Service:
        return build_service(settings)

    run("exporter", settings, settings.exporter_addr, build)


if __name__ == "__main__":
    main()
