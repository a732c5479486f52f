"""Writes copy: what the cache has is used, what is missing is written, checked, mended and kept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import marketplaces
from copywriter_service import titles
from copywriter_service.adapters.cache import Cache, Key
from copywriter_service.adapters.writer import Ask, Writer
from copywriter_service.domain import (
    DEFAULT_LANGUAGE,
    AdapterInfo,
    CopyText,
    Cost,
    Entry,
    Finding,
    Order,
    Origin,
    Outcome,
    Part,
    StoredPart,
    TimeLeft,
    entry_of,
)
from copywriter_service.flights import Flights
from copywriter_service.mending import mend
from copywriter_service.rulebook import Rules, language_tag, rules_for
from copywriter_service.rules import check, part_of
from servicekit import errors

logger = logging.getLogger(__name__)

# SKUs named for one near-identical title.
MAX_TWINS = 3
# Seconds before a write to a cache that is locked or away is tried again, while the caller has time.
_PAUSES = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class _Plan:
    """What the cache has for an order, and what has to be written."""

    found: dict[Part, StoredPart]
    missing: tuple[Part, ...]


@dataclass(frozen=True)
class _Written:
    copy: CopyText
    findings: tuple[Finding, ...]
    cost: Cost


class Copywriter:
    """The service's work; knows no wire.

    Args:
        cache: Keeps what was written.
        writer: Writes what is missing.
        seconds: Longest time for one order whose caller gives no deadline.
        lease_seconds: See `Flights`.
    """

    def __init__(self, cache: Cache, writer: Writer, *, seconds: float = 90.0, lease_seconds: float = 15.0) -> None:
        self._cache = cache
        self._writer = writer
        self._seconds = seconds
        self._flights: Flights[Outcome] = Flights(cache, lease_seconds)

    async def open(self) -> None:
        """Opens the cache, reads the rules, and starts the writer."""
        await self._cache.open()
        for code in marketplaces.CODES:
            await asyncio.to_thread(rules_for, code, DEFAULT_LANGUAGE)
        await self._writer.start()

    async def close(self) -> None:
        """Ends flights, writer and cache."""
        await self._flights.close()
        await self._writer.close()
        await self._cache.close()

    async def write(self, order: Order, seconds: float | None = None) -> Outcome:
        """Copy for an order, from the cache as far as it is there.

        Args:
            order: What to write; without a SKU nothing is looked up and nothing kept.
            seconds: Time that the caller has.

        Raises:
            errors.InvalidArgument: The code or the language is not known.
            errors.ServiceError: The writer or the cache failed; nothing was stored.
        """
        rules = rules_for(order.code, order.language)
        order = replace(order, language=rules.language)
        limit = self._seconds if seconds is None else min(self._seconds, seconds)
        if not order.sku:
            until = time.monotonic() + limit
            return await self._fill(order, rules, _Plan({}, rules.parts), lambda: max(0.0, until - time.monotonic()))
        plan = await self._plan(order, rules)
        if not plan.missing:
            return await self._from_cache(order, rules, plan)
        key = f"{order.language}:{order.sku}"
        return await self._flights.fly(key, order.fingerprint, lambda left: self._fly(order, rules, left), limit)

    async def _fly(self, order: Order, rules: Rules, time_left: TimeLeft) -> Outcome:
        # Another flight may have stored what this one wants.
        plan = await self._plan(order, rules)
        if not plan.missing:
            return await self._from_cache(order, rules, plan)
        return await self._fill(order, rules, plan, time_left)

    # -- what the cache has --------------------------------------------------------------------

    async def _plan(self, order: Order, rules: Rules) -> _Plan:
        rows = await self._cache.read(order.sku, order.language)
        found: dict[Part, StoredPart] = {}
        for part in rules.parts:
            usable = [row for row in rows if row.part is part and self._usable(row, order, rules)]
            if usable:
                found[part] = min(usable, key=lambda row: _preference(row, order.code))
        return _Plan(found, tuple(part for part in rules.parts if part not in found))

    def _usable(self, row: StoredPart, order: Order, rules: Rules) -> bool:
        """Whether a stored part answers an order (the specification's cache rules, made safe)."""
        own = row.code == order.code
        if own and row.origin is Origin.PERSON:
            return True
        picture = order.picture_sha256
        if picture and row.picture_sha256 and picture != row.picture_sha256:
            return False
        if row.origin is Origin.COMPOSED:
            # Composing costs nothing: it is done again when facts, wording or the writer changed.
            current = (self._writer.origin, self._writer.prompt_version, order.facts_hash)
            return own and current == (Origin.COMPOSED, row.prompt_version, row.facts_hash)
        if own or row.code == "" or row.part is Part.DESCRIPTION:
            return True
        # A title for another marketplace will do where it keeps this one's rules; bullet points stay at home.
        title = row.part is Part.TITLE and isinstance(row.content, str)
        return title and not check(CopyText().with_part(row.part, row.content), rules, order.seller_claims)

    async def _from_cache(self, order: Order, rules: Rules, plan: _Plan) -> Outcome:
        await self._note_picture(order, plan)
        copy, findings = _present(plan.found.values(), order, rules)
        twins = await self._twins(order, copy.title, plan)
        entry = entry_of(plan.found.values())
        adapter = AdapterInfo(
            "copy", "cache", embedded=entry.origin is Origin.COMPOSED, model_id=entry.model_id,
            detail=f"written by: {entry.origin}",
        )  # fmt: skip
        return Outcome(
            copy, entry.origin, entry.model_id, entry.prompt_version, cached=True, findings=(*findings, *twins),
            adapter=adapter,
        )  # fmt: skip

    async def _note_picture(self, order: Order, plan: _Plan) -> None:
        """The first picture that a text of unknown picture is used for is taken as its own; another is a miss."""
        places = [(row.code, part) for part, row in plan.found.items() if not row.picture_sha256]
        if places and order.picture_sha256:
            await self._cache.bind(order.sku, order.language, order.picture_sha256, places)

    # -- what is written -----------------------------------------------------------------------

    async def _fill(self, order: Order, rules: Rules, plan: _Plan, time_left: TimeLeft) -> Outcome:
        existing, findings = _present(plan.found.values(), order, rules)
        written = await self._write(Ask(order, rules, plan.missing, existing=existing), time_left)
        info = self._writer.info
        new = [
            StoredPart(
                order.sku, order.code, order.language, part, written.copy.get(part), self._writer.origin, info.model_id,
                self._writer.prompt_version, order.picture_sha256, order.facts_hash,
            )
            for part in plan.missing
            if written.copy.get(part)
        ]  # fmt: skip
        copy = existing
        for part in plan.missing:
            copy = copy.with_part(part, written.copy.get(part))
        told = await self._keep(order, plan, new, time_left) if order.sku else ()
        twins = await self._twins(order, copy.title, plan)
        origins = [row.origin for row in plan.found.values()]
        return Outcome(
            copy,
            min([self._writer.origin, *origins], key=lambda origin: origin.rank),
            info.model_id,
            self._writer.prompt_version,
            cached=False,
            findings=(*findings, *written.findings, *told, *twins),
            adapter=info,
            cost=written.cost,
        )

    async def _keep(
        self, order: Order, plan: _Plan, new: Sequence[StoredPart], time_left: TimeLeft
    ) -> tuple[Finding, ...]:
        """Stores what was written. Paid text is not lost with the cache: it is given out, and told as not stored."""
        for pause in (*_PAUSES, None):
            try:
                await self._cache.write(new)
                await self._note_picture(order, plan)
                return ()
            except errors.ServiceError as error:
                if self._writer.origin is not Origin.MODEL:
                    raise
                failure = error
            if pause is None or not isinstance(failure, errors.Unavailable) or time_left() < pause:
                break
            await asyncio.sleep(pause)
        logger.error("a copy that was paid for could not be stored: %s", failure.reason)
        message = f"this text could not be stored and will be written anew next time: {failure.message}"
        return tuple(Finding(part.part.value, "not_stored", 0, 0, message) for part in new)

    async def _twins(self, order: Order, title: str, plan: _Plan) -> tuple[Finding, ...]:
        """Near-identical titles of other SKUs in the same catalogue: this marketplace's, and those that serve all."""
        codes = {order.code, ""} | {row.code for part, row in plan.found.items() if part is Part.TITLE}
        return await self._alike(order.sku, title, order.language, codes)

    async def _alike(self, sku: str, title: str, language: str, codes: Collection[str]) -> tuple[Finding, ...]:
        words = titles.words_of(title)
        if not sku or not words:
            return ()
        try:
            others = await self._cache.titles_with(words, titles.probes(len(words)), language, codes, sku)
        except errors.ServiceError as error:
            # A check that cannot be made takes no text away.
            logger.warning("near-identical titles were not looked for: %s", error.reason)
            return ()
        nearest: dict[str, float] = {}
        for other, text in others:
            nearest[other] = max(nearest.get(other, 0.0), titles.likeness(title, text))
        found = sorted((-value, other) for other, value in nearest.items() if value >= titles.least_likeness())
        return tuple(_twin(title, other) for _, other in found[:MAX_TWINS])

    async def _write(self, ask: Ask, time_left: TimeLeft) -> _Written:
        """Asks the writer, once more where rules are broken, and mends by code what is left."""
        draft = await self._writer.write(ask, time_left)
        copy, cost = draft.copy.only(ask.parts), draft.cost
        findings = _problems(copy, ask)
        if findings and self._writer.origin is Origin.MODEL:
            parts = tuple(part for part in ask.parts if any(part_of(item.place) is part for item in findings))
            repair = replace(ask, parts=parts, draft=copy.only(parts), findings=tuple(findings))
            try:
                second = await self._writer.write(repair, time_left)
            except errors.ServiceError as error:
                # The first text is paid for and can be mended by code.
                logger.warning("the model could not mend its text: %s", error.reason)
            else:
                cost += second.cost
                better = copy
                for part in parts:
                    better = better.with_part(part, second.copy.get(part))
                copy = min(better, copy, key=lambda text: len(_problems(text, ask)))
        mended, found = mend(copy, ask.rules, ask.order.seller_claims)
        return _Written(mended, (*found, *_gaps(mended, ask)), cost)

    # -- the cache's own RPCs ------------------------------------------------------------------

    async def get(self, key: Key) -> Entry:
        """What WriteCopy would find in the cache for a SKU, code and language, whatever the picture.

        Raises:
            errors.NotFound: COPY_NOT_FOUND: there is nothing.
        """
        sku, code, language = key[0], key[1], language_tag(key[2])
        rows = await self._cache.read(sku, language)
        if code:
            rules = rules_for(code, language)
            rows = [
                row for row in rows
                if row.part in rules.parts and (row.code in (code, "") or row.part is Part.DESCRIPTION)
            ]  # fmt: skip
        else:
            rows = [row for row in rows if row.code == ""]
        best: dict[Part, StoredPart] = {}
        for row in sorted(rows, key=lambda row: _preference(row, code)):
            best.setdefault(row.part, row)
        if not best:
            raise errors.NotFound("there is no copy for this SKU, marketplace and language", reason="COPY_NOT_FOUND")
        return entry_of(best.values(), code=code)

    async def put(self, entry: Entry) -> list[Finding]:
        """Stores a person's copy as it is; what breaks a rule in it.

        Raises:
            errors.InvalidArgument: The entry is empty, or its code or language not known.
        """
        rules = rules_for(entry.code, entry.language)
        parts = entry.copy.parts()
        if not parts:
            raise errors.InvalidArgument("the copy is empty; use DeleteCopy to forget an entry")
        key = (entry.sku, entry.code, rules.language)
        await self._cache.put_edit(
            key,
            [
                StoredPart(*key, part, entry.copy.get(part), Origin.PERSON, picture_sha256=entry.picture_sha256)
                for part in parts
            ],
        )
        twins = await self._alike(entry.sku, entry.copy.title, rules.language, {entry.code, ""})
        return [*await asyncio.to_thread(check, entry.copy, rules), *twins]

    async def delete(self, sku: str, code: str) -> int:
        """Forgets the entry of a code, all of the SKU for an empty one; the number of entries."""
        if code:
            rules_for(code, DEFAULT_LANGUAGE)
        return await self._cache.delete(sku, code or None)

    async def page(self, limit: int, after: Key | None, sku_prefix: str) -> tuple[list[Entry], Key | None]:
        """Up to `limit` entries after a key, and the key to go on from, None at the end."""
        found = [entry_of(parts) for parts in await self._cache.page(limit + 1, after, sku_prefix)]
        entries = found[:limit]
        last = (entries[-1].sku, entries[-1].code, entries[-1].language) if len(found) > limit else None
        return entries, last


# Code mends these as well as a model would: a repeated bullet point goes, and the others stay.
_NOT_WORTH_A_REQUEST = ("repeated_bullet",)


def _preference(row: StoredPart, code: str) -> tuple[int, int, float]:
    """Own texts first, then imported ones that serve all, then others; a person's before a model's; new before old."""
    home = 0 if row.code == code else 1 if row.code == "" else 2
    return home, -row.origin.rank, -row.updated


def _present(rows: Iterable[StoredPart], order: Order, rules: Rules) -> tuple[CopyText, tuple[Finding, ...]]:
    """Stored parts as they are given out: a person's untouched, the others mended where they break a rule here."""
    copy, findings = CopyText(), []
    for row in rows:
        alone = CopyText().with_part(row.part, row.content)
        mended, found = mend(alone, rules, order.seller_claims)
        if row.origin is Origin.PERSON:
            mended, found = alone, [replace(item, mended=False) for item in found]
            if row.picture_sha256 and order.picture_sha256 not in ("", row.picture_sha256):
                message = "the picture has changed since a person wrote this; check that it still fits"
                found.append(Finding(row.part.value, "picture_changed", 0, 0, message))
        copy = copy.with_part(row.part, mended.get(row.part))
        findings += found
    return copy, tuple(findings)


def _problems(copy: CopyText, ask: Ask) -> list[Finding]:
    """What a model is asked to mend: broken rules, and bullet points that are missing."""
    few = Part.BULLETS in ask.parts and len(copy.bullets) < ask.rules.bullets
    message = f"{len(copy.bullets)} bullet points; write exactly {ask.rules.bullets}"
    count = [Finding(Part.BULLETS.value, "too_few_bullets", 0, 0, message)] if few else []
    found = check(copy, ask.rules, ask.order.seller_claims)
    return [item for item in found if item.rule not in _NOT_WORTH_A_REQUEST] + count


def _twin(title: str, sku: str) -> Finding:
    message = f"SKU {sku} has nearly the same title; say what sets this product apart"
    return Finding(Part.TITLE.value, "near_identical_title", 0, len(title), message)


def _gaps(copy: CopyText, ask: Ask) -> list[Finding]:
    """Parts of which nothing was left, or nothing could be said."""
    return [
        Finding(part.value, "missing", 0, 0, "no text that keeps the rules could be written; write it by hand")
        for part in ask.parts
        if not copy.get(part)
    ]
