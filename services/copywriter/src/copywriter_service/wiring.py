"""Which adapters stand for the paid provider: the real ones with a key, their stand-ins without."""

from __future__ import annotations

from typing import NamedTuple

from copywriter_service.adapters.composed import ComposedWriter
from copywriter_service.adapters.openai_account import OpenAIAccount
from copywriter_service.adapters.openai_collections import OpenAICollections
from copywriter_service.adapters.openai_images import ImageOptions, OpenAIImages
from copywriter_service.adapters.openai_text import OpenAIOptions, OpenAIText
from copywriter_service.adapters.openai_writer import OpenAIWriter
from copywriter_service.adapters.painter import NoPainter, Painter
from copywriter_service.adapters.retries import RetryPolicy
from copywriter_service.adapters.writer import Writer
from copywriter_service.collection import CollectionWriter, NoCollectionWriter
from copywriter_service.prices import tariff
from copywriter_service.settings import Settings

NO_KEY = "no key configured: copy is composed from the attributes; set OPENAI_API_KEY to have it written"


class Paid(NamedTuple):
    """Who writes copy, who names collections, who makes pictures."""

    writer: Writer
    collections: CollectionWriter
    painter: Painter


def paid_adapters(settings: Settings) -> Paid:
    """The adapters, all over one account, or their stand-ins."""
    key = settings.openai_api_key.get_secret_value().strip() if settings.openai_api_key else ""
    if not key:
        return Paid(ComposedWriter(NO_KEY), NoCollectionWriter(), NoPainter())
    models = (settings.openai_model, settings.openai_image_model)
    account = OpenAIAccount(key, models, settings.openai_base_url)
    model = OpenAIText(account, _writing(settings))
    return Paid(OpenAIWriter(model), OpenAICollections(model), OpenAIImages(account, _painting(settings)))


def _writing(settings: Settings) -> OpenAIOptions:
    return OpenAIOptions(
        model=settings.openai_model,
        api=settings.openai_api,
        reasoning_effort=settings.openai_reasoning_effort,
        max_output_tokens=settings.openai_max_output_tokens,
        concurrency=settings.openai_concurrency,
        tariff=tariff(
            settings.openai_model, settings.openai_input_price, settings.openai_output_price,
            "OPENAI_INPUT_PRICE and OPENAI_OUTPUT_PRICE",
        ),
        policy=RetryPolicy(attempts=settings.openai_attempts, attempt_seconds=settings.openai_attempt_seconds),
    )  # fmt: skip


def _painting(settings: Settings) -> ImageOptions:
    return ImageOptions(
        model=settings.openai_image_model,
        size=settings.openai_image_size,
        quality=settings.openai_image_quality,
        concurrency=settings.openai_image_concurrency,
        tariff=tariff(
            settings.openai_image_model, settings.openai_image_input_price, settings.openai_image_output_price,
            "OPENAI_IMAGE_INPUT_PRICE and OPENAI_IMAGE_OUTPUT_PRICE",
        ),
        policy=RetryPolicy(attempts=settings.openai_attempts, attempt_seconds=settings.openai_image_attempt_seconds),
    )  # fmt: skip
