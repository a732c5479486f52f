"""The two interfaces that copy can be asked for: responses, and chat completions, which compatible servers have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openai

from copywriter_service import prompts
from copywriter_service.adapters import openai_errors
from copywriter_service.adapters.retries import Failure
from copywriter_service.adapters.writer import Ask


@dataclass(frozen=True)
class Answer:
    """What a model answered: a text, or why there is none."""

    text: str
    input_tokens: int
    output_tokens: int
    failure: Failure | None = None


async def ask_responses(
    client: openai.AsyncOpenAI, parameters: dict[str, Any], ask: Ask, urls: list[str], note: str, max_tokens: int
) -> Answer:
    """Asks through `/responses`. `store` is off: nothing of the seller's is kept for later calls.

    Raises:
        openai.OpenAIError: The request failed.
    """
    extra = dict(parameters)
    if effort := extra.pop("reasoning_effort"):
        extra["reasoning"] = {"effort": effort}
    content: list[dict[str, Any]] = [{"type": "input_text", "text": _user_text(ask, note)}]
    content += [{"type": "input_image", "image_url": url, "detail": "auto"} for url in urls]
    response = await client.responses.create(
        **extra,
        instructions=prompts.instructions(ask),
        input=[{"role": "user", "content": content}],
        text={"format": {"type": "json_schema", **_schema(ask)}},
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
    client: openai.AsyncOpenAI, parameters: dict[str, Any], ask: Ask, urls: list[str], note: str, max_tokens: int
) -> Answer:
    """Asks through `/chat/completions`.

    Raises:
        openai.OpenAIError: The request failed.
    """
    extra = {name: value for name, value in parameters.items() if value is not None}
    content: list[dict[str, Any]] = [{"type": "text", "text": _user_text(ask, note)}]
    content += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    completion = await client.chat.completions.create(
        **extra,
        messages=[
            {"role": "system", "content": prompts.instructions(ask)},
            {"role": "user", "content": content},
        ],
        response_format={
            "type": "json_schema",
            "json_schema": _schema(ask),
        },
        max_completion_tokens=max_tokens,
    )
    usage = completion.usage
    read, written = (int(usage.prompt_tokens), int(usage.completion_tokens)) if usage else (0, 0)
    choice = completion.choices[0]
    refused = bool(choice.message.refusal) or choice.finish_reason == "content_filter"
    return Answer(choice.message.content or "", read, written, openai_errors.refused() if refused else None)


def _schema(ask: Ask) -> dict[str, Any]:
    return {"name": prompts.SCHEMA_NAME, "strict": True, "schema": prompts.schema(ask)}


def _user_text(ask: Ask, note: str) -> str:
    return prompts.data(ask) + (f"\n\n{note}" if note else "")
