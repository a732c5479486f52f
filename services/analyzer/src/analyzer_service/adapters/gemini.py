"""The connection to Gemini: one client per key, the SDK's errors turned into what the pool understands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx2
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

from analyzer_service.attempts import Caller, KeyRefused, ProviderFailure, QuotaExceeded, TransientFailure
from analyzer_service.keys import ApiKey
from analyzer_service.pricing import Cost, Models
from servicekit import errors, telemetry

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
# A picture at the default resolution (ai.google.dev/gemini-api/docs/media-resolution).
_PICTURE_TOKENS = 1120


class GeminiConnection:
    """Calls to Gemini through the pool.

    Args:
        caller: Pool, retries and timeouts.
        base_url: Another address of the interface; None: Google's.
        models: What is known of prices.
    """

    def __init__(self, caller: Caller, *, base_url: str | None, models: Models) -> None:
        self.caller = caller
        self._base_url = base_url
        self._prices = models
        self._clients: dict[str, genai.Client] = {}
        self._opening = asyncio.Lock()
        # One pool of connections for all keys; the key travels in a header of each request.
        self._http = httpx2.AsyncClient(timeout=None, follow_redirects=False)

    async def generate(
        self, model: str, contents: Sequence[types.Part], config: types.GenerateContentConfig
    ) -> tuple[types.GenerateContentResponse, Cost]:
        """One answer of a model.

        Raises:
            errors.ServiceError: As `Caller.call`; InvalidArgument where the model refuses the content
                (PROVIDER_REFUSED_CONTENT); FailedPrecondition where it does not exist (MODEL_UNKNOWN).
        """

        async def ask(client: genai.Client, options: types.HttpOptions) -> types.GenerateContentResponse:
            asked = config.model_copy(update={"http_options": options})
            return await client.aio.models.generate_content(model=model, contents=list(contents), config=asked)

        async with telemetry.provider_call("gemini", model=model, operation="generate_content") as call:
            expected = _expected_tokens(contents) + len(str(config.system_instruction or "")) // 4
            reply = await self._call(model, ask, expected)
            usage = reply.usage_metadata
            read = _read_tokens(reply) or 0
            written = ((usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)) if usage else 0
            cost = self._prices.cost(model, read, written, _image_tokens(usage))
            call.tokens(read, written)
            call.cost(cost.inr_micros)
        _check_refusal(reply)
        return reply, cost

    async def embed(
        self, model: str, contents: Sequence[types.Content], config: types.EmbedContentConfig
    ) -> tuple[list[list[float]], Cost]:
        """One vector per content; raises as `generate`."""

        async def ask(client: genai.Client, options: types.HttpOptions) -> types.EmbedContentResponse:
            asked = config.model_copy(update={"http_options": options})
            return await client.aio.models.embed_content(model=model, contents=list(contents), config=asked)

        async with telemetry.provider_call("gemini", model=model, operation="embed_content") as call:
            reply = await self._call(model, ask, sum(_expected_tokens(content.parts or []) for content in contents))
            read = _read_tokens(reply) or 0
            cost = self._prices.cost(model, read, 0)
            call.tokens(read, 0)
            call.cost(cost.inr_micros)
        vectors = [list(embedding.values or []) for embedding in reply.embeddings or []]
        if len(vectors) != len(contents) or not all(vectors):
            raise errors.Unavailable(
                "the provider sent another number of vectors than texts; try again", reason="PROVIDER_BROKEN_ANSWER"
            )
        return vectors, cost

    async def models(self) -> dict[str, types.Model]:
        """The provider's models by id; raises as `Caller.call`."""

        async def ask(client: genai.Client, options: types.HttpOptions) -> dict[str, types.Model]:
            config = types.ListModelsConfig(page_size=1000, http_options=options)
            pager = await client.aio.models.list(config=config)
            return {str(model.name).removeprefix("models/"): model async for model in pager}

        return await self._call("models.list", ask)

    async def close(self) -> None:
        """Ends all connections."""
        await self._http.aclose()
        await self.caller.pool.close()

    async def _call(
        self,
        model: str,
        ask: Callable[[genai.Client, types.HttpOptions], Awaitable[Result]],
        tokens: int = 0,
    ) -> Result:
        async def attempt(key: ApiKey, timeout: float) -> Result:
            client = await self._client(key)
            options = types.HttpOptions(timeout=max(1, round(timeout * 1000)))
            try:
                # The SDK's timeout is between two bytes; this one is for the whole answer.
                async with asyncio.timeout(timeout):
                    return await ask(client, options)
            except Exception as error:
                raise _translated(error, model) from None

        return await self.caller.call(model, attempt, tokens=tokens, read=_read_tokens)

    async def _client(self, key: ApiKey) -> genai.Client:
        async with self._opening:
            if key.label not in self._clients:
                # Opening a client loads certificates, which takes a while.
                self._clients[key.label] = await asyncio.to_thread(self._open, key)
            return self._clients[key.label]

    def _open(self, key: ApiKey) -> genai.Client:
        options = types.HttpOptions(base_url=self._base_url, httpx_async_client=self._http)
        return genai.Client(vertexai=False, api_key=key.secret.get_secret_value(), http_options=options)


