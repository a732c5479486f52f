"""Asks the provider's model list, so that a model that is unknown or about to end is known before it fails."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Awaitable, Callable, Mapping

from servicekit import errors, telemetry

logger = logging.getLogger(__name__)

# Model id to the ISO date at which it ends; empty where none is announced.
ModelList = Mapping[str, str]

REFRESH_SECONDS = 12 * 3600.0
AGAIN_SECONDS = 60.0

_days_left = telemetry.meter("jewelry.copywriter").create_gauge(
    "jewelry_model_days_left", description="Days until the provider ends a configured model."
)


class ModelWatch:
    """Keeps what the provider's list says of the configured models; asks in the background and never fails.

    Args:
        list_models: Fetches the list; raises `errors.ServiceError`.
        models: Configured model ids.
    """

    def __init__(self, list_models: Callable[[], Awaitable[ModelList]], models: tuple[str, ...]) -> None:
        self._list_models = list_models
        self._models = models
        self._listed: ModelList | None = None
        self._problem = "the provider's model list has not been read yet"
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to ask."""
        self._task = asyncio.create_task(self._watch(), name="model-watch")

    async def close(self) -> None:
        """Stops asking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def detail(self, model: str) -> str:
        """What an operator should know of a model; empty when all is well."""
        if self._listed is None:
            return self._problem
        if model not in self._listed:
            return f"the provider does not list the model {model}"
        ends = self._listed[model]
        return f"the provider ends the model {model} on {ends}" if ends else ""

    def shutdown_date(self, model: str) -> str:
        """ISO date at which a model ends; empty when none is known."""
        return (self._listed or {}).get(model, "")

    async def _watch(self) -> None:
        while True:
            pause = REFRESH_SECONDS if await self.refresh() else AGAIN_SECONDS
            await asyncio.sleep(pause)

    async def refresh(self) -> bool:
        """Asks once; False when the list could not be read."""
        try:
            self._listed = await self._list_models()
        except errors.ServiceError as error:
            problem = f"the provider's model list could not be read: {error.message}"
            if problem != self._problem:
                logger.warning("%s", problem)
            self._problem = problem
            return False
        for model in self._models:
            if detail := self.detail(model):
                logger.warning("%s; see OPENAI_MODEL and OPENAI_IMAGE_MODEL", detail)
            _report_days(model, self._listed.get(model, ""))
        return True


def _report_days(model: str, ends: str) -> None:
    try:
        left = datetime.date.fromisoformat(ends) - datetime.datetime.now(datetime.UTC).date()
    except ValueError:
        return
    _days_left.set(left.days, {"model": model})
