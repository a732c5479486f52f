"""Checks a copy against a marketplace's rules; finds, and changes nothing (see `mending`)."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from copywriter_service.domain import CopyText, Finding, Part
from copywriter_service.matching import Folded, canonical, fold, words
from copywriter_service.rulebook import Rules

# More places than anybody reads; a text of nothing but emoji must not fill an answer.
MAX_FINDINGS = 200

# The last one is the minus sign of mathematics. Imitations of the others are seen through by normalising (NFKC).
FORMULA_STARTS = "=+-@−"
HTML = re.compile(
    r"<(script|style)\b.{0,5000}?</\1\s*>|</?[a-z][^<>]{0,2000}>|<!--.{0,2000}?-->"
    r"|&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,20});|(?:java|vb)script:|data:text/html|%3[ce]"
    r"|\[/?(?:b|i|u|s|p|br|url|img|color|size)(?:=[^\[\]]{0,200})?\]|(?<!\w)on[a-z]{3,20}\s?=",
    re.IGNORECASE | re.DOTALL,
)
# These two are looked for in folded text: small letters, plain digits.
CONTACT = re.compile(
    r"(?:https?://|www\.)\S{1,500}"
    r"|(?<!\w)(?:t\.me|wa\.me|bit\.ly|goo\.gl|youtu\.be|linktr\.ee|ig\.me|fb\.me)(?:/\S{0,200})?(?!\w)"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"
    r"|(?<![\w-])[\w-]{2,60}\.(?:com|co\.in|in|net|org|shop|store)(?!\w)"
    r"|(?<![\w@])@[a-z]\w{2,30}"
    # Indian mobile numbers, in one piece or in the usual groups.
    r"|(?<!\w)(?:\+?91[\s.-]?|0)?"
    r"(?:[6-9]\d{4}[\s.-]?\d{5}|[6-9]\d{3}[\s.-]\d{3}[\s.-]\d{3}|[6-9]\d{2}[\s.-]\d{3}[\s.-]\d{4})(?!\w)"
)
_AMOUNT = r"\d[\d,]{0,12}"
PRICE = re.compile(
    rf"₹\s?{_AMOUNT}|(?<!\w)(?:rs\.?|inr|mrp|usd|rupees?|price|रु\.?|रुपये|रुपए)\s?[:=]?\s?(?:rs\.?\s?|₹\s?)?{_AMOUNT}"
    rf"|(?<!\w){_AMOUNT}\s?(?:rs|rupees?|inr|/-|₹|रु|रुपये|रुपए)(?!\w)"
)
_INDIC = range(0x0900, 0x0E00)
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True)
class Subject:
    """A text under the rules: which part it belongs to, where it stands, and what the seller vouches for."""

    part: Part
    place: str
    text: str
    folded: Folded
    rules: Rules
    vouched: frozenset[str]


Hit = tuple[int, int, str]
Check = Callable[[Subject], Iterable[Hit]]


def check(copy: CopyText, rules: Rules, seller_claims: Iterable[str] = ()) -> list[Finding]:
    """Everything in a copy that breaks a rule, in reading order; empty parts break none.

    Args:
        copy: The copy; parts that the marketplace does not take are findings too.
        rules: Of the marketplace and language.
        seller_claims: What the seller vouches for, in the seller's words.
    """
    vouched = rules.vouched(fold(claim) for claim in seller_claims)
    findings: list[Finding] = []
    seen: set[str] = set()
    for place, text in copy.texts():
        if len(findings) >= MAX_FINDINGS:
            break
        part = part_of(place)
        if part not in rules.parts:
            message = f"{rules.marketplace} takes no {part.value.replace('_', ' ')} for {rules.category}"
            findings.append(Finding(place, "unused_part", 0, len(text), message))
        elif part is Part.BULLETS and int(place.removeprefix("bullet_point")) > rules.bullets:
            message = f"{rules.marketplace} takes {rules.bullets} bullet points; leave this one out"
            findings.append(Finding(place, "too_many_bullets", 0, len(text), message))
        elif part is Part.BULLETS and canonical(text) in seen:
            findings.append(Finding(place, "repeated_bullet", 0, len(text), "says the same as an earlier bullet point"))
        else:
            if part is Part.BULLETS:
                seen.add(canonical(text))
            findings += check_text(part, place, text, rules, vouched)
    return findings[:MAX_FINDINGS]


def part_of(place: str) -> Part:
    """The part that a place such as `bullet_point2` belongs to."""
    return Part.BULLETS if place.startswith("bullet_point") else Part(place)


def check_text(part: Part, place: str, text: str, rules: Rules, vouched: frozenset[str]) -> list[Finding]:
    """Everything in one text that breaks a rule."""
    subject = Subject(part, place, text, fold(text), rules, vouched)
    found: list[Finding] = []
    for rule, search in CHECKS.items():
        found += [Finding(place, rule, start, end, message) for start, end, message in search(subject)]
    return sorted(found, key=lambda finding: (finding.start, finding.end))


def _html(subject: Subject) -> Iterator[Hit]:
    for hit in HTML.finditer(subject.text):
        yield *hit.span(), "HTML is shown as code; write plain text"


def _control(subject: Subject) -> Iterator[Hit]:
    loose = loose_marks(subject.text)
    for index, character in enumerate(subject.text):
        if index in loose or _is_control(character, subject.part, subject.rules):
            name = unicodedata.name(character, f"U+{ord(character):04X}")
            yield index, index + 1, f"a control or invisible character ({name}); leave it out"


def loose_marks(text: str) -> set[int]:
    """Places of combining accents that form no letter with what stands before them, as in struck-out text."""
    found: set[int] = set()
    letter = ""
    for index, character in enumerate(text):
        if not "\u0300" <= character <= "\u036f":
            letter = character
            continue
        together = unicodedata.normalize("NFC", letter + character)
        if len(together) == 1:
            letter = together
        else:
            found.add(index)
    return found


def _is_control(character: str, part: Part, rules: Rules) -> bool:
    if character == "\n":
        return part is not Part.DESCRIPTION
    if character in _JOINERS:
        return rules.script in ("LATIN",)
    return unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp")


def _emoji(subject: Subject) -> Iterator[Hit]:
    for index, character in enumerate(subject.text):
        if is_emoji(character) and character not in subject.rules.forbidden:
            yield index, index + 1, "an emoji or decorative sign; leave it out"


def is_emoji(character: str) -> bool:
    """Pictographs, dingbats and other signs that decorate; not the signs of the Indian scripts."""
    point = ord(character)
    if 0x1F000 <= point <= 0x1FAFF or point in (0xFE0F, 0x20E3):
        return True
    return unicodedata.category(character) == "So" and point not in _INDIC


def _forbidden(subject: Subject) -> Iterator[Hit]:
    for index, character in enumerate(subject.text):
        if character in subject.rules.forbidden:
            yield index, index + 1, f"{subject.rules.marketplace} refuses {character} in copy"
        elif is_styled(character):
            yield index, index + 1, "a styled letter; write plain letters"


def is_styled(character: str) -> bool:
    """Letters and digits that only imitate plain ones: full-width, mathematical, raised, small capitals."""
    if character.isascii():
        return False
    if "\uff01" <= character <= "\uff5e" or "\U0001d400" <= character <= "\U0001d7ff":
        return True
    return character.isalpha() and plain(character).isascii()


def plain(character: str) -> str:
    """What a styled letter imitates; a letter that imitates none is itself."""
    small_capital = re.fullmatch(r"LATIN LETTER SMALL CAPITAL ([A-Z])", unicodedata.name(character, ""))
    return small_capital[1].lower() if small_capital else unicodedata.normalize("NFKC", character)


def _formula(subject: Subject) -> Iterator[Hit]:
    start = len(subject.text) - len(subject.text.lstrip())
    if starts_formula(subject.text[start : start + 1]):
        yield start, start + 1, "a cell that starts so is taken for a formula; start with a letter"


def starts_formula(character: str) -> bool:
    """Whether spreadsheets take a cell that begins so for a formula; wide and small forms count too."""
    return unicodedata.normalize("NFKC", character)[:1] in tuple(FORMULA_STARTS)


def _contact(subject: Subject) -> Iterator[Hit]:
    for hit in CONTACT.finditer(subject.folded.text):
        yield *subject.folded.span(*hit.span()), "addresses, phone numbers and links are not allowed in copy"


def _price(subject: Subject) -> Iterator[Hit]:
    for hit in PRICE.finditer(subject.folded.text):
        yield *subject.folded.span(*hit.span()), "prices belong into the price column"


def _promotional(subject: Subject) -> Iterator[Hit]:
    for match in subject.rules.promotional.find(subject.folded.text):
        message = f"{match.phrase!r} is promotional; describe the product instead"
        yield *subject.folded.span(match.start, match.end), message


def _claims(subject: Subject) -> Iterator[Hit]:
    for match in subject.rules.claims_in(subject.folded):
        if subject.rules.family(match.phrase) not in subject.vouched:
            message = f"the seller does not vouch for {match.phrase!r}; add it to seller_claims or leave it out"
            yield *subject.folded.span(match.start, match.end), message


def _repeated(subject: Subject) -> Iterator[Hit]:
    limit = subject.rules.word_repeats
    if subject.part is not Part.TITLE or not limit:
        return
    seen: Counter[str] = Counter()
    for hit in words(subject.folded.text):
        word = hit.group()
        if word in subject.rules.stop_words or not any(item.isalnum() for item in word):
            continue
        seen[word] += 1
        if seen[word] > limit:
            yield *subject.folded.span(*hit.span()), f"{word!r} stands more than {limit} times in the title"


def _capitals(subject: Subject) -> Iterator[Hit]:
    letters = [item for item in subject.text if item.isalpha() and (item.isupper() or item.islower())]
    shouts = len(letters) >= 8 and all(item.isupper() for item in letters)
    if shouts and subject.part is Part.TITLE and subject.rules.refuses_capitals:
        yield 0, len(subject.text), "a title in capitals only; write capitals at the start of words"


def _script(subject: Subject) -> Iterator[Hit]:
    wanted = subject.rules.script
    scripts = [_script_of(character) for character in subject.text]
    start = None
    for index, script in enumerate([*scripts, ""]):
        foreign = script not in ("", "LATIN", wanted)
        if foreign and start is None:
            start = index
        elif not foreign and start is not None:
            yield start, index, f"letters of another script in {subject.rules.language_name} copy"
            start = None
    letters = [script for script in scripts if script]
    if wanted != "LATIN" and subject.part is not Part.TITLE and letters.count(wanted) * 2 < len(letters):
        yield 0, len(subject.text), f"copy in {subject.rules.language_name} is written in {wanted.title()} letters"
    elif wanted != "LATIN" and subject.part is Part.TITLE and wanted not in letters and letters:
        yield 0, len(subject.text), f"a title in {subject.rules.language_name} needs {wanted.title()} letters"


def _script_of(character: str) -> str:
    """Unicode's name of a letter's script; empty for everything that is no letter."""
    if character.isascii():
        return "LATIN" if character.isalpha() else ""
    plain = unicodedata.normalize("NFKC", character)[:1]
    if unicodedata.category(plain)[:1] not in ("L",) or is_emoji(character):
        return ""
    if plain.isascii():
        return "LATIN"
    return unicodedata.name(plain, "UNKNOWN").partition(" ")[0]


def _length(subject: Subject) -> Iterator[Hit]:
    limit = subject.rules.limits[subject.part]
    if limit and len(subject.text) > limit:
        yield limit, len(subject.text), f"{len(subject.text)} characters; {subject.rules.marketplace} takes {limit}"


def _empty(subject: Subject) -> Iterator[Hit]:
    if not subject.text.strip():
        yield 0, len(subject.text), "nothing but blanks"


CHECKS: dict[str, Check] = {
    "empty": _empty,
    "html": _html,
    "control_character": _control,
    "emoji": _emoji,
    "forbidden_character": _forbidden,
    "formula_start": _formula,
    "contact": _contact,
    "price": _price,
    "promotional": _promotional,
    "unproven_claim": _claims,
    "wrong_script": _script,
    "repeated_word": _repeated,
    "capitals": _capitals,
    "max_length": _length,
}
