"""One sync: what is new, changed or gone in the source comes into the store, and nothing else is touched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from semantic_service import products as reading
from semantic_service import snapshot as snapshots
from semantic_service.mapping import FieldMapping
from semantic_service.ports import (
    Digests,
    Embedded,
    Model,
    ProductSource,
    ProductStore,
    StoredProduct,
    TextEmbedder,
    Vectors,
)
from semantic_service.products import Product
from semantic_service.progress import SyncRun
from semantic_service.snapshot import Snapshot
from semantic_service.styles import StyleBook
from semantic_service.vocabulary import Vocabulary
from servicekit import errors

logger = logging.getLogger(__name__)

# Tells which model answers, before anything is compared with what it embedded earlier.
_PROBE = "jewelry"
# A provider's hiccup does not end a sync; a provider that is down does.
_ATTEMPTS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0
# A write waits for the disk; fewer and larger ones halve the time, and a crash costs these calls at most.
_CALLS_PER_WRITE = 4
# Products that keep their vector are written in steps of this many.
_WRITE_BATCH = 500


@dataclass(frozen=True, slots=True)
class _Item:
    product: Product
    digests: Digests
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    kept: dict[str, Digests]
    rewritten: list[_Item]
    embedded: list[_Item]
    gone: list[str]


class Takeover:
    """Does the work of a sync; holds no state of its own.

    Args:
        source: Where products come from.
        store: Where they are kept.
        embedder: Who turns texts into vectors.
        mapping: From the source's fields to products.
        vocabulary: Words that mean the same.
        book: The styles.
        batch: Texts per call to the embedder.
        max_products: A source with more is refused.
    """

    def __init__(
        self,
        source: ProductSource,
        store: ProductStore,
        embedder: TextEmbedder,
        mapping: FieldMapping,
        vocabulary: Vocabulary,
        book: StyleBook,
        *,
        batch: int,
        max_products: int,
    ) -> None:
        self._source = source
        self._store = store
        self._embedder = embedder
        self._mapping = mapping
        self._vocabulary = vocabulary
        self._book = book
        self._batch = batch
        self._max_products = max_products

    async def load(self) -> Snapshot:
        """The catalogue that the store holds: of several models' the one synced last.

        Raises:
            errors.Unavailable: The store cannot be reached.
            errors.DataLoss: It is damaged.
        """
        held = [kept for kept in await self._store.collections() if kept.count]
        if not held:
            return snapshots.empty(self._book)
        never = datetime.min.replace(tzinfo=UTC)
        latest = max(held, key=lambda kept: (kept.synced_at or never, kept.count))
        digests = await self._store.digests(latest.model)
        stored = await self._store.fetch(latest.model, list(digests))
        vectors = await self._style_vectors(latest.model, may_embed=False)
        return await self._build(stored, latest.model, vectors, latest.synced_at, None)

    async def run(self, progress: SyncRun, previous: Snapshot) -> Snapshot:
        """Takes the source over; gives the new catalogue.

        Raises:
            errors.ServiceError: The source, the embedder or the store failed. What was written until
                then is used by the next sync; `previous` is still whole.
        """
        products = await self._read(progress)
        model = (await self._embed([_PROBE])).model
        style_vectors = await self._style_vectors(model, may_embed=True)
        held = await self._store.digests(model)
        plan = await asyncio.to_thread(self._plan, products, held, progress.full)
        progress.done = len(plan.kept)
        progress.report()
        memory = {stored.product.id: stored for stored in previous.products} if previous.model == model else {}
        current = await self._kept(model, plan.kept, memory)
        current |= await self._rewrite(progress, model, plan, memory, style_vectors)
        step = self._batch * _CALLS_PER_WRITE
        for start in range(0, len(plan.embedded), step):
            items = plan.embedded[start : start + step]
            vectors: dict[str, Vectors] = {}
            for first in range(0, len(items), self._batch):
                vectors |= await self._vectors(progress, items[first : first + self._batch], model)
            current |= await self._write(progress, items, vectors, model, style_vectors)
        await self._store.delete(model, plan.gone)
        progress.removed = len(plan.gone)
        # A changed product whose new text nobody could embed stays as it was.
        lost = [item.product.id for item in plan.embedded if not item.is_new and item.product.id not in current]
        current |= {stored.product.id: stored for stored in await self._store.fetch(model, lost)}
        now = datetime.now(UTC)
        await self._store.mark_synced(model, now)
        stored = [current[product.id] for product in products if product.id in current]
        return await self._build(stored, model, style_vectors, now, previous)

    async def _read(self, progress: SyncRun) -> Sequence[Product]:
        records = await self._source.fetch()
        if len(records) > self._max_products:
            raise errors.Unavailable(
                f"the source has {len(records):,} products, more than SEMANTIC_MAX_PRODUCTS ({self._max_products:,})",
                reason="SOURCE_TOO_LARGE",
            )
        progress.total = len(records)
        read = await asyncio.to_thread(reading.read, records, self._mapping)
        progress.failed = read.skipped
        progress.problems.extend(read.problems)
        progress.report()
        if not read.products:
            raise errors.Unavailable(
                f"none of the {len(records):,} records of the source can be used; {read.problems[0]}",
                reason="SOURCE_UNUSABLE",
            )
        return read.products

    def _plan(self, products: Sequence[Product], held: Mapping[str, Digests], full: bool) -> _Plan:
        plan = _Plan({}, [], [], [])
        for product in products:
            digests = Digests(product.content_digest(self._book.version), product.text_digest())
            old = held.get(product.id)
            item = _Item(product, digests, is_new=old is None)
            if old is None or full or old.text != digests.text:
                plan.embedded.append(item)
            elif old.content != digests.content:
                plan.rewritten.append(item)
            else:
                plan.kept[product.id] = digests
        wanted = {product.id for product in products}
        plan.gone.extend(id_ for id_ in held if id_ not in wanted)
        return plan

    async def _kept(
        self, model: Model, kept: Mapping[str, Digests], memory: Mapping[str, StoredProduct]
    ) -> dict[str, StoredProduct]:
        known = {id_: memory[id_] for id_, digests in kept.items() if id_ in memory and memory[id_].digests == digests}
        missing = [id_ for id_ in kept if id_ not in known]
        fetched = await self._store.fetch(model, missing)
        return known | {stored.product.id: stored for stored in fetched}

    async def _rewrite(
        self,
        progress: SyncRun,
        model: Model,
        plan: _Plan,
        memory: Mapping[str, StoredProduct],
        style_vectors: Vectors,
    ) -> dict[str, StoredProduct]:
        """Writes what needs no new vector: a changed price, or a store that lost what memory still has."""
        vectors: dict[str, Vectors] = {}
        if not progress.full:
            for item in plan.embedded:
                remembered = memory.get(item.product.id)
                if remembered is not None and remembered.digests.text == item.digests.text:
                    vectors[item.product.id] = remembered.vector
        spared = [item for item in plan.embedded if item.product.id in vectors]
        plan.embedded[:] = [item for item in plan.embedded if item.product.id not in vectors]
        held = await self._kept(model, {item.product.id: item.digests for item in plan.rewritten}, {})
        vectors |= {id_: stored.vector for id_, stored in held.items()}
        items = [*spared, *plan.rewritten]
        written: dict[str, StoredProduct] = {}
        for start in range(0, len(items), _WRITE_BATCH):
            written |= await self._write(progress, items[start : start + _WRITE_BATCH], vectors, model, style_vectors)
        return written

    async def _vectors(self, progress: SyncRun, items: Sequence[_Item], model: Model) -> dict[str, Vectors]:
        """Embeds products; a text that the embedder refuses is found by halving, and told."""
        try:
            embedded = await self._embed([item.product.embedding_text() for item in items])
        except errors.InvalidArgument as error:
            if len(items) == 1:
                progress.failed += 1
                progress.problems.append(f"product {items[0].product.id}: it cannot be embedded: {error.message}")
                progress.report()
                return {}
            middle = len(items) // 2
            first = await self._vectors(progress, items[:middle], model)
            return first | await self._vectors(progress, items[middle:], model)
        if embedded.model != model:
            raise errors.Aborted(
                f"the embedding model changed from {model.id} to {embedded.model.id} during the sync; sync again",
                reason="MODEL_CHANGED",
            )
        return {item.product.id: vector for item, vector in zip(items, embedded.vectors, strict=True)}

    async def _write(
        self,
        progress: SyncRun,
        items: Sequence[_Item],
        vectors: Mapping[str, Vectors],
        model: Model,
        style_vectors: Vectors,
    ) -> dict[str, StoredProduct]:
        """Writes those of the products that have a vector."""
        items = [item for item in items if item.product.id in vectors]
        if not items:
            return {}
        stored = await asyncio.to_thread(self._styled, items, vectors, style_vectors)
        await self._store.upsert(model, stored)
        new = sum(item.is_new for item in items)
        progress.added += new
        progress.changed += len(items) - new
        progress.done += len(items)
        progress.report()
        return {one.product.id: one for one in stored}

    def _styled(
        self, items: Sequence[_Item], vectors: Mapping[str, Vectors], style_vectors: Vectors
    ) -> list[StoredProduct]:
        stacked = np.stack([vectors[item.product.id] for item in items])
        facts = [snapshots.facts_of(item.product, self._vocabulary, self._book) for item in items]
        evidence = np.stack([fact.evidence for fact in facts])
        styles = self._book.nearest(evidence, stacked, style_vectors)
        return [
            StoredProduct(item.product, item.digests, vector, style)
            for item, vector, style in zip(items, stacked, styles, strict=True)
        ]

    async def _style_vectors(self, model: Model, *, may_embed: bool) -> Vectors:
        """Vectors of the styles, float32 (styles, dimensions); zeros for those that nobody embedded yet."""
        keys = [style.key() for style in self._book.styles]
        known = await self._store.cached_vectors(model, keys)
        missing = [style for style in self._book.styles if style.key() not in known]
        for start in range(0, len(missing) if may_embed else 0, self._batch):
            batch = missing[start : start + self._batch]
            embedded = await self._embed([style.embedding_text() for style in batch])
            fresh = {style.key(): vector for style, vector in zip(batch, embedded.vectors, strict=True)}
            await self._store.cache_vectors(model, fresh)
            known |= fresh
        nothing = np.zeros(model.dimensions, dtype=np.float32)
        return np.stack([known.get(key, nothing) for key in keys])

    async def _embed(self, texts: Sequence[str]) -> Embedded:
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._embedder.documents(texts)
            except (errors.Unavailable, errors.ResourceExhausted, errors.DeadlineExceeded) as error:
                wait = max(pause, error.retry_after or 0.0)
                if attempt == _ATTEMPTS or wait > _LONGEST_PAUSE:
                    raise
            logger.info("the analyzer could not embed; attempt %d of %d failed", attempt, _ATTEMPTS)
            await asyncio.sleep(wait)
            pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _build(
        self,
        stored: Sequence[StoredProduct],
        model: Model,
        style_vectors: Vectors,
        synced_at: datetime | None,
        previous: Snapshot | None,
    ) -> Snapshot:
        return await asyncio.to_thread(
            snapshots.build,
            stored,
            model=model,
            style_vectors=style_vectors,
            vocabulary=self._vocabulary,
            book=self._book,
            synced_at=synced_at,
            previous=previous,
        )
