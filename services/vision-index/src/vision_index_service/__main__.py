"""Starts the vision index: `python -m vision_index_service`."""

from __future__ import annotations

import logging

from jewelry.vision_index.v1 import vision_index_pb2, vision_index_pb2_grpc

from objectstore import ObjectStore, open_store
from servicekit import Service, errors, run
from vision_index_service import thresholds_file
from vision_index_service.adapters.embedder import GrpcEmbedder
from vision_index_service.adapters.milvus_store import MilvusStore
from vision_index_service.background import Wishes
from vision_index_service.index import assemble
from vision_index_service.reading import Policy
from vision_index_service.servicer import VisionIndexServicer
from vision_index_service.settings import Settings

logger = logging.getLogger("vision_index_service")  # __name__ is __main__ here


async def build(settings: Settings) -> Service:
    """Settings, adapters, domain, servicer."""
    embedder = GrpcEmbedder(settings.embedding_addr, settings, settings.embedding_timeout)
    vectors = MilvusStore(settings)
    objects = open_store(settings)
    calibrated = thresholds_file.read(settings.calibrated_file, must_exist=settings.thresholds_file is not None)
    policy = Policy(settings.duplicate_distance, settings.similar_distance, settings.cross_website, calibrated)
    wishes = Wishes(
        settings.clean_orphans_on_startup, settings.reindex_on_startup, settings.embed_other_model_on_startup
    )
    index = assemble(embedder, vectors, objects, policy, wishes=wishes, batch_size=settings.batch_size)

    async def warm_up() -> None:
        await _look(vectors, objects)
        index.background.start()

    async def close() -> None:
        await index.close()
        await embedder.close()
        await vectors.close()
        await objects.close()

    servicer = VisionIndexServicer(index, vectors, objects)
    return Service(
        register=lambda server: vision_index_pb2_grpc.add_VisionIndexServiceServicer_to_server(servicer, server),
        descriptors=[vision_index_pb2.DESCRIPTOR.services_by_name["VisionIndexService"]],
        warm_up=warm_up,
        close=close,
    )


async def _look(vectors: MilvusStore, objects: ObjectStore) -> None:
    """Opens the stores. One that is down may come back, so only what needs an operator ends the start."""
    logger.info("vectors: %s, objects: %s", vectors.name, objects.name)
    for store in (vectors, objects):
        try:
            await store.check()
        except errors.Unavailable as error:
            logger.warning("%s is not there yet: %s", store.name, error.message)


def main() -> None:
    """The process."""
    settings = Settings()
    run("vision-index", settings, settings.vision_index_addr, lambda: build(settings))


if __name__ == "__main__":
    main()
