"""Title and description of a collection: written over the products that were chosen, checked, mended, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from copywriter_service.domain import DEFAULT_LANGUAGE, AdapterInfo, Attribute, CopyText, Cost, Finding, TimeLeft
from copywriter_service.mending import mend
from copywriter_service.rulebook import Rules, collection_rules
from copywriter_service.rules import check
from servicekit import errors


@dataclass(frozen=True)
class Product:
    """A product of a collection, as far as copy may speak of it."""

    name: str
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True)
class Collection:
    """What is to be named. All of it is data, never an instruction."""

    products: tuple[Product, ...]
    wish: str = ""
    language: str = DEFAULT_LANGUAGE


@dataclass(frozen=True)
class CollectionAsk:
    """What is to be written.

    Attributes:
        draft: A text that breaks rules, to be written again; empty on the first asking.
        findings: What is wrong with the draft.
    """

    collection: Collection
    rules: Rules
    draft: CopyText = field(default_factory=CopyText)
    findings: tuple[Finding, ...] = ()


class CollectionWriter(Protocol):
    """Writes title and description of collections."""

    @property
    def info(self) -> AdapterInfo:
        """Role `collection_copy`."""
        ...

    async def write_collection(self, ask: CollectionAsk, time_left: TimeLeft) -> tuple[CopyText, Cost]:
        """Title and description.

        Raises:
            errors.ServiceError: Nothing could be written; COPY_NEEDS_MODEL where there is no model.
        """
        ...


@dataclass(frozen=True)
class Named:
    """A collection's copy, which breaks no rule, and what was mended in it."""

    copy: CopyText
    findings: tuple[Finding, ...]
    adapter: AdapterInfo
    cost: Cost


class Collections:
    """Has collections named.

    Args:
        writer: Who writes.
        seconds: Longest time for one collection.
        clock: Seconds that only go forward.
    """

    def __init__(self, writer: CollectionWriter, *, seconds: float, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._seconds = seconds
        self._clock = clock

    async def name(self, collection: Collection, seconds: float | None) -> Named:
        """Title and description; a draft that breaks rules is written again once, then mended by code.

        Raises:
            errors.InvalidArgument: No product, or a language that is not known.
            errors.FailedPrecondition: COPY_NEEDS_MODEL.
            errors.Unavailable: COPY_BREAKS_RULES when nothing is left of a text after mending, or the provider's fault.
        """
        if not collection.products:
            raise errors.InvalidArgument(
                "a collection without products cannot be named; send the chosen ones", fields={"products": "empty"}
            )
        rules = collection_rules(collection.language)
        until = self._clock() + min(self._seconds, seconds if seconds is not None else self._seconds)

        def time_left() -> float:
            return max(0.0, until - self._clock())

        draft, cost = await self._writer.write_collection(CollectionAsk(collection, rules), time_left)
        if findings := check(draft, rules):
            again = CollectionAsk(collection, rules, draft, tuple(findings))
            draft, more = await self._writer.write_collection(again, time_left)
            cost += more
        mended, left = mend(draft, rules)
        if not (mended.title and mended.description) or check(mended, rules):
            raise errors.Unavailable(
                "the model's texts break the rules and could not be mended; try again", reason="COPY_BREAKS_RULES"
            )
        return Named(mended, tuple(left), self._writer.info, cost)


class NoCollectionWriter:
    """Stands in where no model is configured; it writes nothing, since the caller knows its products better."""

    info = AdapterInfo("collection_copy", "none", embedded=True, detail="no key configured; set OPENAI_API_KEY")

    async def write_collection(self, ask: CollectionAsk, time_left: TimeLeft) -> tuple[CopyText, Cost]:
        """Raises errors.FailedPrecondition with COPY_NEEDS_MODEL."""
        raise errors.FailedPrecondition(
            "collections are named by a model; set OPENAI_API_KEY", reason="COPY_NEEDS_MODEL"
        )
