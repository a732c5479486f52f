"""Chooses the adapters that the settings ask for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from analyzer_service import extras, pool_metrics
from analyzer_service.adapters import clip_category, local_text
from analyzer_service.adapters.clip_category import ClipCategory
from analyzer_service.adapters.gemini import GeminiConnection
from analyzer_service.adapters.gemini_models import ModelWatch
from analyzer_service.adapters.gemini_text import GeminiEmbedder
from analyzer_service.adapters.gemini_vision import GeminiAnalyzer
from analyzer_service.adapters.lexical_text import LexicalEmbedder
from analyzer_service.adapters.local import LocalAnalyzer
from analyzer_service.adapters.local_text import LocalEmbedder
from analyzer_service.adapters.redis_quota import RedisQuota
from analyzer_service.adapters.shared_quota import Counting, SharedQuota
from analyzer_service.analysis import Analyzer
from analyzer_service.attempts import Caller
from analyzer_service.extras import Extras
from analyzer_service.keypool import KeyPool
from analyzer_service.keys import parse_keys
from analyzer_service.pricing import Models
from analyzer_service.quota import SLACK_SECONDS, WINDOW_SECONDS, Clock, Limits, MemoryQuota, Quota
from analyzer_service.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wired:
    """The domain with its adapters, and what to await at start and end."""

    analyzer: Analyzer
    warm_up: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    extras: Extras
    pool: KeyPool | None = None


def wire(settings: Settings, clock: Clock | None = None) -> Wired:
    """Gemini where there is a key, the local stand-ins otherwise.

    Raises:
        errors.FailedPrecondition: The keys are written wrongly.
    """
    keys = parse_keys(settings.google_api_key, settings.google_api_keys)
    if not keys:
        return _local(settings)
    models = Models(
        settings.models_file,
        defaults=Limits(
            settings.gemini_requests_per_minute,
            settings.gemini_tokens_per_minute,
            settings.gemini_requests_per_day,
            settings.gemini_tokens_per_day,
        ),
        inr_per_usd=settings.inr_per_usd,
    )
    pool = KeyPool(
        keys,
        limits=models.limits,
        quota=_quota(settings, clock),
        quarantine_seconds=settings.key_quarantine_seconds,
        max_in_flight=settings.gemini_max_in_flight,
        max_waiting=settings.gemini_max_waiting,
        clock=clock,
    )
    pool_metrics.observe(pool)
    connection = GeminiConnection(
        Caller(pool, timeout=settings.gemini_timeout_seconds), base_url=settings.google_gemini_base_url, models=models
    )
    watch = ModelWatch(
        connection, (settings.gemini_model, settings.gemini_embedding_model, settings.gemini_image_model), models
    )
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
    logger.info("Gemini answers with %s and %d groups of keys", settings.gemini_model, len(pool.snapshot()))
    analyzer = Analyzer(vision, texts, pool.states, watch.refresh, counting=lambda: _counting(pool))
    more = extras.gemini(settings, connection, watch)

    async def close() -> None:
        await more.close()
        await connection.close()

    return Wired(analyzer, watch.refresh, close, more, pool)


def _counting(pool: KeyPool) -> str:
    cut_off = isinstance(pool.quota, SharedQuota) and pool.quota.counting is Counting.CUT_OFF
    return Counting.CUT_OFF.value if cut_off else ""


def _local(settings: Settings) -> Wired:
    logger.info("no GOOGLE_API_KEY: the local analyzer and a local embedder of texts answer")
    texts: LocalEmbedder | LexicalEmbedder = LocalEmbedder(settings.text_model)
    if settings.text_model is None and not local_text.packaged():
        logger.warning("the sentence model is not installed: texts are compared by their words")
        texts = LexicalEmbedder()
    folder = clip_category.installed(settings.clip_model)
    categories = ClipCategory(folder) if folder else None

    async def warm_up() -> None:
        await texts.load()
        if categories is not None:
            await categories.load()

    more = extras.local(settings)
    return Wired(Analyzer(LocalAnalyzer(categories), texts), warm_up, more.close, more)


def _quota(settings: Settings, clock: Clock | None) -> Quota:
    """Counts in Redis where it is configured, with those of this process to fall back on."""
    window = settings.gemini_minute_seconds * (1 + SLACK_SECONDS / WINDOW_SECONDS)
    own = MemoryQuota(clock, window=window)
    if settings.redis_url is None:
        return own
    shared = RedisQuota(settings.redis_url.get_secret_value(), clock=clock, window=window)
    return SharedQuota(shared, own, share=settings.quota_share_without_redis, clock=clock)
