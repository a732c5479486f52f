"""Asks a Gemini model for JSON that follows a schema, with one repair of an answer that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.genai import types

from analyzer_service.adapters.gemini import GeminiConnection
from analyzer_service.adapters.gemini_models import ModelWatch
from analyzer_service.pricing import Cost
from servicekit import errors

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
Schema = dict[str, Any]
_REPAIR = (
    "Your previous answer could not be read ({problem}). Answer again, complete, as one JSON object that follows the"
    " schema, and nothing else."
)


class GeminiJson:
    """One model with its settings.

    Args:
        connection: To Gemini.
        watch: What is known of the models.
        model: Model id.
        thinking: Thinking level for models that have one; empty: the model's own.
    """

    def __init__(self, connection: GeminiConnection, watch: ModelWatch, *, model: str, thinking: str) -> None:
        self._connection = connection
        self.watch = watch
        self.model = model
        self._thinking = thinking

    async def ask(
        self,
        contents: Sequence[types.Part],
        read: Callable[[str], Result],
        *,
        system: str,
        schema: Schema,
        temperature: float,
    ) -> tuple[Result, Cost]:
        """What `read` makes of the answer; it raises ValueError for one that cannot be read.

        Raises:
            errors.ServiceError: As `GeminiConnection.generate`; Unavailable where the answer stays unreadable
                (MODEL_ANSWER_UNREADABLE).
        """
        config = types.GenerateContentConfig(
            system_instruction=system, response_mime_type="application/json", response_json_schema=schema
        )
        if self.watch.takes_temperature(self.model):
            config.temperature = temperature
        if self._thinking and not self.model.startswith(("gemini-1", "gemini-2")):
            config.thinking_config = types.ThinkingConfig(thinking_level=types.ThinkingLevel(self._thinking.upper()))
        spent, asked = Cost(), list(contents)
        for _ in range(2):
            reply, cost = await self._connection.generate(self.model, asked, config)
            spent += cost
            self.watch.note(self.model, reply)
            try:
                return read(_text_of(reply)), spent
            except ValueError as error:
                problem = "it was no whole JSON" if "JSON" in type(error).__name__ else str(error)
                logger.warning("an answer of %s could not be read: %s", self.model, problem)
                asked = [*contents, types.Part(text=_REPAIR.format(problem=problem))]
        raise errors.Unavailable(
            "the model's answer could not be read, twice; try again", reason="MODEL_ANSWER_UNREADABLE"
        )


def _text_of(reply: types.GenerateContentResponse) -> str:
    candidates = reply.candidates or []
    if not candidates or candidates[0].content is None:
        raise ValueError("it was empty")
    if candidates[0].finish_reason == types.FinishReason.MAX_TOKENS:
        raise ValueError("it was cut off")
    return "".join(part.text for part in candidates[0].content.parts or [] if part.text and not part.thought)
