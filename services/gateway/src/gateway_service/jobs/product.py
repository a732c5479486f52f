"""One product through its steps. What costs money is a step whose result is kept; it never raises."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter

from gateway_service.catalogue import Analyzer, Copywriter, Images, ProductSteps
from gateway_service.jobs.model import Item
from gateway_service.jobs.ports import Keep
from gateway_service.model import Analysis, Issue, ProductTask, WrittenCopy
from servicekit import errors

logger = logging.getLogger(__name__)

T = TypeVar("T")

ANALYZE = "analyze"
WRITE_COPY = "write_copy"

_ANALYSIS = TypeAdapter(Analysis)
_COPY = TypeAdapter(WrittenCopy)
# Seconds until a service that is down is asked again, where it does not say itself when to come back.
_PAUSE = 1.0


@dataclass(frozen=True)
class Patience:
    """How long full queues and services that are down are waited for, in seconds: at a time, and in all per step."""

    longest: float
    total: float
    outages: float = 0.0
    """How much of it a service that is down is waited for."""


class Products:
    """Works on products of jobs."""

    def __init__(self, pictures: Images, analyzer: Analyzer, copywriter: Copywriter) -> None:
        self._images = pictures
        self._analyzer = analyzer
        self._copywriter = copywriter

    async def work(self, task: ProductTask, item: Item, keep: Keep, patience: Patience) -> Item:
        """Takes a product through the steps that it lacks; gives the item as it is then."""
        steps = ProductSteps(task, self._images, self._analyzer, self._copywriter)
        item = replace(item, error="", error_code="", issues=())
        try:
            analysis = item.analysis or await self._look(steps, keep, patience)
            item = replace(item, analysis=analysis)
            copy = item.copy or await self._write(steps, analysis, keep, patience)
            item = replace(item, copy=copy)
            return replace(item, status="success", issues=issues(analysis, copy), finished=time.time())
        except _Failed as failure:
            return failed(item, failure.sentence, failure.code)

    async def _look(self, steps: ProductSteps, keep: Keep, patience: Patience) -> Analysis:
        async def look() -> str:
            with _saying("the picture cannot be used"):
                await patiently(steps.fetch, patience)
            with _saying("the picture could not be read"):
                return _ANALYSIS.dump_json(await patiently(steps.analyze, patience)).decode()

        return _ANALYSIS.validate_json(await _kept(keep, ANALYZE, look))

    async def _write(self, steps: ProductSteps, analysis: Analysis, keep: Keep, patience: Patience) -> WrittenCopy:
        async def write() -> str:
            with _saying("the copy could not be written"):
                return _COPY.dump_json(await patiently(lambda: steps.write_copy(analysis), patience)).decode()

        return _COPY.validate_json(await _kept(keep, WRITE_COPY, write))


def issues(analysis: Analysis, copy: WrittenCopy) -> tuple[Issue, ...]:
    """What analyzer and copywriter want a person to know."""
    return (
        *(Issue(warning, rule="picture") for warning in analysis.warnings),
        *(Issue(warning, rule="copy") for warning in copy.warnings),
    )


def failed(item: Item, sentence: str, code: str) -> Item:
    """The item with the reason why it has no row."""
    issue = Issue(sentence, severity="error", rule=code.lower())
    return replace(
        item,
        status="failed",
        error=sentence,
        error_code=code,
        issues=(*item.issues, issue),
        finished=time.time(),
    )


async def patiently(step: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """Repeats a step that was refused by a full queue, or whose service is down, after the time that was asked for."""
    waited = 0.0
    while True:
        try:
            return await step()
        except (errors.ResourceExhausted, errors.Unavailable) as error:
            full = isinstance(error, errors.ResourceExhausted)
            pause = error.retry_after
            if pause is None and not full:
                pause = _PAUSE
            if (
                pause is None
                or pause > patience.longest
                or waited + pause > (patience.total if full else patience.outages)
            ):
                raise
            waited += max(pause, 0.001)
            await asyncio.sleep(pause)


class _Failed(Exception):
    """A step failed for good."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


class _saying:  # noqa: N801  # reads as a statement where it is used
    """Turns an error of the block into a failure of the product, with what was being done."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, errors.ServiceError):
            raise _Failed(f"{self._doing}: {error.message}", error.reason) from error
        if isinstance(error, Exception):
            # One product's surprise is not its neighbours'; the log has all of it.
            logger.exception("an unexpected error in a product")
            sentence = f"{self._doing}: an unexpected error; the log has it under this request's id"
            raise _Failed(sentence, "INTERNAL") from error


async def _kept(keep: Keep, name: str, step: Callable[[], Awaitable[str]]) -> str:
    """The result of a step, kept whether it is a value or a failure."""

    async def told() -> str:
        try:
            return json.dumps({"value": await step()})
        except _Failed as failure:
            return json.dumps({"failed": [failure.sentence, failure.code]})

    kept = json.loads(await keep(name, told))
    if "failed" in kept:
        raise _Failed(*kept["failed"])
    return str(kept["value"])
