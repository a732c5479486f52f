"""The two interfaces that texts can be asked for: responses, and chat completions, which compatible servers have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openai

from copywriter_service.adapters import openai_errors
from copywriter_service.adapters.retries import Failure


@dataclass(frozen=True)
class Question:
    """What a model is asked.

    Attributes:
        instructions: The trusted half: what to write and by which rules.
        data: The untrusted half, as text.
        urls: Pictures as data URLs.
        schema_name: Name of the answer's schema.
        schema: JSON schema of the answer, within the subset that strict structured output takes.
    """

    instructions: str
    data: str
    schema_name: str
    schema: dict[str, object]
    urls: tuple[str, ...] = ()

    @property
    def format(self) -> dict[str, Any]:
        """The answer's form, as both interfaces take it."""
        return {"name": self.schema_name, "strict": True, "schema": self.schema}


@dataclass(frozen=True)
class Answer:
    """What a model answered: a text, or why there is none."""

    text: str
    input_tokens: int
    output_tokens: int
    failure: Failure | None = None


async def ask_responses(
    client: openai.AsyncOpenAI, parameters: dict[str, Any], question: Question, max_tokens: int
) -> Answer:
    """Asks through `/responses`. `store` is off: nothing of the seller's is kept for later calls.

    Raises:
        openai.OpenAIError: The request failed.
    """
    extra = dict(parameters)
    if effort := extra.pop("reasoning_effort"):
        extra["reasoning"] = {"effort": effort}
    content: list[dict[str, Any]] = [{"type": "input_text", "text": question.data}]
    content += [{"type": "input_image", "image_url": url, "detail": "auto"} for url in question.urls]
    response = await client.responses.create(
        **extra,
        instructions=question.instructions,
        input=[{"role": "user", "content": content}],
        text={"format": {"type": "json_schema", **question.format}},
        max_output_tokens=max_tokens,
        store=False,
    )
    usage = response.usage
    read, written = (int(usage.input_tokens), int(usage.output_tokens)) if usage else (0, 0)
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    text = "".join(part.text for part in parts if part.type == "output_text")
    return Answer(text, read, written, _responses_failure(response, parts))


def _responses_failure(response: Any, parts: list[Any]) -> Failure | None:
    if any(part.type == "refusal" for part in parts):
        return openai_errors.refused()
    reason = response.incomplete_details.reason if response.incomplete_details else ""
    if reason == "content_filter":
        return openai_errors.refused()
    if response.status == "failed" and response.error is not None:
        return openai_errors.failed_response(str(response.error.code))
    return None


async def ask_chat(
    client: openai.AsyncOpenAI, parameters: dict[str, Any], question: Question, max_tokens: int
) -> Answer:
    """Asks through `/chat/completions`.

    Raises:
        openai.OpenAIError: The request failed.
    """
    extra = {name: value for name, value in parameters.items() if value is not None}
    content: list[dict[str, Any]] = [{"type": "text", "text": question.data}]
    content += [{"type": "image_url", "image_url": {"url": url}} for url in question.urls]
    completion = await client.chat.completions.create(
        **extra,
        messages=[
            {"role": "system", "content": question.instructions},
            {"role": "user", "content": content},
        ],
        response_format={"type": "json_schema", "json_schema": question.format},
        max_completion_tokens=max_tokens,
    )
    usage = completion.usage
    read, written = (int(usage.prompt_tokens), int(usage.completion_tokens)) if usage else (0, 0)
    choice = completion.choices[0]
    refused = bool(choice.message.refusal) or choice.finish_reason == "content_filter"
    return Answer(choice.message.content or "", read, written, openai_errors.refused() if refused else None)
