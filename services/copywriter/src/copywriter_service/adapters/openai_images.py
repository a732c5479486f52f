"""Mock-up pictures by OpenAI's image edits, through its SDK."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import openai

from copywriter_service.adapters import openai_errors
from copywriter_service.adapters.openai_account import OpenAIAccount
from copywriter_service.adapters.painter import Painted
from copywriter_service.adapters.retries import Failure, Retries, RetryPolicy
from copywriter_service.adapters.slots import Slots
from copywriter_service.domain import AdapterInfo, Cost, TimeLeft
from copywriter_service.prices import Tariff, planned_tokens, tariff
from servicekit import images, telemetry

logger = logging.getLogger(__name__)

Quality = Literal["auto", "low", "medium", "high", "xhigh", "max"]

# Larger than what models make of it; uploads stay small.
LONGEST_SIDE = 2048


@dataclass(frozen=True)
class ImageOptions:
    """Which model makes pictures, and what it may use.

    Attributes:
        size: WIDTHxHEIGHT in pixels; forms are scaled from it.
        concurrency: Requests at a time; more wait.
        queue: Most that wait; further ones are refused.
        tariff: What the model's tokens cost; None: as the price table has it.
    """

    model: str
    size: str = "1024x1024"
    quality: Quality = "auto"
    concurrency: int = 4
    queue: int = 64
    tariff: Tariff | None = None
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(attempt_seconds=180.0))


class OpenAIImages:
    """Edits pictures with a model. The account is opened and closed by the writer that shares it."""

    longest_side = LONGEST_SIDE

    def __init__(self, account: OpenAIAccount, options: ImageOptions) -> None:
        self._account = account
        self._options = options
        settings = "OPENAI_IMAGE_INPUT_PRICE and OPENAI_IMAGE_OUTPUT_PRICE"
        self._tariff = options.tariff or tariff(options.model, None, None, settings)
        self._task = openai_errors.editing(options.model)
        # Limits are per model: pictures that are limited do not stop copy, nor the other way round.
        self._retries = Retries(options.policy)
        self._slots = Slots(options.concurrency, options.queue, "pictures", "IMAGES")

    @property
    def info(self) -> AdapterInfo:
        """Name, model, what the provider's model list says of it, and whether its price is known."""
        return self._account.info("image_edits", self._options.model, self._tariff.note)

    def require(self) -> None:
        """Pictures can be made."""

    def planned_micros(self, sources: int) -> int | None:
        """See `Painter.planned_micros`."""
        if self._tariff.price is None:
            return None
        width, height = (int(number) for number in self._options.size.split("x"))
        return self._tariff.cost(*planned_tokens(sources, self._options.quality, width, height)).inr_micros

    async def paint(self, sources: Sequence[bytes], prompt: str, time_left: TimeLeft) -> Painted:
        """See `Painter.paint`.

        An answer that came is paid for, whether it can be read or not, and is not asked for again; nor is one that
        did not come in time, because it may have been made.
        """
        files = [(f"product-{number}.jpg", data, "image/jpeg") for number, data in enumerate(sources, start=1)]

        async def attempt(seconds: float) -> Painted:
            return await self._attempt(files, prompt, seconds)

        async with self._slots.place(time_left):
            return await self._retries.run(attempt, time_left)

    async def _attempt(self, files: list[tuple[str, bytes, str]], prompt: str, seconds: float) -> Painted:
        options = self._options
        async with telemetry.provider_call("openai", model=options.model, operation="edit_image") as call:
            try:
                async with asyncio.timeout(seconds):
                    response = await self._account.client.images.edit(
                        # Servers that take one picture only know the field without brackets.
                        image=files[0] if len(files) == 1 else files,
                        model=options.model,
                        prompt=prompt,
                        n=1,
                        size=options.size,
                        quality=options.quality,
                        timeout=seconds,
                    )
                painted = self._painted(response)
            except (TimeoutError, openai.APITimeoutError):
                raise Failure(openai_errors.timed_out().error, again=False) from None
            except openai.OpenAIError as error:
                raise openai_errors.failure_of(error, self._task) from None
            except (ValueError, TypeError, AttributeError, KeyError, IndexError):
                # The SDK does not check what a server sends; a body cut short or of another shape ends up here.
                logger.warning("the provider's answer to an image edit could not be read")
                return Painted(b"", Cost(calls=1))
            call.tokens(painted.cost.input_tokens, painted.cost.output_tokens)
            call.cost(painted.cost.inr_micros)
            return painted

    def _painted(self, response: Any) -> Painted:
        usage = response.usage
        read, written = (int(usage.input_tokens), int(usage.output_tokens)) if usage else (0, 0)
        # An address instead of bytes is not followed: nobody knows where it leads.
        return Painted(_decoded(response.data[0].b64_json), self._tariff.cost(read, written))


def _decoded(text: str | None) -> bytes:
    """Bytes of a picture; empty where there are none, or more than anybody takes."""
    if not text or len(text) > 4 * (images.MAX_BYTES // 3 + 1):
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
