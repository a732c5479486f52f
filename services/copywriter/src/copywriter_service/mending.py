"""Mends a copy by code: removes what is refused, and trims at word boundaries. A text in order is left as it is."""

from __future__ import annotations

import html
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from copywriter_service.domain import CopyText, Finding, Part
from copywriter_service.matching import canonical, fold
from copywriter_service.rulebook import Rules
from copywriter_service.rules import HTML, check, check_text, is_styled, part_of, plain, starts_formula

# Removing one thing may join words into another; each round mends one kind, and there are fewer kinds than this.
_ROUNDS = 24
# A description is cut at the end of a sentence when that keeps at least this share of it.
_SENTENCE_SHARE = 0.6
_SENTENCE_END = re.compile(r"[.!?।۔]+(?=\s)|\n")
_DANGLING = re.compile(
    r"(?:[\s,;:&/|\-–—(]+(?:with|and|or|of|in|for|from|by|at|made|made of|the|a|an|to|on|is|are|&)?)+$", re.IGNORECASE
)


def mend(copy: CopyText, rules: Rules, seller_claims: Iterable[str] = ()) -> tuple[CopyText, list[Finding]]:
    """The copy with what code can mend, and the findings in the copy as it was given.

    A finding is marked as mended when the mended copy breaks that rule in that part no more. Text in another script
    and a text of which nothing would be left stay, and stay flagged.
    """
    claims = tuple(seller_claims)
    findings = check(copy, rules, claims)
    if not findings:
        return copy, []
    mended = _mend(copy, rules, claims)
    left = {(part_of(item.place), item.rule) for item in check(mended, rules, claims)}
    return mended, [replace(item, mended=(part_of(item.place), item.rule) not in left) for item in findings]


def _mend(copy: CopyText, rules: Rules, claims: Sequence[str]) -> CopyText:
    vouched = rules.vouched(fold(claim) for claim in claims)
    mended = CopyText()
    if Part.TITLE in rules.parts:
        mended = replace(mended, title=mend_text(Part.TITLE, copy.title, rules, vouched))
    if Part.BULLETS in rules.parts:
        bullets = (mend_text(Part.BULLETS, text, rules, vouched) for text in copy.bullets)
        different: dict[str, str] = {}
        for text in filter(None, bullets):
            different.setdefault(canonical(text), text)
        mended = replace(mended, bullets=tuple(different.values())[: rules.bullets])
    if Part.DESCRIPTION in rules.parts:
        mended = replace(mended, description=mend_text(Part.DESCRIPTION, copy.description, rules, vouched))
    return mended


def mend_text(part: Part, text: str, rules: Rules, vouched: frozenset[str]) -> str:
    """One text, mended; empty when nothing of it can stay."""
    for _ in range(_ROUNDS):
        findings = check_text(part, part.value, text, rules, vouched) if text else []
        rule = next((name for name in MENDERS if any(item.rule == name for item in findings)), None)
        if rule is None:
            return text
        spans = [(item.start, item.end) for item in findings if item.rule == rule]
        text = MENDERS[rule](text, spans, part, rules)
    return text


Spans = Sequence[tuple[int, int]]
Mender = Callable[[str, Spans, Part, Rules], str]


def _drop_empty(text: str, spans: Spans, part: Part, rules: Rules) -> str:
    return ""


def _plain(text: str, spans: Spans, part: Part, rules: Rules) -> str:
    """Without tags; entities become what they stand for, unless that would be a tag again."""
    bare = HTML.sub(lambda hit: " " if hit.group()[0] != "&" else html.unescape(hit.group()), text)
    return tidy(bare if bare != text else HTML.sub(" ", text))


def _cut(text: str, spans: Spans, part: Part, rules: Rules) -> str:
    """Without the spans; a blank stays where words would grow together."""
    return tidy(_without(text, spans, " "))


def _reveal(text: str, spans: Spans, part: Part, rules: Rules) -> str:
    """Without control characters; those that stood for a blank leave one, invisible ones leave nothing."""
    hidden = {index for start, end in spans for index in range(start, end)}
    kept = [(" " if item.isspace() else "") if index in hidden else item for index, item in enumerate(text)]
    return tidy("".join(kept))


def _unstyle(text: str, spans: Spans, part: Part, rules: Rules) -> str:
    """Forbidden characters go; letters that only imitate plain ones become plain."""
    kept = [plain(item) if is_styled(item) else "" if item in rules.forbidden else item for item in text]
    return tidy("".join(kept))


