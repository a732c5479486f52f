"""Asks a model of OpenAI's, or of any server that speaks the same interface, for a text in a given form."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

import openai

from copywriter_service.adapters import openai_errors
from copywriter_service.adapters.openai_account import OpenAIAccount
from copywriter_service.adapters.openai_wire import Answer, Question, ask_chat, ask_responses
from copywriter_service.adapters.retries import Retries, RetryPolicy
from copywriter_service.adapters.slots import Slots
from copywriter_service.domain import AdapterInfo, Cost, TimeLeft
from copywriter_service.prices import Tariff, tariff
from servicekit import telemetry

logger = logging.getLogger(__name__)

Api = Literal["auto", "responses", "chat"]


@dataclass(frozen=True)
class OpenAIOptions:
    """Which model writes, and what it may use.

    Attributes:
        api: Which interface is spoken; `auto` begins with responses and goes over to chat completions, which more
            servers have, when the server does not know it.
        concurrency: Requests at a time; more wait.
        queue: Most that wait; further ones are refused.
        tariff: What the model's tokens cost; None: as the price table has it.
    """

    model: str
    api: Api = "auto"
    reasoning_effort: str | None = None
    max_output_tokens: int = 6000
    concurrency: int = 8
    queue: int = 256
    tariff: Tariff | None = None
    policy: RetryPolicy = field(default_factory=RetryPolicy)


T = TypeVar("T")


class _Interface(Protocol):
    def __call__(self, question: Question, seconds: float, max_tokens: int) -> Awaitable[Answer]: ...


class _Unreadable(Exception):
    """An answer that could not be read; it has been paid for all the same."""

    def __init__(self, cost: Cost) -> None:
        super().__init__("unreadable answer")
        self.cost = cost


class OpenAIText:
    """One model and its bounds: places, retries, price. Whoever writes with the model shares it."""

    def __init__(self, account: OpenAIAccount, options: OpenAIOptions) -> None:
        self._account = account
        self._client = account.client
        self._options = options
        self._tariff = options.tariff or tariff(options.model, None, None, "OPENAI_INPUT_PRICE and OPENAI_OUTPUT_PRICE")
        self._task = openai_errors.writing(options.model)
        self._retries = Retries(options.policy)
        self._slots = Slots(options.concurrency, options.queue, "copy", "COPY")
        self._chat_only = options.api == "chat"

    def info(self, role: str) -> AdapterInfo:
        """Name, model, what the provider's model list says of it, and whether its price is known."""
        return self._account.info(role, self._options.model, self._tariff.note)

    async def start(self) -> None:
        """Begins to use the account."""
        await self._account.start()

    async def close(self) -> None:
        """Ends the account's use; nobody asks through it any more."""
        await self._account.close()

    async def ask(
        self,
        prepare: Callable[[], Question],
        read: Callable[[str], T],
        unreadable: str,
        operation: str,
        time_left: TimeLeft,
    ) -> tuple[T, Cost]:
        """Asks the model; an answer that cannot be read is asked for once more.

        Args:
            prepare: Makes the question; runs in a thread, since pictures may have to be made smaller.
            read: Reads the answer; raises ValueError for one that is not as asked.
            unreadable: What the model is told after an answer that could not be read.
            operation: Name of the work in traces and metrics.
            time_left: Seconds that the caller still waits.

        Raises:
            errors.ServiceError: As `openai_errors` says; PROVIDER_BAD_ANSWER after the second unreadable answer.
        """  # fmt: skip
        question = await asyncio.to_thread(prepare)
        room = self._options.max_output_tokens
        async with self._slots.place(time_left):
            try:
                return await self._ask(question, read, operation, room, time_left)
            except _Unreadable as first:
                spent = first.cost
            logger.warning("the model's answer could not be read; asking once more")
            try:
                # A cut-off answer needs more room, a broken one does not mind.
                again = replace(question, data=f"{question.data}\n\n{unreadable}")
                answer, cost = await self._ask(again, read, operation, 2 * room, time_left)
            except _Unreadable:
                raise openai_errors.bad_answer().error from None
            return answer, cost + spent

    async def _ask(
        self, question: Question, read: Callable[[str], T], operation: str, max_tokens: int, time_left: TimeLeft
    ) -> tuple[T, Cost]:
        async def attempt(seconds: float) -> tuple[T, Cost]:
            interface = self._ask_chat if self._chat_only else self._ask_responses
            answer, cost = await self._attempt(interface, question, operation, seconds, max_tokens)
            try:
                return read(answer.text), cost
            except ValueError:
                raise _Unreadable(cost) from None

        return await self._retries.run(attempt, time_left)

    async def _attempt(
        self, interface: _Interface, question: Question, operation: str, seconds: float, max_tokens: int
    ) -> tuple[Answer, Cost]:
        async with telemetry.provider_call("openai", model=self._options.model, operation=operation) as call:
            # The SDK's own timeout is per read; a server that trickles would outlast it.
            try:
                async with asyncio.timeout(seconds):
                    answer = await interface(question, seconds, max_tokens)
            except TimeoutError:
                raise openai_errors.timed_out() from None
            except openai.OpenAIError as error:
                raise openai_errors.failure_of(error, self._task) from None
            except (ValueError, TypeError, AttributeError, KeyError, IndexError):
                # The SDK does not check what a server sends; a body cut short or of another shape ends up here.
                raise _Unreadable(Cost(calls=1)) from None
            cost = self._tariff.cost(answer.input_tokens, answer.output_tokens)
            call.tokens(answer.input_tokens, answer.output_tokens)
            call.cost(cost.inr_micros)
        if answer.failure is not None:
            raise answer.failure
        return answer, cost

    async def _ask_responses(self, question: Question, seconds: float, max_tokens: int) -> Answer:
        try:
            return await ask_responses(self._client, self._parameters(seconds), question, max_tokens)
        except (openai.NotFoundError, openai.APIStatusError) as error:
            known = error.status_code not in (404, 405, 501) or error.code == "model_not_found"
            if known or self._options.api != "auto":
                raise
        logger.info("the provider has no responses interface; using chat completions")
        self._chat_only = True
        return await self._ask_chat(question, seconds, max_tokens)

    async def _ask_chat(self, question: Question, seconds: float, max_tokens: int) -> Answer:
        return await ask_chat(self._client, self._parameters(seconds), question, max_tokens)

    def _parameters(self, seconds: float) -> dict[str, Any]:
        return {
            "model": self._options.model,
            "timeout": seconds,
            "reasoning_effort": self._options.reasoning_effort,
        }
