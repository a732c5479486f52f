"""Starts the copywriter: `python -m copywriter_service`."""

from __future__ import annotations

from collections.abc import Sequence

from jewelry.copywriter.v1 import copywriter_pb2, copywriter_pb2_grpc

from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.adapters.embedding_grpc import GrpcEmbedder
from copywriter_service.collection import Collections
from copywriter_service.copywriter import Copywriter
from copywriter_service.domain import AdapterInfo
from copywriter_service.mockups import Limits, Mockups
from copywriter_service.resemblance import Resemblance
from copywriter_service.servicer import CopywriterServicer
from copywriter_service.settings import Settings
from copywriter_service.wiring import paid_adapters
from objectstore import open_store
from servicekit import Service, run


def build(settings: Settings) -> Service:
    """Wires the service."""
    cache = SqlCache(settings.database_url.get_secret_value() if settings.database_url else None, settings.data_dir)
    writer, namer, painter = paid_adapters(settings)
    copywriter = Copywriter(cache, writer, seconds=settings.copy_seconds, lease_seconds=settings.copy_lease_seconds)
    collections = Collections(namer, cache, seconds=settings.copy_seconds, lease_seconds=settings.copy_lease_seconds)
    store = open_store(settings)
    embedder = GrpcEmbedder(settings.embedding_addr, settings, settings.images_check_seconds)
    limits = Limits(settings.images_max_pictures, round(settings.images_max_inr * 1e6), settings.images_seconds)
    mockups = Mockups(painter, store, Resemblance(embedder), limits)

    def providers() -> Sequence[AdapterInfo]:
        return writer.info, namer.info, painter.info, cache.info

    async def close() -> None:
        await collections.close()
        await copywriter.close()
        await embedder.close()
        await store.close()

    servicer = CopywriterServicer(copywriter, collections, cache, mockups, providers)
    return Service(
        register=lambda server: copywriter_pb2_grpc.add_CopywriterServiceServicer_to_server(servicer, server),
        descriptors=[copywriter_pb2.DESCRIPTOR.services_by_name["CopywriterService"]],
        warm_up=copywriter.open,
        close=close,
    )


def main() -> None:
    """Reads the settings and serves until SIGTERM."""
    settings = Settings()

    async def built() -> Service:
        return build(settings)

    run("copywriter", settings, settings.copywriter_addr, built)


if __name__ == "__main__":
    main()
