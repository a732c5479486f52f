"""The rules of a marketplace and a language, put together from libs/marketplaces and `data/rules.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import marketplaces
from copywriter_service.domain import Part
from copywriter_service.matching import Folded, Match, Phrases, canonical, words
from servicekit import errors

DATA = Path(__file__).resolve().parent / "data"

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")
_SCRIPT_TAGS = {"Latn": "LATIN", "Deva": "DEVANAGARI", "Arab": "ARABIC"}


@dataclass(frozen=True)
class BareClaim:
    """A word that is a claim unless certain words stand beside it."""

    word: str
    unless_before: frozenset[str]
    unless_after: frozenset[str]


@dataclass(frozen=True)
class Rules:
    """What one marketplace takes in one language.

    Attributes:
        parts: The parts of a copy that it takes.
        limits: Longest text of each part in characters; of one bullet point for the bullet points.
        bullets: Bullet points that it takes, and that the copywriter fills.
        word_repeats: How often a word may stand in a title; 0: any number.
        script: Unicode's name of the language's script, such as LATIN.
    """

    code: str
    marketplace: str
    category: str
    language: str
    language_name: str
    script: str
    parts: tuple[Part, ...]
    limits: Mapping[Part, int]
    bullets: int
    forbidden: frozenset[str]
    promotional: Phrases
    claims: Phrases
    families: Mapping[str, str]
    bare_claims: tuple[BareClaim, ...]
    negations: frozenset[str]
    word_repeats: int
    stop_words: frozenset[str]
    refuses_capitals: bool

    def family(self, claim: str) -> str:
        """Name of the claims that say the same as this one."""
        forms = (claim, claim.removesuffix("s"), claim + "s")
        return next((self.families[form] for form in forms if form in self.families), claim)

    def claims_in(self, folded: Folded) -> list[Match]:
        """Claims made in a text; one that the text itself takes back ("not real gold") is none."""
        found = self.claims.find(folded.text)
        taken = [(match.start, match.end) for match in found]
        for bare in self._bare(folded.text):
            if not any(start < bare.end and bare.start < end for start, end in taken):
                found.append(bare)
        return sorted(
            (match for match in found if _word_before(folded.text, match.start) not in self.negations),
            key=lambda match: match.start,
        )

    def vouched(self, seller_claims: Iterable[Folded]) -> frozenset[str]:
        """Families of the claims that the seller vouches for."""
        return frozenset(self.family(match.phrase) for text in seller_claims for match in self.claims_in(text))

    def _bare(self, text: str) -> Iterable[Match]:
        found = list(words(text))
        for claim in self.bare_claims:
            for index, hit in enumerate(found):
                if hit.group() not in (claim.word, claim.word + "s"):
                    continue
                before = found[index - 1].group() if index else ""
                after = found[index + 1].group() if index + 1 < len(found) else ""
                if before not in claim.unless_before and after not in claim.unless_after:
                    yield Match(claim.word, hit.start(), hit.end())


def _word_before(text: str, position: int) -> str:
    last = ""
    for hit in words(text[max(0, position - 40) : position]):
        last = hit.group()
    # "No: sterling silver" takes nothing back.
    return last if not re.search(r"[.,;:!?]\s*$", text[:position]) else ""


@lru_cache(maxsize=1)
def book() -> dict[str, Any]:
    """`data/rules.toml`."""
    with (DATA / "rules.toml").open("rb") as file:
        return tomllib.load(file)


def language_tag(tag: str) -> str:
    """A BCP 47 tag in its usual capitals, such as `en-IN`.

    Raises:
        errors.InvalidArgument: It is no tag, or of a language whose script is not known.
    """
    if not _TAG.fullmatch(tag):
        raise errors.InvalidArgument(
            "language is no BCP 47 tag; send one such as en-IN or hi-IN", fields={"language": "not a BCP 47 tag"}
        )
    first, *rest = tag.split("-")
    cased = (item.title() if len(item) == 4 else item.upper() if len(item) == 2 else item.lower() for item in rest)
    parts = [first.lower(), *cased]
    if parts[0] not in book()["languages"]:
        known = ", ".join(sorted(book()["languages"]))
        raise errors.InvalidArgument(
            f"language {parts[0]} is not known; use one of {known}", fields={"language": f"one of {known}"}
        )
    return "-".join(parts)


@lru_cache(maxsize=1)
def collection_book() -> dict[str, Any]:
    """`data/collection.toml`."""
    with (DATA / "collection.toml").open("rb") as file:
        return tomllib.load(file)


def collection_rules(language: str) -> Rules:
    """The rules of collections in the seller's own shop: the strictest claims and words of all marketplaces.

    Raises:
        errors.InvalidArgument: A language that is not known.
    """
    return _collection_rules(language_tag(language))


@lru_cache(maxsize=16)
def _collection_rules(language: str) -> Rules:
    # What is common to all codes is the same in each of them; only limits and parts are the collection's own.
    every = [_rules(code, language) for code in marketplaces.CODES]
    limits = {Part.TITLE: collection_book()["title_max"], Part.DESCRIPTION: collection_book()["description_max"]}
    return replace(
        every[0],
        code="",
        marketplace="the shop",
        category="collection",
        parts=(Part.TITLE, Part.DESCRIPTION),
        limits=limits,
        bullets=0,
        forbidden=frozenset().union(*(rules.forbidden for rules in every)),
        promotional=Phrases(dict.fromkeys(phrase for rules in every for phrase in rules.promotional)),
        claims=Phrases(dict.fromkeys(phrase for rules in every for phrase in rules.claims)),
        word_repeats=max(rules.word_repeats for rules in every),
        refuses_capitals=True,
    )


def rules_for(code: str, language: str) -> Rules:
    """The rules of a code in a language.

    Raises:
        errors.InvalidArgument: UNKNOWN_MARKETPLACE for a code that is not known, or a language that is not.
    """
    try:
        listing = marketplaces.load(code)
    except marketplaces.UnknownCode as error:
        known = ", ".join(marketplaces.CODES)
        raise errors.InvalidArgument(
            f"marketplace_code is not known; use one of {known}",
            reason="UNKNOWN_MARKETPLACE",
            fields={"marketplace_code": f"one of {known}"},
        ) from error
    return _rules(listing.code, language_tag(language))


@lru_cache(maxsize=256)
def _rules(code: str, language: str) -> Rules:
    listing = marketplaces.load(code)
    data, copy = book(), listing.copy
    about = data["languages"][language.split("-")[0]]
    script = next((_SCRIPT_TAGS[tag] for tag in language.split("-")[1:] if tag in _SCRIPT_TAGS), about["script"])
    parts = [Part.TITLE] if copy.title_field else []
    parts += [Part.BULLETS] if copy.bullets_wanted else []
    parts += [Part.DESCRIPTION] if copy.description_field else []
    claims = [*copy.claims, *data["claims"], *(phrase for family in data["families"] for phrase in family)]
    bare = tuple(
        BareClaim(item["word"], frozenset(item["unless_before"]), frozenset(item["unless_after"]))
        for item in data["bare_claims"]
    )
    bare_words = {claim.word for claim in bare}
    return Rules(
        code=code,
        marketplace=listing.name,
        category=listing.category,
        language=language,
        language_name=about["name"] + (" in Latin letters" if script == "LATIN" != about["script"] else ""),
        script=script,
        parts=tuple(parts),
        limits={
            Part.TITLE: copy.title_max,
            Part.BULLETS: copy.bullet_max,
            Part.DESCRIPTION: copy.description_max,
        },
        bullets=copy.bullets_wanted,
        forbidden=frozenset(copy.forbidden_characters),
        promotional=Phrases([*copy.promotional, *data["promotional"]]),
        claims=Phrases(claim for claim in claims if claim not in bare_words),
        families=_families(data["families"]),
        bare_claims=bare,
        negations=frozenset(data["negation"]["words"]),
        word_repeats=data["word_repeats"].get(listing.marketplace, 0),
        stop_words=frozenset(data["stop_words"].get(language.split("-")[0], [])),
        refuses_capitals=listing.marketplace in data["capitals"]["marketplaces"],
    )


def _families(families: list[list[str]]) -> dict[str, str]:
    return {canonical(phrase): canonical(family[0]) for family in families for phrase in family}
