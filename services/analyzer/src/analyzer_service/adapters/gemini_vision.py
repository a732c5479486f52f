"""Gemini as analyzer of pictures: fields in parts, in parallel, with one repair of a broken answer."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

from google.genai import types
from PIL import Image

from analyzer_service import prompts
from analyzer_service.adapters.base import AdapterInfo, CaptionDraft, Reading, View
from analyzer_service.adapters.gemini import GeminiConnection
from analyzer_service.adapters.gemini_models import ModelWatch
from analyzer_service.fields import Answer, questions
from analyzer_service.pixels import Facts
from analyzer_service.pricing import Cost
from marketplaces import Field
from servicekit import errors

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
# What was read, and what it cost.
PartAnswer = tuple[prompts.PartRead, Cost]

_REPAIR = (
    "Your previous answer could not be read ({problem}). Answer the same questions again, complete, as one JSON object"
    " that follows the schema, and nothing else."
)
# Answers of parts whose siblings failed wait here for the repetition of the call, so that they are not paid for twice.
_KEPT_PARTS = 256
_JPEG_QUALITY = 92


class GeminiAnalyzer:
    """Reads fields and captions with a Gemini model.

    Args:
        connection: To Gemini.
        watch: What is known of the models.
        model: Model id.
        thinking: Thinking level for models that have one; empty: the model's own.
        temperatures: For attributes and captions, sent where the model takes one.
    """

    wanted_side = 1536

    def __init__(
        self,
        connection: GeminiConnection,
        watch: ModelWatch,
        *,
        model: str,
        thinking: str,
        temperatures: tuple[float, float],
    ) -> None:
        self._connection = connection
        self._watch = watch
        self._model = model
        self._thinking = thinking
        self._temperatures = temperatures
        self._kept: OrderedDict[str, PartAnswer] = OrderedDict()

    async def read_fields(self, fields: Sequence[Field], views: Sequence[View], facts: Facts, notes: str) -> Reading:
        """Asks all parts at once. A part that stays unreadable leaves its fields empty while others answered.

        Raises:
            errors.ServiceError: No part could be read, or one failed for a reason that passes, such as a quota: then
                the answers of the others are kept for the next try.
        """
        asked = questions(fields)
        parts = prompts.split(asked, len(views))
        pictures = await asyncio.to_thread(_picture_parts, views)
        keys = [_fingerprint(self._model, part.prompt(notes), part.schema, pictures) for part in parts]
        asking = (self._ask_part(part, pictures, notes, key) for part, key in zip(parts, keys, strict=True))
        results = await asyncio.gather(*asking, return_exceptions=True)
        self._raise_failures(results)
        for key in keys:
            self._kept.pop(key, None)
        answers: dict[str, Answer] = {}
        warnings: list[str] = []
        category = ""
        cost = Cost()
        for part, result in zip(parts, results, strict=True):
            if isinstance(result, BaseException):
                problem = result.message if isinstance(result, errors.ServiceError) else "unexpected failure"
                warnings.append(f"{len(part.questions)} questions were not answered: {problem}")
                read = prompts.PartRead({q.key: Answer(reason=f"not answered: {problem}") for q in part.questions})
            else:
                read, spent = result
                category = category or read.category
                warnings += [f"the views disagree: {conflict}" for conflict in read.conflicts]
                cost += spent
            answers |= {name: read.answers[question.key] for question in part.questions for name in question.names}
        return Reading(answers, self._model, prompts.ATTRIBUTES_VERSION, category, tuple(warnings), cost)

    async def caption(self, views: Sequence[View], facts: Facts, product_type: str) -> CaptionDraft:
        """Asks for a name and a description; raises as `read_fields`."""
        pictures = await asyncio.to_thread(_picture_parts, views)
        contents = [*pictures, types.Part(text=prompts.caption_prompt(product_type))]
        config = self._config(prompts.CAPTION_SYSTEM, prompts.caption_schema(), self._temperatures[1])
        draft, cost = await self._ask(contents, config, _read_caption)
        return CaptionDraft(
            draft.name, draft.description, draft.attributes, draft.color, draft.product_type or product_type, (), cost
        )

    async def info(self) -> AdapterInfo:
        """Who answers, with what is known of the model."""
        detail, end = self._watch.detail(self._model), self._watch.ends(self._model)
        return AdapterInfo("vision", "gemini", False, self._model, detail, end)

    def _raise_failures(self, results: Sequence[object]) -> None:
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            passes = isinstance(failure, errors.ServiceError) and failure.reason != "MODEL_ANSWER_UNREADABLE"
            if passes or len(failures) == len(results) or not isinstance(failure, errors.ServiceError):
                raise failure

    async def _ask_part(self, part: prompts.Part, pictures: Sequence[types.Part], notes: str, key: str) -> PartAnswer:
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        config = self._config(prompts.SYSTEM, part.schema, self._temperatures[0])
        contents = [*pictures, types.Part(text=part.prompt(notes))]
        answer = await self._ask(contents, config, lambda reply: prompts.read_answers(part, reply))
        self._kept[key] = answer
        while len(self._kept) > _KEPT_PARTS:
            self._kept.popitem(last=False)
        return answer

    async def _ask(
        self,
        contents: Sequence[types.Part],
        config: types.GenerateContentConfig,
        read: Callable[[str], Result],
    ) -> tuple[Result, Cost]:
        """Asks, reads, and asks once more when the answer cannot be read."""
        spent = Cost()
        asked = list(contents)
        for last in (False, True):
            reply, cost = await self._connection.generate(self._model, asked, config)
            spent += cost
            self._watch.note(self._model, reply)
            try:
                return read(_text_of(reply)), spent
            except ValueError as error:
                problem = "it broke off" if isinstance(error, json.JSONDecodeError) else str(error)
                logger.warning("an answer of %s could not be read: %s", self._model, problem)
                if last:
                    break
                asked = [*contents, types.Part(text=_REPAIR.format(problem=problem))]
        raise errors.Unavailable(
            "the model's answer could not be read, twice; try again", reason="MODEL_ANSWER_UNREADABLE"
        )

    def _config(self, system: str, schema: prompts.Schema, temperature: float) -> types.GenerateContentConfig:
        config = types.GenerateContentConfig(
            system_instruction=system, response_mime_type="application/json", response_json_schema=schema
        )
        if self._watch.takes_temperature(self._model):
            config.temperature = temperature
        # Levels came with the third generation; older models count thinking in tokens.
        if self._thinking and not self._model.startswith(("gemini-1", "gemini-2")):
            config.thinking_config = types.ThinkingConfig(thinking_level=types.ThinkingLevel(self._thinking.upper()))
        return config


def _picture_parts(views: Sequence[View]) -> list[types.Part]:
    parts = []
    for number, view in enumerate(views, start=1):
        name = f" ({prompts.delimited('view', view.name)})" if view.name else ""
        parts.append(types.Part(text=f"View {number}{name}:"))
        parts.append(types.Part.from_bytes(data=_encoded(view.picture), mime_type="image/jpeg"))
    return parts


def _encoded(picture: Image.Image) -> bytes:
    """A JPEG of the decoded pixels: nothing of the file's metadata leaves, such as the place it was taken at."""
    small = picture.copy()
    small.thumbnail((GeminiAnalyzer.wanted_side, GeminiAnalyzer.wanted_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _text_of(reply: types.GenerateContentResponse) -> str:
    """The answer's text; raises ValueError where there is none or it was cut off."""
    candidates = reply.candidates or []
    if not candidates or candidates[0].content is None:
        raise ValueError("it was empty")
    if candidates[0].finish_reason == types.FinishReason.MAX_TOKENS:
        raise ValueError("it was cut off")
    texts = [part.text for part in candidates[0].content.parts or [] if part.text and not part.thought]
    if not texts:
        raise ValueError("it was empty")
    return "".join(texts)


def _fingerprint(model: str, text: str, schema: prompts.Schema, pictures: Sequence[types.Part]) -> str:
    digest = hashlib.sha256(f"{model}\0{prompts.ATTRIBUTES_VERSION}\0{text}\0{json.dumps(schema)}".encode())
    for part in pictures:
        digest.update((part.text or "").encode())
        if part.inline_data is not None and part.inline_data.data is not None:
            digest.update(part.inline_data.data)
    return digest.hexdigest()


def _read_caption(text: str) -> CaptionDraft:
    data = prompts.read_object(text)
    name, description = str(data.get("name") or "").strip(), str(data.get("description") or "").strip()
    if not name or not description:
        raise ValueError("name or description is missing")
    attributes = data.get("attributes")
    words = tuple(str(item).strip() for item in attributes if str(item).strip()) if isinstance(attributes, list) else ()
    category = data.get("product_type")
    found = str(category) if category in prompts.CATEGORIES else ""
    return CaptionDraft(name[:200], description[:2000], words[:12], str(data.get("color") or "").strip()[:60], found)
