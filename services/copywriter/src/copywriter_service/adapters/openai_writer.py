"""The real writer: OpenAI through its SDK, or any server that speaks the same interface."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import openai

from copywriter_service import prompts
from copywriter_service.adapters import openai_errors
from copywriter_service.adapters.model_watch import ModelList, ModelWatch
from copywriter_service.adapters.openai_wire import Answer, ask_chat, ask_responses
from copywriter_service.adapters.pictures import data_urls
from copywriter_service.adapters.retries import Retries, RetryPolicy
from copywriter_service.adapters.writer import Ask, Draft
from copywriter_service.domain import AdapterInfo, Cost, Origin, TimeLeft
from servicekit import errors, telemetry

logger = logging.getLogger(__name__)

DEFAULT_BASE_URL = "https://api.openai.com/v1"
LIST_SECONDS = 5.0

Api = Literal["auto", "responses", "chat"]


@dataclass(frozen=True)
class OpenAIOptions:
    """How the provider is reached and what it may use.

    Attributes:
        api: Which interface is spoken; `auto` begins with responses and goes over to chat completions, which more
            servers have, when the server does not know it.
        concurrency: Requests at a time; more wait.
        queue: Most that wait; further ones are refused.
        input_price, output_price: Rupees per million tokens; 0: unknown, and costs are reported as 0.
    """

    api_key: str
    model: str
    image_model: str
    base_url: str = DEFAULT_BASE_URL
    api: Api = "auto"
    reasoning_effort: str | None = None
    max_output_tokens: int = 6000
    concurrency: int = 8
    queue: int = 256
    input_price: float = 0.0
    output_price: float = 0.0
    policy: RetryPolicy = field(default_factory=RetryPolicy)


class _Request(Protocol):
    def __call__(self, ask: Ask, urls: list[str], note: str, seconds: float, max_tokens: int) -> Awaitable[Answer]: ...


class _Unreadable(Exception):
    """An answer that could not be read; it has been paid for all the same."""

    def __init__(self, cost: Cost) -> None:
        super().__init__("unreadable answer")
        self.cost = cost


class OpenAIWriter:
    """Writes copy with a model."""

    origin = Origin.MODEL

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        # Repetitions happen in `Retries` and nowhere else.
        self._client = openai.AsyncOpenAI(api_key=options.api_key, base_url=options.base_url, max_retries=0)
        self._retries = Retries(options.policy)
        self._slots = asyncio.Semaphore(options.concurrency)
        self._waiting = 0
        self._chat_only = options.api == "chat"
        self._watch = ModelWatch(self._list_models, (options.model, options.image_model))
        self.prompt_version: str = prompts.prompt()["version"]

    @property
    def info(self) -> AdapterInfo:
        """Name, model, and what the provider's model list says of it."""
        return self.role_info("copy", self._options.model)

    def role_info(self, role: str, model: str) -> AdapterInfo:
        """The same for another role of this provider."""
        return AdapterInfo(
            role, "openai", embedded=False, model_id=model,
            detail=self._watch.detail(model), shutdown_date=self._watch.shutdown_date(model),
        )  # fmt: skip

    async def start(self) -> None:
        """Begins to watch the provider's model list."""
        # The SDK imports its interfaces on first use, which takes a second; not during a call.
        await asyncio.to_thread(lambda: (self._client.responses, self._client.chat.completions, self._client.models))
        self._watch.start()

    async def close(self) -> None:
        """Ends the watch and the connections."""
        await self._watch.close()
        await self._client.close()

    async def write(self, ask: Ask, time_left: TimeLeft) -> Draft:
        """Asks the model; an answer that cannot be read is asked for once more.

        Raises:
            errors.ServiceError: As `openai_errors` says; PROVIDER_BAD_ANSWER after the second unreadable answer.
        """
        urls = await asyncio.to_thread(data_urls, ask.order.pictures)
        async with self._slot(time_left):
            try:
                return await self._ask(ask, urls, "", self._options.max_output_tokens, time_left)
            except _Unreadable as first:
                spent = first.cost
            logger.warning("the model's answer could not be read; asking once more")
            try:
                # A cut-off answer needs more room, a broken one does not mind.
                note, room = prompts.prompt()["unreadable"], 2 * self._options.max_output_tokens
                draft = await self._ask(ask, urls, note, room, time_left)
            except _Unreadable:
                raise openai_errors.bad_answer().error from None
            return replace(draft, cost=draft.cost + spent)

    async def _ask(self, ask: Ask, urls: list[str], note: str, max_tokens: int, time_left: TimeLeft) -> Draft:
        async def attempt(seconds: float) -> Draft:
            request = self._ask_chat if self._chat_only else self._ask_responses
            return await self._attempt(request, ask, urls, note, seconds, max_tokens)

        return await self._retries.run(attempt, time_left)

    async def _attempt(
        self, request: _Request, ask: Ask, urls: list[str], note: str, seconds: float, max_tokens: int
    ) -> Draft:
        options = self._options
        async with telemetry.provider_call("openai", model=options.model, operation="write_copy") as call:
            # The SDK's own timeout is per read; a server that trickles would outlast it.
            try:
                async with asyncio.timeout(seconds):
                    answer = await request(ask, urls, note, seconds, max_tokens)
            except TimeoutError:
                raise openai_errors.timed_out() from None
            except openai.OpenAIError as error:
                raise openai_errors.failure_of(error, options.model) from None
            except (ValueError, TypeError, AttributeError, KeyError, IndexError):
                # The SDK does not check what a server sends; a body cut short or of another shape ends up here.
                raise _Unreadable(Cost(calls=1)) from None
            cost = self._cost(answer)
            call.tokens(answer.input_tokens, answer.output_tokens)
            call.cost(cost.inr_micros)
        if answer.failure is not None:
            raise answer.failure
        try:
            return Draft(prompts.read_answer(answer.text, ask), cost)
        except ValueError:
            raise _Unreadable(cost) from None

    def _cost(self, answer: Answer) -> Cost:
        # Rupees per million tokens are millionths of a rupee per token.
        micros = answer.input_tokens * self._options.input_price + answer.output_tokens * self._options.output_price
        return Cost(1, answer.input_tokens, answer.output_tokens, round(micros))

    async def _ask_responses(self, ask: Ask, urls: list[str], note: str, seconds: float, max_tokens: int) -> Answer:
        try:
            return await ask_responses(self._client, self._parameters(seconds), ask, urls, note, max_tokens)
        except (openai.NotFoundError, openai.APIStatusError) as error:
            known = error.status_code not in (404, 405, 501) or error.code == "model_not_found"
            if known or self._options.api != "auto":
                raise
        logger.info("the provider has no responses interface; using chat completions")
        self._chat_only = True
        return await self._ask_chat(ask, urls, note, seconds, max_tokens)

    async def _ask_chat(self, ask: Ask, urls: list[str], note: str, seconds: float, max_tokens: int) -> Answer:
        return await ask_chat(self._client, self._parameters(seconds), ask, urls, note, max_tokens)

    def _parameters(self, seconds: float) -> dict[str, Any]:
        return {
            "model": self._options.model,
            "timeout": seconds,
            "reasoning_effort": self._options.reasoning_effort,
        }

    async def _list_models(self) -> ModelList:
        try:
            async with asyncio.timeout(LIST_SECONDS):
                page = await self._client.models.list(timeout=LIST_SECONDS)
            return {str(model.id): str(getattr(model, "shutdown_date", None) or "") for model in page.data}
        except TimeoutError:
            raise openai_errors.timed_out().error from None
        except openai.OpenAIError as error:
            raise openai_errors.failure_of(error, self._options.model).error from None
        except (ValueError, TypeError, AttributeError):
            raise openai_errors.bad_answer().error from None

    @contextlib.asynccontextmanager
    async def _slot(self, time_left: TimeLeft) -> AsyncIterator[None]:
        """One of the places for requests at a time; waits in a bounded queue, and only while somebody waits for it."""
        if self._waiting >= self._options.queue:
            raise errors.ResourceExhausted(
                "too much copy is being written; try again shortly", reason="COPY_QUEUE_FULL", retry_after=5.0
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(max(0.0, time_left())):
                await self._slots.acquire()
        except TimeoutError:
            raise errors.DeadlineExceeded(
                "the copy provider is busy with earlier requests; try again", reason="COPY_QUEUE_SLOW"
            ) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()
