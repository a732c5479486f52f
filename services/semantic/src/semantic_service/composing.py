"""Title, description and reasons, put together from what the chosen products carry, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from semantic_service.criteria import Criteria
from semantic_service.relaxation import rupees
from semantic_service.vocabulary import joined

# A fact is worth telling when at least this share of the products carry it.
_WORTH_TELLING = 0.2
_TOLD = 3
_TITLE_WORDS = 2

_PLURAL = {
    "earrings": "earrings", "cufflinks": "cufflinks", "hair accessory": "hair accessories", "brooch": "brooches",
    "stud": "stud earrings", "hoop": "hoop earrings",
}  # fmt: skip


_ONE = {
    "earrings": "pair of earrings",
    "cufflinks": "pair of cufflinks",
    "stud": "pair of stud earrings",
    "hoop": "pair of hoop earrings",
    "drop earrings": "pair of drop earrings",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a chosen product says of itself.

    Attributes:
        price: Rupees; None where unknown.
        categories: All of them: `jhumka`, and `earrings`, which it is a kind of.
        kind: The narrowest: `jhumka`; empty where unknown.
        colors: Its colours.
        audiences: For whom.
        style: The style that its own words name; empty where they name none. A style that only a model
            finds near is no claim to print.
        wished: Concepts of the wish, no category, colour or audience, that it carries.
    """

    price: float | None
    categories: frozenset[str]
    kind: str
    colors: frozenset[str]
    audiences: frozenset[str]
    style: str
    wished: tuple[str, ...]


def title(chosen: Sequence[Chosen]) -> str:
    """A title of what all products share; empty for no product."""
    if not chosen:
        return ""
    wished = [word for word in chosen[0].wished if all(word in product.wished for product in chosen)]
    style = _shared({product.style} for product in chosen)
    category = _shared({product.kind} for product in chosen) or _shared(product.categories for product in chosen)
    noun = plural(category) if category else "jewellery"
    words: list[str] = []
    for part in (style, *wished[:_TITLE_WORDS], _shared(product.colors for product in chosen)):
        said = " ".join((*words, noun)).lower()
        if part and part.lower() not in said:
            words.append(part)
    audience = _shared(product.audiences for product in chosen)
    heading = " ".join((*words, noun, "collection"))
    return _headline(heading) + (f" for {audience.capitalize()}" if audience else "")


def description(chosen: Sequence[Chosen]) -> str:
    """Sentences that count: how many, prices, kinds, colours, styles; empty for no product."""
    if not chosen:
        return ""
    sentences = [_counted(chosen) + "."]
    for lead, facts in (
        ("Colours", [product.colors for product in chosen]),
        ("Styles", [{product.style} - {""} for product in chosen]),
        ("As wished", [set(product.wished) for product in chosen]),
    ):
        if told := _told(facts):
            sentences.append(f"{lead}: {told}.")
    return " ".join(sentences)


def why(
    criteria: Criteria,
    chosen: Chosen,
    *,
    style: str,
    shared_style: str,
    words: Sequence[str],
    similarity: float | None,
    pinned: bool,
) -> str:
    """One sentence on why a product was chosen.

    Args:
        criteria: What was asked for.
        chosen: What the product says of itself.
        style: Its nearest style.
        shared_style: A style that the wish means and its own words speak for; empty for none.
        words: Words of the wish found in it.
        similarity: Its cosine with the wish; None where nothing was compared by meaning.
        pinned: Whether it was pinned.
    """
    reasons: list[str] = []
    if words:
        reasons.append("carries " + joined(f"“{word}”" for word in list(words)[:5]))
    if shared_style:
        reasons.append(f"shares the style {shared_style} with the wish")
    elif style and criteria.wishes:
        reasons.append(f"is nearest to the style {style}")
    if colors := criteria.colors & chosen.colors:
        reasons.append(f"is {joined(sorted(colors))} as wished")
    if audiences := criteria.audiences & chosen.audiences:
        reasons.append(f"is for {joined(sorted(audiences))}")
    if similarity is not None:
        reasons.append(f"has a similarity of {similarity:.2f} with the wish")
    return ("Pinned: it " if pinned else "It ") + (joined(reasons) or "passes every filter") + "."


def plural(category: str) -> str:
    """The plural of a category's name."""
    return _PLURAL.get(category, category if category.endswith("s") else category + "s")


def _shared(facts: Iterable[Iterable[str]]) -> str:
    """The one fact that all products share; empty where there is none, or several to choose from."""
    common = frozenset.intersection(*(frozenset(values) for values in facts))
    return next(iter(common)) if len(common) == 1 else ""


def _told(facts: Sequence[Iterable[str]]) -> str:
    counts = Counter(name for names in facts for name in names)
    told = [(name, number) for name, number in _ranked(counts) if number >= _WORTH_TELLING * len(facts)][:_TOLD]
    return ", ".join(name if number == len(facts) else f"{name} ({number} of {len(facts)})" for name, number in told)


def _counted(chosen: Sequence[Chosen]) -> str:
    """`5 pieces from ₹499 to ₹1,599: 3 jhumkas, 1 chandbali and 1 kada`, or `5 jhumkas at ₹499`."""
    kinds = Counter(product.kind for product in chosen if product.kind)
    listed = [f"{number} {plural(kind) if number > 1 else _ONE.get(kind, kind)}" for kind, number in _ranked(kinds)]
    count = f"{len(chosen):,}"
    if len(kinds) == 1 and kinds.total() == len(chosen):
        return listed[0] + _price_range(chosen)
    lead = f"{count} {'piece' if len(chosen) == 1 else 'pieces'}{_price_range(chosen)}"
    if not listed:
        return lead
    whole = len(listed) <= _TOLD + 1 and kinds.total() == len(chosen)
    return f"{lead}{': ' if whole else ', among them '}{joined(listed if whole else listed[:_TOLD])}"


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _price_range(chosen: Sequence[Chosen]) -> str:
    prices = [product.price for product in chosen if product.price is not None]
    if not prices:
        return ""
    low, high = min(prices), max(prices)
    reach = f" at {rupees(low)}" if low == high else f" from {rupees(low)} to {rupees(high)}"
    silent = len(chosen) - len(prices)
    return reach + (f", {silent} without a price" if silent else "")


def _headline(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split())
