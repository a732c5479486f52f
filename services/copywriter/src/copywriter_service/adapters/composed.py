"""The embedded writer: plain sentences composed from the attributes, marked as such. It knows nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from copywriter_service.adapters.writer import Ask, Draft
from copywriter_service.domain import AdapterInfo, CopyText, Origin, Part, TimeLeft
from copywriter_service.facts import facts_of, is_plural, wording
from copywriter_service.matching import fold
from copywriter_service.rulebook import Rules
from copywriter_service.rules import check_text
from servicekit import errors

# Fillers are left out where at least this many lines say something.
ENOUGH_LINES = 3

_AGREEMENT = {
    "These": ("This", "These"), "these": ("this", "these"), "They": ("It", "They"), "are": ("is", "are"),
    "come": ("comes", "come"), "carry": ("carries", "carry"),
}  # fmt: skip


class ComposedWriter:
    """Composes copy without a model.

    Args:
        detail: Why no model writes, for operators.
    """

    origin = Origin.COMPOSED

    def __init__(self, detail: str) -> None:
        self.info = AdapterInfo("copy", "composed", embedded=True, detail=detail)
        self.prompt_version: str = wording()["version"]

    async def start(self) -> None:
        """There is nothing to start."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def write(self, ask: Ask, time_left: TimeLeft) -> Draft:
        """Composes the asked parts; the texts keep every rule.

        Raises:
            errors.FailedPrecondition: COPY_NEEDS_MODEL for another language than English.
        """
        if not ask.rules.language.startswith("en"):
            raise errors.FailedPrecondition(
                f"copy in {ask.rules.language_name} needs a model; set OPENAI_API_KEY, or ask for en-IN",
                reason="COPY_NEEDS_MODEL",
            )
        return Draft(compose(ask).only(ask.parts))


def compose(ask: Ask) -> CopyText:
    """Title, bullet points and description from the facts of the order."""
    rules = ask.rules
    vouched = rules.vouched(fold(claim) for claim in ask.order.seller_claims)
    facts = _clean(facts_of(ask.order, rules), rules, vouched)
    bullets = list(_lines("bullet", Part.BULLETS, facts, rules, vouched)) if rules.bullets else []
    sentences: list[str] = []
    for sentence in _lines("sentence", Part.DESCRIPTION, facts, rules, vouched):
        if len(" ".join([*sentences, sentence])) <= rules.limits[Part.DESCRIPTION]:
            sentences.append(sentence)
    return CopyText(
        title=_title(facts, rules, vouched),
        bullets=tuple(bullets[: rules.bullets]),
        description=" ".join(sentences),
    )


def _clean(facts: Mapping[str, str], rules: Rules, vouched: frozenset[str]) -> dict[str, str]:
    """Without the facts whose words break a rule, such as a brand that praises itself."""
    kept = {
        name: text
        for name, text in facts.items()
        if name == "kind" or not check_text(Part.DESCRIPTION, "description", text, rules, vouched)
    }
    if check_text(Part.DESCRIPTION, "description", kept["kind"], rules, vouched):
        kept["kind"] = rules.category
    return kept


def _lines(form: str, part: Part, facts: Mapping[str, str], rules: Rules, vouched: frozenset[str]) -> Iterator[str]:
    words = {name: pair[is_plural(rules.category)] for name, pair in _AGREEMENT.items()}
    said = 0
    for line in wording()["lines"]:
        if form not in line or not _fits(line, facts) or (line.get("filler") and said >= ENOUGH_LINES):
            continue
        text = line[form].format(**words, **facts)
        text = text[:1].upper() + text[1:]
        if not check_text(part, part.value, text, rules, vouched):
            said += 1
            yield text


def _fits(line: Mapping[str, Any], facts: Mapping[str, str]) -> bool:
    return all(name in facts for name in line["needs"]) and not any(name in facts for name in line.get("unless", ()))


def _title(facts: Mapping[str, str], rules: Rules, vouched: frozenset[str]) -> str:
    """Brand, look, stones, motif and kind; the least important pieces go until the title keeps every rule."""
    if Part.TITLE not in rules.parts:
        return ""
    pieces = {
        "brand": facts.get("brand", ""),
        "look": f"{facts['plating']} plated" if "plating" in facts else facts.get("look", ""),
        "stone_short": facts.get("stone_short", ""),
        "motif": facts.get("motif", ""),
        "kind": facts["kind"],
        "occasion": f"for {facts['occasion']} wear" if "occasion" in facts else "",
    }
    for dropped in ("", "occasion", "motif", "stone_short", "look", "brand"):
        pieces[dropped] = ""
        title = " ".join(_title_case(piece, keep=name == "brand") for name, piece in pieces.items() if piece)
        if not check_text(Part.TITLE, "title", title, rules, vouched):
            return title
    return ""


def _title_case(text: str, *, keep: bool) -> str:
    small = ("and", "of", "for", "in", "with", "the", "a")
    if keep:
        return text
    return " ".join(word if word in small or word[:1].isupper() else word.capitalize() for word in text.split())
