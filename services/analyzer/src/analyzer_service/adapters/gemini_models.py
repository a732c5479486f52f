"""What the provider says about the models in use: whether it lists them, what they take, when they end."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
import weakref
from collections.abc import Iterable

from google.genai import types
from opentelemetry.metrics import CallbackOptions, Observation

from analyzer_service.adapters.gemini import GeminiConnection
from analyzer_service.pricing import Models
from servicekit import errors, telemetry

logger = logging.getLogger(__name__)
# A list that could not be fetched is asked for again after this time, when somebody wants to know.
_AGAIN_SECONDS = 60.0


class ModelWatch:
    """Knows the models in use; never fails a start."""

    def __init__(
        self, connection: GeminiConnection, models: tuple[str, ...], table: Models, timeout: float = 5.0
    ) -> None:
        self._connection = connection
        self._table = table
        self._models = models
        self._timeout = timeout
        self._listed: dict[str, types.Model] | None = None
        self._asked_at = -_AGAIN_SECONDS
        self._problem = "the model list has not been read yet"
        self._retiring: dict[str, str] = {}
        _watches.add(self)

    async def refresh(self) -> None:
        """Asks for the list unless it is known or was asked for a moment ago; logs what is wrong with the models."""
        if self._listed is not None or time.monotonic() - self._asked_at < _AGAIN_SECONDS:
            return
        self._asked_at = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                self._listed = await self._connection.models()
        except (errors.ServiceError, TimeoutError) as error:
            what = error.message if isinstance(error, errors.ServiceError) else "it did not answer in time"
            self._problem = f"the provider's model list could not be read: {what}"
            logger.warning("%s", self._problem)
            return
        for model in self._models:
            if model not in self._listed:
                logger.warning("the provider does not list the model %s", model)
            if self.ends(model):
                logger.warning("the provider ends the model %s on %s", model, self.ends(model))

    def takes_temperature(self, model: str) -> bool:
        """Whether the list gives the model a default temperature; newer models take none and refuse one."""
        listed = (self._listed or {}).get(model)
        return listed is not None and listed.temperature is not None

    def ends(self, model: str) -> str:
        """ISO date at which the model ends; empty when none is known."""
        return self._retiring.get(model) or self._table.shutdown_date(model)

    def detail(self, model: str) -> str:
        """What an operator should know of a model; empty when all is well."""
        if self._listed is None:
            return self._problem
        return "" if model in self._listed else f"the provider does not list the model {model}"

    def note(self, model: str, reply: types.GenerateContentResponse) -> None:
        """Keeps the end that an answer announces."""
        status = reply.model_status
        if status is None or status.retirement_time is None:
            return
        date = status.retirement_time.date().isoformat()
        if self._retiring.get(model) != date:
            self._retiring[model] = date
            logger.warning("the provider ends the model %s on %s", model, date)

    def days_left(self, today: datetime.date) -> dict[str, int]:
        """Days until the provider ends a model in use; models without an announced end are left out."""
        ends = {model: self.ends(model) for model in self._models}
        return {model: (datetime.date.fromisoformat(date) - today).days for model, date in ends.items() if date}


_watches: weakref.WeakSet[ModelWatch] = weakref.WeakSet()


def _days_left(options: CallbackOptions) -> Iterable[Observation]:
    today = datetime.datetime.now(datetime.UTC).date()
    for watch in list(_watches):
        for model, days in watch.days_left(today).items():
            yield Observation(days, {"model": model})


telemetry.meter("jewelry.analyzer").create_observable_gauge(
    "jewelry_model_days_left", [_days_left], description="Days until the provider ends a configured model."
)