def _expected_tokens(parts: Sequence[types.Part]) -> int:
    """About how many tokens the model will read: four characters of text to a token; pictures and pages as measured."""
    return sum(len(part.text or "") // 4 + (_PICTURE_TOKENS if part.inline_data else 0) for part in parts)


def _read_tokens(reply: object) -> int | None:
    """Tokens that the model read; None where the answer does not say."""
    count = getattr(getattr(reply, "usage_metadata", None), "prompt_token_count", None)
    return None if count is None else int(count)


def _image_tokens(usage: types.GenerateContentResponseUsageMetadata | None) -> int:
    """Tokens of the output that are made pictures."""
    details = (usage.candidates_tokens_details or []) if usage else []
    return sum(item.token_count or 0 for item in details if item.modality == types.MediaModality.IMAGE)


def _translated(error: Exception, model: str) -> Exception:
    """The SDK's error as a failure that the caller knows, without what the SDK quotes of the request."""
    if isinstance(error, ProviderFailure | errors.ServiceError):
        return error
    if isinstance(error, genai_errors.APIError):
        return _from_status(error, model)
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return TransientFailure("it did not answer in time", timeout=True)
    if isinstance(error, httpx2.TransportError):
        return TransientFailure("it could not be reached")
    if isinstance(error, ValueError):
        return TransientFailure("its answer could not be read")
    logger.error("unexpected %s from the provider's client", type(error).__name__)
    return error


def _from_status(error: genai_errors.APIError, model: str) -> Exception:
    details = _details(error)
    reasons = {str(item.get("reason", "")) for item in details}
    if error.code == 429:
        quotas = [str(v.get("quotaId", "")) for item in details for v in item.get("violations", [])]
        daily = any("PerDay" in quota for quota in quotas)
        return QuotaExceeded("its quota is used up", retry_after=_retry_delay(details), daily=daily)
    # Google answers 400 for keys that are wrong or expired, 403 for keys that were taken away.
    if error.code in (401, 403) or "API_KEY_INVALID" in reasons or "API_KEY_EXPIRED" in reasons:
        return KeyRefused("it refuses the key")
    if error.code == 404:
        return errors.FailedPrecondition(
            f"the provider does not know the model {model}; set GEMINI_MODEL or GEMINI_EMBEDDING_MODEL to one it lists",
            reason="MODEL_UNKNOWN",
        )
    if error.code == 400 and "image" in str(error.message or "").lower():
        return errors.InvalidArgument(
            "the provider cannot read the picture; send another one", reason="PROVIDER_REFUSED_CONTENT"
        )
    if error.code in (408, 409) or error.code >= 500:
        return TransientFailure(f"it answered with status {error.code}", timeout=error.code in (408, 504))
    logger.error("the provider refused a request to %s with status %s %s", model, error.code, error.status)
    return errors.Internal(
        f"the provider refused the request with status {error.code}", reason="PROVIDER_REFUSED_REQUEST"
    )


def _details(error: genai_errors.APIError) -> list[dict[str, Any]]:
    body = error.details if isinstance(error.details, dict) else {}
    inner = body.get("error", body)
    found = inner.get("details", []) if isinstance(inner, dict) else []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _retry_delay(details: Sequence[dict[str, Any]]) -> float | None:
    for item in details:
        delay = str(item.get("retryDelay", ""))
        if delay.endswith("s"):
            try:
                return max(0.0, float(delay[:-1]))
            except ValueError:
                continue
    return None


def _check_refusal(reply: types.GenerateContentResponse) -> None:
    """Raises where the model refused to look at the content."""
    feedback = reply.prompt_feedback
    finished = [candidate.finish_reason for candidate in reply.candidates or []]
    refused = {types.FinishReason.SAFETY, types.FinishReason.PROHIBITED_CONTENT, types.FinishReason.BLOCKLIST}
    if (feedback is not None and feedback.block_reason is not None) or any(reason in refused for reason in finished):
        raise errors.InvalidArgument(
            "the model refuses to look at these pictures; send pictures of the product only",
            reason="PROVIDER_REFUSED_CONTENT",
        )
