"""The account at the provider: one SDK client, and what its model list says. Copy and pictures share it."""

from __future__ import annotations

import asyncio

import openai

from copywriter_service.adapters import openai_errors
from copywriter_service.adapters.model_watch import ModelList, ModelWatch
from copywriter_service.domain import AdapterInfo
from servicekit import errors

DEFAULT_BASE_URL = "https://api.openai.com/v1"
LIST_SECONDS = 5.0


class OpenAIAccount:
    """A key and where it is used.

    Args:
        api_key: The provider's key.
        models: Configured model ids, watched for their end.
        base_url: Any compatible server, with `/v1`.
        client: Another client of the SDK, for tests.
    """

    def __init__(
        self, api_key: str, models: tuple[str, ...], base_url: str = DEFAULT_BASE_URL,
        client: openai.AsyncOpenAI | None = None,
    ) -> None:  # fmt: skip
        # Repetitions happen in `Retries` and nowhere else.
        self.client = client or openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0)
        self.watch = ModelWatch(self._list_models, models)

    def info(self, role: str, model: str, note: str = "") -> AdapterInfo:
        """Who stands for a role, and what an operator should know of its model.

        Args:
            note: More that an operator should know.
        """
        return AdapterInfo(
            role, "openai", embedded=False, model_id=model,
            detail="; ".join(filter(None, (self.watch.detail(model), note))),
            shutdown_date=self.watch.shutdown_date(model),
        )  # fmt: skip

    async def start(self) -> None:
        """Begins to watch the provider's model list."""
        # The SDK imports its interfaces on first use, which takes a second; not during a call.
        await asyncio.to_thread(self._import)
        self.watch.start()

    def _import(self) -> tuple[object, ...]:
        client = self.client
        return client.responses, client.chat.completions, client.images, client.models

    async def close(self) -> None:
        """Ends the watch and the connections."""
        await self.watch.close()
        await self.client.close()

    async def _list_models(self) -> ModelList:
        try:
            async with asyncio.timeout(LIST_SECONDS):
                page = await self.client.models.list(timeout=LIST_SECONDS)
            return {str(model.id): str(getattr(model, "shutdown_date", None) or "") for model in page.data}
        except TimeoutError:
            raise openai_errors.timed_out().error from None
        except openai.NotFoundError:
            raise errors.Unavailable("the provider has none", reason="PROVIDER_REJECTED") from None
        except openai.OpenAIError as error:
            raise openai_errors.failure_of(error, openai_errors.LISTING).error from None
        except (ValueError, TypeError, AttributeError):
            raise openai_errors.bad_answer().error from None
