"""`python -m embedding_service`: wires and serves."""

from __future__ import annotations

import os
import signal
from functools import partial

from jewelry.embedding.v1 import embedding_pb2
from jewelry.embedding.v1.embedding_pb2_grpc import add_EmbeddingServiceServicer_to_server

from embedding_service.embedder import Embedder
from embedding_service.queues import Limits
from embedding_service.selection import load_engine
from embedding_service.servicer import EmbeddingServicer
from embedding_service.settings import Settings, cpus
from embedding_service.threads import let_the_loop_in
from servicekit import Service, memory, run


def limits(settings: Settings) -> Limits:
    """Bounds of the batcher."""
    return Limits(
        max_images=settings.embed_max_outstanding_images,
        max_bytes=settings.embed_max_outstanding_mb * 2**20,
        preprocess_threads=settings.preprocess_threads or cpus(),
        wait_seconds=settings.embed_batch_wait_ms / 1000,
        batch_seconds=settings.embed_batch_target_ms / 1000,
        quiet_batch_seconds=settings.embed_batch_quiet_ms / 1000,
    )


def service(embedder: Embedder) -> Service:
    """The embedder behind gRPC."""
    servicer = EmbeddingServicer(embedder)
    return Service(
        register=lambda server: add_EmbeddingServiceServicer_to_server(servicer, server),
        descriptors=[embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]],
        warm_up=embedder.start,
        close=embedder.close,
        admit=servicer.admit,
    )


def main() -> None:
    """Serves until it is told to stop."""
    let_the_loop_in()
    memory.keep_freed()
    settings = Settings()

    async def build() -> Service:
        return service(
            Embedder(
                partial(load_engine, settings),
                limits(settings),
                processes=settings.preprocess_in == "processes",
                max_streams=settings.embed_max_streams,
                # A device that fails every pass is mended by a fresh process: drain, end, be restarted.
                on_fatal=lambda: os.kill(os.getpid(), signal.SIGTERM),
            )
        )

    run("embedding", settings, settings.embedding_addr, build)


if __name__ == "__main__":
    main()
