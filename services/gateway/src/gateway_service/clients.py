"""All that the gateway talks to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from gateway_service.adapters import analyzer, copywriter, embedding, exporter, semantic, vision_index
from gateway_service.adapters.analyzer import Analyzer
from gateway_service.adapters.copywriter import Copywriter
from gateway_service.adapters.embedding import Embedding
from gateway_service.adapters.exporter import Exporter
from gateway_service.adapters.pictures import Pictures
from gateway_service.adapters.semantic import Semantic
from gateway_service.adapters.vision_index import VisionIndex
from gateway_service.captions import Respite
from gateway_service.fetch import Fetcher
from gateway_service.settings import Settings
from objectstore import ObjectStore, open_store
from servicekit import client


@dataclass(frozen=True)
class Clients:
    """One client per service, the object store, pictures from outside, and what is known of the analyzer's room."""

    embedding: Embedding
    vision_index: VisionIndex
    analyzer: Analyzer
    copywriter: Copywriter
    exporter: Exporter
    semantic: Semantic
    store: ObjectStore
    pictures: Pictures
    fetcher: Fetcher
    respite: Respite = field(default_factory=Respite)

    @property
    def services(self) -> tuple[Embedding, VisionIndex, Analyzer, Copywriter, Exporter, Semantic]:
        """The services, in the order of a request's way through them."""
        return self.embedding, self.vision_index, self.analyzer, self.copywriter, self.exporter, self.semantic

    def check_website(self, website: str) -> str:
        """Gives the website back; raises `errors.InvalidArgument` for one that has no bucket. Empty is the default."""
        self.store.bucket_for(website)
        return website

    async def close(self) -> None:
        """Closes every channel and the store."""
        await asyncio.gather(*(service.close() for service in self.services))
        await self.store.close()


def connect(settings: Settings) -> Clients:
    """Clients for the configured addresses. Needs a running loop, touches no network."""
    targets = {
        Embedding.name: (settings.embedding_addr, embedding.DESCRIPTOR),
        VisionIndex.name: (settings.vision_index_addr, vision_index.DESCRIPTOR),
        Analyzer.name: (settings.analyzer_addr, analyzer.DESCRIPTOR),
        Copywriter.name: (settings.copywriter_addr, copywriter.DESCRIPTOR),
        Exporter.name: (settings.exporter_addr, exporter.DESCRIPTOR),
        Semantic.name: (settings.semantic_addr, semantic.DESCRIPTOR),
    }
    channels = {name: client.connect(addr, [descriptor], settings) for name, (addr, descriptor) in targets.items()}
    fetcher = Fetcher(
        allowed=settings.allowed_image_hosts,
        seconds=settings.image_fetch_seconds,
        redirects=settings.image_fetch_redirects,
    )
    return over(channels, open_store(settings), fetcher)


def over(channels: Mapping[str, grpc.aio.Channel], store: ObjectStore, fetcher: Fetcher) -> Clients:
    """Clients over open channels, by name of the service."""
    return Clients(
        embedding=Embedding(channels[Embedding.name]),
        vision_index=VisionIndex(channels[VisionIndex.name]),
        analyzer=Analyzer(channels[Analyzer.name]),
        copywriter=Copywriter(channels[Copywriter.name]),
        exporter=Exporter(channels[Exporter.name]),
        semantic=Semantic(channels[Semantic.name]),
        store=store,
        pictures=Pictures(store, fetcher),
        fetcher=fetcher,
    )
