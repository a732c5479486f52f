"""The words of this service: copy and its parts, where they came from, and what is wrong with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

# Seconds that the callers of a piece of work still wait; 0 when nobody does any more.
TimeLeft = Callable[[], float]

DEFAULT_LANGUAGE = "en-IN"


class Part(StrEnum):
    """A part of a copy. The values are the keys of `data_store.json`."""

    TITLE = "title"
    BULLETS = "bullet_points"
    DESCRIPTION = "description"


class Origin(StrEnum):
    """Who wrote a text, from the least to the most trusted."""

    COMPOSED = "composed"
    MODEL = "model"
    IMPORTED = "imported"
    PERSON = "person"

    @property
    def rank(self) -> int:
        """0 for the least trusted."""
        return list(Origin).index(self)


Content = str | tuple[str, ...]


@dataclass(frozen=True)
class CopyText:
    """Title, bullet points and description; empty where there is none."""

    title: str = ""
    bullets: tuple[str, ...] = ()
    description: str = ""

    def get(self, part: Part) -> Content:
        """The content of a part: a tuple for the bullet points, a text for the others."""
        if part is Part.BULLETS:
            return self.bullets
        return self.title if part is Part.TITLE else self.description

    def with_part(self, part: Part, content: Content) -> CopyText:
        """The same copy with one part replaced."""
        if part is Part.BULLETS:
            return replace(self, bullets=(content,) if isinstance(content, str) else tuple(content))
        text = content if isinstance(content, str) else "\n".join(content)
        return replace(self, title=text) if part is Part.TITLE else replace(self, description=text)

    def only(self, parts: Iterable[Part]) -> CopyText:
        """The same copy with the other parts empty."""
        kept = CopyText()
        for part in parts:
            kept = kept.with_part(part, self.get(part))
        return kept

    def parts(self) -> tuple[Part, ...]:
        """The parts that are not empty."""
        return tuple(part for part in Part if self.get(part))

    def texts(self) -> list[tuple[str, str]]:
        """Every text with its place: `title`, `bullet_point1`, ..., `description`."""
        found = [("title", self.title)] if self.title else []
        found += [(f"bullet_point{number}", text) for number, text in enumerate(self.bullets, start=1)]
        return found + ([("description", self.description)] if self.description else [])


@dataclass(frozen=True)
class Finding:
    """A place where a text breaks a rule; `start` and `end` count characters, `end` is exclusive."""

    place: str
    rule: str
    start: int
    end: int
    message: str
    mended: bool = False


@dataclass(frozen=True)
class Attribute:
    """What is known about the product: a field of the listing with its values."""

    field: str
    values: tuple[str, ...]
    confidence: float = 0.0


@dataclass(frozen=True)
class Cost:
    """What was paid; money in millionths of a rupee."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    inr_micros: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.inr_micros + other.inr_micros,
        )


@dataclass(frozen=True)
class Order:
    """A request for copy. Everything but the code and the language is data, never an instruction."""

    code: str
    language: str = DEFAULT_LANGUAGE
    sku: str = ""
    pictures: tuple[bytes, ...] = field(default=(), repr=False)
    attributes: tuple[Attribute, ...] = ()
    brand: str = ""
    brand_voice: str = ""
    seller_claims: tuple[str, ...] = ()

    @cached_property
    def picture_sha256(self) -> str:
        """SHA-256 of the first picture's bytes; empty without a picture."""
        return hashlib.sha256(self.pictures[0]).hexdigest() if self.pictures else ""

    @cached_property
    def facts_hash(self) -> str:
        """SHA-256 of everything the text is made from except the pictures."""
        facts = [
            sorted((attribute.field, attribute.values) for attribute in self.attributes),
            self.brand,
            self.brand_voice,
            self.seller_claims,
        ]
        return hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Equal for requests that get the same answer."""
        return f"{self.code}:{self.language}:{self.picture_sha256}:{len(self.pictures)}:{self.facts_hash}"


@dataclass(frozen=True)
class AdapterInfo:
    """Who stands for an outside system; the fields are those of `jewelry.type.v1.Adapter`."""

    role: str
    name: str
    embedded: bool
    model_id: str = ""
    detail: str = ""
    shutdown_date: str = ""


@dataclass(frozen=True)
class StoredPart:
    """One part of a copy in the cache.

    Attributes:
        code: Marketplace code; empty for an imported part that serves all.
        picture_sha256: Picture that it was written for; empty while unknown.
        facts_hash: `Order.facts_hash` that it was written from; empty for people and imports.
        updated: Seconds since 1970; set by the cache.
    """

    sku: str
    code: str
    language: str
    part: Part
    content: Content
    origin: Origin
    model_id: str = ""
    prompt_version: str = ""
    picture_sha256: str = ""
    facts_hash: str = ""
    updated: float = 0.0


@dataclass(frozen=True)
class Entry:
    """A cache entry as callers see it: all parts of one SKU, marketplace and language."""

    sku: str
    code: str
    language: str
    copy: CopyText
    origin: Origin
    model_id: str = ""
    prompt_version: str = ""
    picture_sha256: str = ""
    updated: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """The answer to an order."""

    copy: CopyText
    origin: Origin
    model_id: str
    prompt_version: str
    cached: bool
    findings: tuple[Finding, ...]
    adapter: AdapterInfo
    cost: Cost = field(default_factory=Cost)


def entry_of(parts: Iterable[StoredPart], *, code: str | None = None) -> Entry:
    """Puts parts of one SKU and language together.

    The entry names the least trusted origin among its parts, so that nothing is taken for better than it is, and
    with it the model and prompt of that part.
    """
    found = sorted(parts, key=lambda item: (item.origin.rank, -item.updated))
    least = found[0]
    text = CopyText()
    for item in found:
        text = text.with_part(item.part, item.content)
    pictures = [item.picture_sha256 for item in found if item.picture_sha256]
    return Entry(
        sku=least.sku,
        code=least.code if code is None else code,
        language=least.language,
        copy=text,
        origin=least.origin,
        model_id=least.model_id,
        prompt_version=least.prompt_version,
        picture_sha256=pictures[0] if pictures else "",
        updated=max(item.updated for item in found),
    )
