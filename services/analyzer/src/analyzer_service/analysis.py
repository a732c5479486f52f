"""What the analyzer does, whoever answers: pictures in, settled fields and captions out."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

import marketplaces
from analyzer_service import fields as fields_module
from analyzer_service.adapters.base import AdapterInfo, CaptionDraft, Task, TextEmbedder, View, VisionAnalyzer
from analyzer_service.fields import Answer, Settled
from analyzer_service.keypool import GroupState
from analyzer_service.pixels import Facts, measure, merge
from analyzer_service.pricing import Cost
from analyzer_service.prompts import CATEGORIES
from marketplaces import Field
from servicekit import errors, images

MOST_PICTURES = 8
MOST_NOTES = 4000
MOST_TEXTS = 512
MOST_TEXT_LENGTH = 8000
MOST_OPTIONS = 5000
_KEPT_FACTS = 512
# Share of the background that is white where a white one is wanted: shadows below the product are left in.
_WHITE_ENOUGH = 0.8


@dataclass(frozen=True)
class RawView:
    """A picture as it came: the file and what the caller calls it."""

    content: bytes
    name: str = ""


@dataclass(frozen=True)
class Analysis:
    """All vision fields of a product."""

    fields: tuple[Settled, ...]
    model_id: str
    prompt_version: str
    category: str
    warnings: tuple[str, ...]
    adapter: AdapterInfo
    cost: Cost


@dataclass(frozen=True)
class FieldsRead:
    """Answers to any fields, settled."""

    fields: tuple[Settled, ...]
    model_id: str
    prompt_version: str
    category: str
    warnings: tuple[str, ...]
    facts: Facts
    cost: Cost


@dataclass(frozen=True)
class Caption:
    """A caption with the measured quality of the picture."""

    draft: CaptionDraft
    grade: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    adapter: AdapterInfo


@dataclass(frozen=True)
class Embeddings:
    """Unit vectors, float32, shape (texts, dimensions)."""

    vectors: NDArray[np.float32]
    model_id: str
    adapter: AdapterInfo
    cost: Cost


@dataclass
class Analyzer:
    """The service's domain.

    Attributes:
        vision, texts: who reads pictures and embeds texts.
        groups: tells how the key pool stands; nothing without keys.
        refresh: asks the provider about its models where that is not known yet; nothing without keys.
        load: finds the listing of a code.
        counting: says who counts the quota where that is not as configured; empty when all is well.
    """

    vision: VisionAnalyzer
    texts: TextEmbedder
    groups: Callable[[], Awaitable[Sequence[GroupState]]] | None = None
    refresh: Callable[[], Awaitable[None]] | None = None
    load: Callable[[str], marketplaces.Listing] = marketplaces.load
    counting: Callable[[], str] = lambda: ""
    # Measuring a picture takes a core for half a second; more at once than cores only makes all of them slower.
    _cores: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(max(1, os.cpu_count() or 1)))
    # One picture is often read for several marketplaces; what was measured is kept by the hash of the file.
    _measured: OrderedDict[bytes, Facts] = field(default_factory=OrderedDict)

    async def analyze(
        self,
        views: Sequence[RawView],
        code: str,
        options: Mapping[str, Sequence[str]],
        notes: str,
    ) -> Analysis:
        """Reads every vision field of a marketplace.

        Raises:
            errors.InvalidArgument: A picture cannot be read, the code is unknown, or a limit is passed.
            errors.ServiceError: As the adapter.
        """
        listing = self._listing(code)
        _check_text("seller_notes", notes, MOST_NOTES)
        if sum(len(values) for values in options.values()) > MOST_OPTIONS:
            raise errors.InvalidArgument(f"at most {MOST_OPTIONS} options are taken", fields={"field_options": "many"})
        read = await self.read(views, fields_module.vision_fields(listing, options), notes)
        warnings = [*read.warnings, *_rule_warnings(listing, read.facts)]
        if read.category and read.category != listing.category:
            warnings.append(f"the picture shows {_a(read.category)}, not {_a(listing.category)}")
        elif not read.category and read.facts.shape.pair and listing.category != "earrings":
            warnings.append(f"the picture shows two equal pieces; check that it is {_a(listing.category)}")
        return Analysis(
            read.fields, read.model_id, read.prompt_version, read.category, tuple(warnings),
            await self.vision.info(), read.cost,
        )  # fmt: skip

    async def read(self, views: Sequence[RawView], asked: Sequence[Field], notes: str = "") -> FieldsRead:
        """Reads any fields; raises as `analyze`."""
        decoded = await self._decode(views)
        facts = merge([view.facts for view in decoded])
        reading = await self.vision.read_fields(asked, decoded, facts, notes.strip())
        missing = Answer(reason="not answered")
        settled = [fields_module.settle(entry, reading.answers.get(entry.name, missing)) for entry in asked]
        return FieldsRead(
            tuple(fields_module.without_repeats(asked, settled)), reading.model_id, reading.prompt_version,
            reading.category, (*_picture_warnings(facts), *reading.warnings), facts, reading.cost,
        )  # fmt: skip

    async def caption(self, views: Sequence[RawView], product_type: str) -> Caption:
        """Names and describes a product; raises as `analyze`."""
        if product_type and product_type not in CATEGORIES:
            raise errors.InvalidArgument(
                f"product_type must be empty or one of {', '.join(CATEGORIES)}",
                reason="UNKNOWN_PRODUCT_TYPE",
                fields={"product_type": f"not one of {', '.join(CATEGORIES)}"},
            )
        decoded = await self._decode(views)
        facts = merge([view.facts for view in decoded])
        draft = await self.vision.caption(decoded, facts, product_type)
        warnings = [*_picture_warnings(facts), *draft.warnings]
        if product_type and draft.product_type and draft.product_type != product_type:
            warnings.append(f"the picture shows {_a(draft.product_type)}, not {_a(product_type)}")
        quality = facts.quality
        return Caption(draft, quality.grade, quality.reasons, tuple(warnings), await self.vision.info())

    async def embed(self, texts: Sequence[str], task: Task) -> Embeddings:
        """Unit vectors of texts, in order.

        Raises:
            errors.InvalidArgument: None or too many texts, or one that is empty or too long.
            errors.ServiceError: As the adapter.
        """
        if not 1 <= len(texts) <= MOST_TEXTS:
            raise errors.InvalidArgument(f"give 1 to {MOST_TEXTS} texts", fields={"texts": f"1 to {MOST_TEXTS}"})
        for number, text in enumerate(texts):
            if not text.strip():
                raise errors.InvalidArgument(f"text {number + 1} is empty", fields={f"texts[{number}]": "empty"})
            _check_text(f"texts[{number}]", text, MOST_TEXT_LENGTH)
        vectors, cost = await self.texts.embed(texts, task)
        return Embeddings(vectors, self.texts.model_id, await self.texts.info(), cost)

    async def providers(self) -> tuple[list[AdapterInfo], Sequence[GroupState]]:
        """Who reads pictures and who embeds texts, and how the key pool stands."""
        if self.refresh is not None:
            await self.refresh()
        groups = await self.groups() if self.groups is not None else ()
        vision = await self.vision.info()
        vision = replace(vision, detail="; ".join(filter(None, (vision.detail, self.counting()))))
        return [vision, await self.texts.info()], groups

    def _listing(self, code: str) -> marketplaces.Listing:
        try:
            return self.load(code)
        except marketplaces.UnknownCode as error:
            raise errors.InvalidArgument(
                str(error), reason="UNKNOWN_MARKETPLACE", fields={"marketplace_code": "unknown"}
            ) from error

    async def _decode(self, views: Sequence[RawView]) -> list[View]:
        if not 1 <= len(views) <= MOST_PICTURES:
            raise errors.InvalidArgument(
                f"give 1 to {MOST_PICTURES} pictures of one product", fields={"pictures": f"1 to {MOST_PICTURES}"}
            )
        return list(await asyncio.gather(*(self._in_thread(view, number) for number, view in enumerate(views))))

    async def _in_thread(self, view: RawView, number: int) -> View:
        async with self._cores:
            try:
                digest = hashlib.sha256(view.content).digest()
                decoded = await asyncio.to_thread(
                    _decode_one, view, self.vision.wanted_side, self._measured.get(digest)
                )
                self._measured[digest] = decoded.facts
                self._measured.move_to_end(digest)
                while len(self._measured) > _KEPT_FACTS:
                    self._measured.popitem(last=False)
                return decoded
            except errors.InvalidArgument as error:
                raise errors.InvalidArgument(
                    f"picture {number + 1}: {error.message}",
                    reason=error.reason,
                    fields={f"pictures[{number}].content": error.message},
                ) from error


def _decode_one(view: RawView, side: int, known: Facts | None) -> View:
    info = images.inspect(view.content)
    picture = images.decode_rgb(view.content, min_side=side)
    return View(picture, known or measure(picture, info.width, info.height), view.name.strip()[:40])


def _check_text(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise errors.InvalidArgument(
            f"{name} has {len(text)} characters; at most {most} are taken", fields={name: f"at most {most} characters"}
        )


def _picture_warnings(facts: Facts) -> list[str]:
    warnings = list(facts.conflicts)
    if facts.quality.grade == "C":
        warnings.append("take the picture again: " + "; ".join(facts.quality.reasons))
    return warnings


def _rule_warnings(listing: marketplaces.Listing, facts: Facts) -> list[str]:
    """What the marketplace's own rules for main pictures ask beyond the grade."""
    rules, quality = listing.image_rules, facts.quality
    warnings = []
    if quality.short_side < rules.least_side:
        warnings.append(
            f"{listing.name} takes no picture below {rules.least_side} pixels; this one has {quality.short_side}"
        )
    if rules.white_background and quality.white_share < _WHITE_ENOUGH:
        warnings.append(
            f"{listing.name} wants a white background for the main picture; {quality.white_share:.0%} of it is white"
        )
    if rules.least_span and 0 < quality.span < rules.least_span:
        warnings.append(
            f"{listing.name} wants the product to span {rules.least_span:.0%} of the main picture; it spans "
            f"{quality.span:.0%}"
        )
    return warnings


def _a(category: str) -> str:
    return category if category.endswith("s") else f"a {category}"
