"""Chooses the adapters that the settings ask for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from analyzer_service.adapters.gemini import GeminiConnection
from analyzer_service.adapters.gemini_models import ModelWatch
from analyzer_service.adapters.gemini_text import GeminiEmbedder
from analyzer_service.adapters.gemini_vision import GeminiAnalyzer
from analyzer_service.adapters.local import LocalAnalyzer
from analyzer_service.adapters.local_text import LocalEmbedder
from analyzer_service.analysis import Analyzer
from analyzer_service.attempts import Caller
from analyzer_service.keypool import Clock, KeyPool, parse_keys
from analyzer_service.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wired:
    """The domain with its adapters, and what to await at start and end."""

    analyzer: Analyzer
    warm_up: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


def wire(settings: Settings, clock: Clock | None = None) -> Wired:
    """Gemini where there is a key, the local stand-ins otherwise.

    Raises:
        errors.FailedPrecondition: The keys are written wrongly.
    """
    keys = parse_keys(settings.google_api_key, settings.google_api_keys)
    if not keys:
        logger.info("no GOOGLE_API_KEY: the local analyzer and the local sentence model answer")
        embedder = LocalEmbedder(settings.text_model)
        return Wired(Analyzer(LocalAnalyzer(), embedder), embedder.load, _nothing)
    pool = KeyPool(
        keys,
        requests_per_minute=settings.gemini_requests_per_minute,
        quarantine_seconds=settings.key_quarantine_seconds,
        clock=clock,
    )
    connection = GeminiConnection(
        Caller(pool, timeout=settings.gemini_timeout_seconds),
        base_url=settings.google_gemini_base_url,
        max_in_flight=settings.gemini_max_in_flight,
        inr_per_usd=settings.inr_per_usd,
    )
    watch = ModelWatch(connection, (settings.gemini_model, settings.gemini_embedding_model))
    vision = GeminiAnalyzer(
        connection,
        watch,
        model=settings.gemini_model,
        thinking=settings.gemini_thinking,
        temperatures=(settings.temperature_attributes, settings.temperature_caption),
    )
    texts = GeminiEmbedder(
        connection, watch, model=settings.gemini_embedding_model, size=settings.gemini_embedding_size
    )
    logger.info("Gemini answers with %s and %d groups of keys", settings.gemini_model, len(pool.states()))
    return Wired(Analyzer(vision, texts, pool.states, watch.refresh), watch.refresh, connection.close)


async def _nothing() -> None:
    """There is nothing to close."""