def _unformula(text: str, spans: Spans, part: Part, rules: Rules) -> str:
    start = next((index for index, item in enumerate(text) if not (item.isspace() or starts_formula(item))), len(text))
    return tidy(text[start:])


def _cut_claim(text: str, spans: Spans, part: Part, rules: Rules) -> str:
    """Without the sentences that hold the spans, or without the spans alone where nothing else would be left."""
    if part is not Part.TITLE:
        sentences = _sentences(text)
        hurt = [span for span in sentences if any(start < span[1] and span[0] < end for start, end in spans)]
        if len(hurt) < len(sentences):
            return tidy(_without(text, hurt, ""))
    return tidy(_without(text, spans, " "))


def _sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences that are not blank; a point inside of a word or number ends none."""
    ends = [0, *(hit.end() for hit in _SENTENCE_END.finditer(text)), len(text)]
    return [(start, end) for start, end in itertools.pairwise(ends) if text[start:end].strip()]


def _lower(text: str, spans: Spans, part: Part, rules: Rules) -> str:
    """Capitals at the start of words only; other words of up to two letters (CZ, AD) stay."""
    return " ".join(_capitalised(word, rules) for word in text.split(" "))


def _capitalised(word: str, rules: Rules) -> str:
    if word.casefold() in rules.stop_words:
        return word.lower()
    return word if len(word) <= 2 else word.capitalize()


def _trim(text: str, spans: Spans, part: Part, rules: Rules) -> str:
    return trim(text, rules.limits[part], sentences=part is Part.DESCRIPTION)


# In the order in which they mend: what hides other things first, the length last.
MENDERS: dict[str, Mender] = {
    "empty": _drop_empty,
    "html": _plain,
    "control_character": _reveal,
    "emoji": _cut,
    "forbidden_character": _unstyle,
    "contact": _cut,
    "price": _cut,
    "promotional": _cut_claim,
    "unproven_claim": _cut_claim,
    "repeated_word": _cut,
    "capitals": _lower,
    "formula_start": _unformula,
    "max_length": _trim,
}


def trim(text: str, limit: int, *, sentences: bool = False) -> str:
    """The longest beginning of up to `limit` characters that ends with a word, or with a sentence if asked."""
    if len(text) <= limit:
        return text
    head = text[:limit]
    if sentences:
        ends = [end for _, end in _sentences(head) if re.search(r"[.!?।۔]\s*$", head[:end])]
        if ends and ends[-1] >= limit * _SENTENCE_SHARE:
            return head[: ends[-1]].rstrip()
    if not text[limit].isspace():
        whole = re.match(r"(.*)\s", head, re.DOTALL)
        # One word longer than the limit can only be cut within.
        head = whole.group(1) if whole and whole.group(1).strip() else _whole_letters(text, limit)
    return _DANGLING.sub("", head).rstrip(" ,;:-–—&/|(")


def _whole_letters(text: str, limit: int) -> str:
    """The beginning of a text without a letter whose vowel sign or accent would be cut off."""
    while limit and unicodedata.category(text[limit]).startswith("M"):
        limit -= 1
    return text[:limit]


def tidy(text: str) -> str:
    """Blanks and punctuation in order after something was taken out."""
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r"\(\s*\)|\[\s*\]|\"\s*\"", "", text)
    text = re.sub(r"\s+([,.;:)])", r"\1", text)
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
    text = re.sub(r"[,;:]+\s*([.।])", r"\1", text)
    text = re.sub(r"([.।])(?:\s*[.।,;:])+", r"\1", text)
    text = re.sub(r"\b(of|with|in|for|from)\s+(?:and|or|&)\s+", r"\1 ", text)
    text = re.sub(r"\b(of|with|in|and|for|from)(?:\s+(?:of|with|in|and|for|from))*(?=\s*[.,;]|\s*$)", "", text)
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r"\s+([,.;:)])", r"\1", text)
    text = re.sub(r"^[\s,;:.।\-–—|&/]+|[\s,;:\-–—|&/]+$", "", text)
    return text[:1].upper() + text[1:] if text[:1].isascii() else text


def _without(text: str, spans: Iterable[tuple[int, int]], filler: str) -> str:
    kept, position = [], 0
    for start, end in sorted(spans):
        if start >= position:
            kept.append(text[position:start])
        position = max(position, end)
    return filler.join([*kept, text[position:]])
