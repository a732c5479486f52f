"""The real writer: copy by OpenAI through its SDK, or by any server that speaks the same interface."""

from __future__ import annotations

from copywriter_service import prompts
from copywriter_service.adapters.openai_text import OpenAIText
from copywriter_service.adapters.openai_wire import Question
from copywriter_service.adapters.pictures import data_urls
from copywriter_service.adapters.writer import Ask, Draft
from copywriter_service.domain import AdapterInfo, CopyText, Origin, TimeLeft


class OpenAIWriter:
    """Writes copy with a model."""

    origin = Origin.MODEL

    def __init__(self, model: OpenAIText) -> None:
        self._model = model
        self.prompt_version: str = prompts.prompt()["version"]

    @property
    def info(self) -> AdapterInfo:
        """Name, model, what the provider's model list says of it, and whether its price is known."""
        return self._model.info("copy")

    async def start(self) -> None:
        """Begins to use the account."""
        await self._model.start()

    async def close(self) -> None:
        """Ends the account's use; nobody asks through it any more."""
        await self._model.close()

    async def write(self, ask: Ask, time_left: TimeLeft) -> Draft:
        """Asks the model; an answer that cannot be read is asked for once more.

        Raises:
            errors.ServiceError: As `OpenAIText.ask`.
        """

        def prepare() -> Question:
            return Question(
                instructions=prompts.instructions(ask),
                data=prompts.data(ask),
                schema_name=prompts.SCHEMA_NAME,
                schema=prompts.schema(ask),
                urls=tuple(data_urls(ask.order.pictures)),
            )

        def read(text: str) -> CopyText:
            return prompts.read_answer(text, ask)

        copy, cost = await self._model.ask(prepare, read, prompts.prompt()["unreadable"], "write_copy", time_left)
        return Draft(copy, cost)
