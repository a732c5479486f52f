"""Title and description of a collection: written over the products that were chosen, checked, mended, or refused.

What was paid for is kept, by everything that the model was told: the same collection is paid for once by all replicas.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

from copywriter_service.adapters.cache import CollectionShelf
from copywriter_service.domain import DEFAULT_LANGUAGE, AdapterInfo, Attribute, CopyText, Cost, Finding, TimeLeft
from copywriter_service.flights import Flights
from copywriter_service.mending import mend
from copywriter_service.rulebook import Rules, collection_book, collection_rules
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
        shelf: Keeps what was written, and the leases by which one replica at a time writes it.
        seconds: Longest time for one collection.
        lease_seconds: See `Flights`.
    """

    def __init__(
        self, writer: CollectionWriter, shelf: CollectionShelf, *, seconds: float, lease_seconds: float = 15.0
    ) -> None:
        self._writer = writer
        self._shelf = shelf
        self._seconds = seconds
        self._flights: Flights[Named] = Flights(shelf, lease_seconds)

    async def close(self) -> None:
        """Ends what is being written."""
        await self._flights.close()

    async def name(self, collection: Collection, seconds: float | None) -> Named:
        """Title and description; a draft that breaks rules is written again once, then mended by code.

        Raises:
            errors.InvalidArgument: No product, or a language that is not known.
            errors.FailedPrecondition: COPY_NEEDS_MODEL.
            errors.DeadlineExceeded: COPY_SLOW.
            errors.Unavailable: COPY_BREAKS_RULES when nothing is left of a text after mending, or the provider's fault.
        """
        if not collection.products:
            raise errors.InvalidArgument(
                "a collection without products cannot be named; send the chosen ones", fields={"products": "empty"}
            )
        rules = collection_rules(collection.language)
        collection = replace(collection, language=rules.language)
        key = fingerprint(collection, self._writer.info.model_id)
        if kept := await self._kept(key, rules):
            return kept
        limit = self._seconds if seconds is None else min(self._seconds, seconds)
        return await self._flights.fly(
            f"collection:{key}", key, lambda time_left: self._write(key, collection, rules, time_left), limit
        )

    async def _kept(self, key: str, rules: Rules) -> Named | None:
        """What was written before, if it still breaks no rule."""
        copy = await self._shelf.collection(key)
        if copy is None or check(copy, rules):
            return None
        return Named(copy, (), replace(self._writer.info, detail="kept from an earlier writing"), Cost())

    async def _write(self, key: str, collection: Collection, rules: Rules, time_left: TimeLeft) -> Named:
        # Another replica may have stored what this one wants.
        if kept := await self._kept(key, rules):
            return kept
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
        await self._shelf.keep_collection(key, mended)
        return Named(mended, tuple(left), self._writer.info, cost)


def fingerprint(collection: Collection, model_id: str) -> str:
    """SHA-256, in hexadecimal, of everything that decides a text: the model, its instructions, what it is told."""
    told = [model_id, collection_book(), asdict(collection)]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


class NoCollectionWriter:
    """Stands in where no model is configured; it writes nothing, since the caller knows its products better."""

    info = AdapterInfo("collection_copy", "none", embedded=True, detail="no key configured; set OPENAI_API_KEY")

    async def write_collection(self, ask: CollectionAsk, time_left: TimeLeft) -> tuple[CopyText, Cost]:
        """Raises errors.FailedPrecondition with COPY_NEEDS_MODEL."""
        raise errors.FailedPrecondition(
            "collections are named by a model; set OPENAI_API_KEY", reason="COPY_NEEDS_MODEL"
        )
