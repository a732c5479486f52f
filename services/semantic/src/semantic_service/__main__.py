"""Starts the semantic service."""

from __future__ import annotations

from jewelry.analyzer.v1 import analyzer_pb2
from jewelry.copywriter.v1 import copywriter_pb2
from jewelry.semantic.v1 import semantic_pb2, semantic_pb2_grpc

from semantic_service import mapping, snapshot, styles, vocabulary
from semantic_service.adapters import chroma_store
from semantic_service.adapters.analyzer_embedder import AnalyzerEmbedder
from semantic_service.adapters.chroma_store import ChromaStore
from semantic_service.adapters.copywriter_namer import CopywriterNamer
from semantic_service.adapters.file_source import FileSource, NoSource
from semantic_service.adapters.http_source import HttpSource
from semantic_service.finder import Finder
from semantic_service.mapping import FieldMapping
from semantic_service.naming import Titles
from semantic_service.ports import ProductSource
from semantic_service.servicer import SemanticServicer
from semantic_service.settings import Settings
from semantic_service.syncing import Catalogue
from semantic_service.takeover import Takeover
from servicekit import Service, client, run


async def build(settings: Settings) -> Service:
    """Wires settings, adapters, domain and servicer."""
    channel = client.connect(
        settings.analyzer_addr, [analyzer_pb2.DESCRIPTOR.services_by_name["AnalyzerService"]], settings
    )
    copywriter = client.connect(
        settings.copywriter_addr, [copywriter_pb2.DESCRIPTOR.services_by_name["CopywriterService"]], settings
    )
    fields = mapping.load(settings.products_mapping)
    words = vocabulary.load()
    book = styles.load(words)
    source = _source(settings, fields)
    store = _store(settings)
    embedder = AnalyzerEmbedder(
        channel, document_seconds=settings.semantic_embed_seconds, query_seconds=settings.semantic_wish_seconds
    )
    takeover = Takeover(
        source,
        store,
        embedder,
        fields,
        words,
        book,
        batch=settings.semantic_embed_batch,
        max_products=settings.semantic_max_products,
    )
    catalogue = Catalogue(takeover, store, snapshot.empty(book), seconds=settings.semantic_sync_seconds)
    titles = Titles(CopywriterNamer(copywriter, seconds=settings.semantic_title_seconds), words, book)
    finder = Finder(catalogue, embedder, words, titles)
    servicer = SemanticServicer(catalogue, finder, book, source, store, embedder)

    async def close() -> None:
        await catalogue.close()
        await store.close()
        await channel.close()
        await copywriter.close()

    return Service(
        register=lambda server: semantic_pb2_grpc.add_SemanticServiceServicer_to_server(servicer, server),
        descriptors=[semantic_pb2.DESCRIPTOR.services_by_name["SemanticService"]],
        warm_up=catalogue.open,
        close=close,
    )


def _source(settings: Settings, fields: FieldMapping) -> ProductSource:
    if settings.products_api_url is not None:
        return HttpSource(
            str(settings.products_api_url),
            fields,
            token=settings.products_api_token.get_secret_value() if settings.products_api_token else "",
            seconds=settings.semantic_source_seconds,
            max_bytes=settings.semantic_source_max_bytes,
            max_products=settings.semantic_max_products,
        )
    if settings.products_file is not None:
        return FileSource(settings.products_file, fields, max_bytes=settings.semantic_source_max_bytes)
    return NoSource()


def _store(settings: Settings) -> ChromaStore:
    if settings.chroma_url is not None:
        token = settings.chroma_token.get_secret_value() if settings.chroma_token else ""
        return chroma_store.on_server(str(settings.chroma_url), token)
    return chroma_store.on_disk(settings.data_dir / "chroma")


if __name__ == "__main__":
    configured = Settings()
    run("semantic", configured, configured.semantic_addr, lambda: build(configured))
