"""Questions made from a marketplace's fields, and answers settled against what a field allows."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from marketplaces import Field, Listing

# Below this a value is kept, and a person is asked to look at it.
LEAST_CONFIDENCE = 0.5
# Least likeness, between 0 and 1, of an option that is offered instead of an answer outside of them.
_LEAST_LIKENESS = 0.45
_MOST_SUGGESTIONS = 3


class Source(Enum):
    """Where a value came from."""

    IMAGE = "image"
    RULE = "rule"


@dataclass(frozen=True)
class Answer:
    """What an analyzer says about one field, before it is checked.

    Attributes:
        values: as said; empty when it cannot be seen.
        confidence: between 0 and 1.
        evidence: what was seen, in a few words.
        hints: values that may be right but cannot be known from the picture.
        reason: why there is no value; empty when there is one.
    """

    values: tuple[str, ...] = ()
    confidence: float = 0.0
    evidence: str = ""
    hints: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Settled:
    """A field's value as it may enter a listing; see `jewelry.type.v1.FieldValue`."""

    field: str
    values: tuple[str, ...] = ()
    source: Source = Source.IMAGE
    confidence: float = 0.0
    evidence: str = ""
    suggestions: tuple[str, ...] = ()
    review_reason: str = ""


@dataclass(frozen=True)
class Question:
    """One question, which may stand for several fields that ask the same.

    Attributes:
        key: name in the answer, letters, digits and underscores.
        field: the field that asks, with the seller's options in place where there are some.
        names: technical names of all fields that it answers.
    """

    key: str
    field: Field
    names: tuple[str, ...]


def vision_fields(listing: Listing, options: Mapping[str, Sequence[str]]) -> list[Field]:
    """The fields to read from pictures, with the seller's own options where given."""
    fields = []
    for entry in listing.vision_fields:
        own = tuple(dict.fromkeys(option.strip() for option in options.get(entry.name, ()) if option.strip()))
        fields.append(entry.model_copy(update={"options": own}) if own else entry)
    return fields


def questions(fields: Sequence[Field]) -> list[Question]:
    """One question per different thing to ask, in the order of the fields."""
    grouped: dict[tuple[object, ...], list[Field]] = {}
    for entry in fields:
        grouped.setdefault((entry.question, entry.options, entry.multi, entry.kind), []).append(entry)
    taken: set[str] = set()
    result = []
    for same in grouped.values():
        key = base = re.sub(r"[^a-z0-9]+", "_", same[0].name.lower()).strip("_") or "field"
        number = 2
        while key in taken:
            key, number = f"{base}_{number}", number + 1
        taken.add(key)
        result.append(Question(key, same[0], tuple(entry.name for entry in same)))
    return result


def settle(entry: Field, answer: Answer) -> Settled:
    """Checks an answer against its field. A value that the field does not allow never passes."""
    evidence = answer.evidence.strip()[:300]
    confidence = answer.confidence if math.isfinite(answer.confidence) else 0.0
    confidence = min(1.0, max(0.0, confidence))
    hints = answer.hints
    if entry.options:
        hints = tuple(filter(None, (_match(hint, entry.options) for hint in hints)))
    said = tuple(dict.fromkeys(value.strip() for value in answer.values if value.strip()))
    if not said:
        reason = answer.reason or "cannot be seen in the picture"
        return Settled(entry.name, evidence=evidence, suggestions=hints[:_MOST_SUGGESTIONS], review_reason=reason)
    kept, suggestions, reasons = _checked(entry, said)
    if not kept:
        return Settled(
            entry.name, evidence=evidence, suggestions=(*suggestions, *hints)[:_MOST_SUGGESTIONS],
            review_reason=reasons[0],
        )  # fmt: skip
    if confidence < LEAST_CONFIDENCE:
        reasons.append(f"not sure of it ({confidence:.0%})")
    return Settled(entry.name, kept, Source.IMAGE, confidence, evidence, suggestions, "; ".join(reasons))


def _checked(entry: Field, said: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    kept: list[str] = []
    suggestions: list[str] = []
    reasons: list[str] = []
    for value in said:
        allowed, nearest, reason = _one(entry, value)
        if allowed is None:
            suggestions += nearest
            reasons.append(reason)
        elif allowed not in kept:
            kept.append(allowed)
    most = entry.max_values if entry.multi else 1
    if len(kept) > most:
        reasons.append(f"takes {most} of {len(kept)} values")
    return tuple(kept[:most]), tuple(dict.fromkeys(suggestions))[:_MOST_SUGGESTIONS], reasons


def _one(entry: Field, value: str) -> tuple[str | None, list[str], str]:
    """The allowed form of a value; else suggestions and why it is not allowed."""
    shown = value if len(value) <= 60 else value[:57] + "..."
    if entry.options:
        match = _match(value, entry.options)
        if match is not None:
            return match, [], ""
        return None, nearest(value, entry.options), f"{shown!r} is not among the allowed values"
    if entry.kind in ("integer", "number"):
        return _number(entry, value, shown)
    if entry.max_length is not None and entry.length(value) > entry.max_length:
        cut = value
        while entry.length(cut) > entry.max_length:
            cut = cut[:-1]
        cut = cut.rsplit(" ", 1)[0] if " " in cut else cut
        return None, [cut.strip()], f"longer than {entry.max_length} {entry.length_unit}"
    return value, [], ""


def _number(entry: Field, value: str, shown: str) -> tuple[str | None, list[str], str]:
    try:
        number = float(value)
    except ValueError:
        return None, [], f"{shown!r} is not a number"
    if not math.isfinite(number) or number < 0 or (entry.kind == "integer" and number != int(number)):
        return None, [], f"{shown!r} is not a number that this field takes"
    return (str(int(number)) if number == int(number) else f"{number:g}"), [], ""


def _plain(text: str) -> str:
    text = text.casefold().replace("&", " and ").replace("grey", "gray").replace("colour", "color")
    return " ".join(re.findall(r"\w+", text))


def _match(value: str, options: Sequence[str]) -> str | None:
    """The option that a value means when only case, blanks or punctuation differ."""
    if value in options:
        return value
    wanted = _plain(value)
    return next((option for option in options if wanted and _plain(option) == wanted), None)


def nearest(value: str, options: Sequence[str]) -> list[str]:
    """Options most like a value, best first; none where nothing is like it."""
    wanted = _plain(value)
    words = set(wanted.split())

    def likeness(option: str) -> float:
        plain = _plain(option)
        shared = words & set(plain.split())
        overlap = len(shared) / max(1, min(len(words), len(plain.split())))
        return max(difflib.SequenceMatcher(None, wanted, plain).ratio(), 0.9 * overlap)

    ranked = sorted(((likeness(option), option) for option in options), key=lambda pair: -pair[0])
    return [option for score, option in ranked[:_MOST_SUGGESTIONS] if score >= _LEAST_LIKENESS]


def without_repeats(fields: Sequence[Field], settled: Sequence[Settled]) -> list[Settled]:
    """Empties a field of a numbered series, such as `occasion_type2`, that repeats an earlier one of the series."""
    seen: set[tuple[str, str]] = set()
    result = []
    for entry, value in zip(fields, settled, strict=True):
        series = re.sub(r"\d+$", "", entry.name)
        if series != entry.name and value.values:
            if (series, value.values[0]) in seen:
                reason = f"repeats {value.values[0]!r} of another field"
                value = replace(value, values=(), confidence=0.0, review_reason=reason)
            else:
                seen.add((series, value.values[0]))
        result.append(value)
    return result
