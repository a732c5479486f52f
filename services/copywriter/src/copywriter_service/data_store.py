"""`data_store.json`, the cache file of the specification: reading it and giving it back.

The file is one object, SKU to entry. An entry has `title`, `description` and its bullet points in one of the forms that
were written over time:

- `"bullet_points": {"bullet_point1": "...", "bullet_point2": "..."}`, the compressed form (`bullet_point_1` too);
- `"bullet_point1": "..."` beside the title, the expanded form;
- `"bullet_points": ["...", "..."]`, a list;
- `"bullet_points": "...\\n..."`, a text with one bullet point per line.

What was imported is given back as it came, whatever its form and whatever else stands in it, as long as nobody wrote
something new for the SKU; then only the changed parts are replaced, in the entry's own form. The file is laid out as
the one that was imported last.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from copywriter_service.adapters.cache import Holdings, ImportedEntry
from copywriter_service.domain import DEFAULT_LANGUAGE, Content, Origin, Part, StoredPart
from servicekit import errors

MAX_SKU = 200
# Half of a surrogate pair: JSON can name one, UTF-8 cannot hold it. It goes back as it came, and is used as this.
_HALF, _UNKNOWN = re.compile("[\ud800-\udfff]"), "\ufffd"
_BULLET = re.compile(r"bullet_point_?(\d{1,3})")


@dataclass(frozen=True)
class Layout:
    """How a file writes its JSON; the defaults are those of the specified system.

    Attributes:
        indent: Put before each level; None: everything on one line.
        escaped: Whether characters beyond ASCII are written as `\\u` escapes.
        compact: Whether no blank follows commas and colons.
        end: What follows the last brace.
    """

    indent: str | None = "    "
    escaped: bool = False
    compact: bool = False
    end: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        """The layout of a file that holds an object."""
        first = re.match(r"\s*\{\r?\n([ \t]*)", text)
        return cls(
            indent=first[1] if first else None,
            escaped=text.isascii() and re.search(r"\\u(?!00[01]|007f)", text) is not None,
            compact=re.search(r'":\S', text) is not None and '": ' not in text,
            end=text[len(text.rstrip()) :],
        )

    def write(self, content: object) -> str:
        """JSON in this layout."""
        separators = (",", ":") if self.compact else ("," if self.indent is not None else ", ", ": ")
        return json.dumps(content, indent=self.indent, ensure_ascii=self.escaped, separators=separators) + self.end


@dataclass(frozen=True)
class Imported:
    """What was found in a file: entries to take, a sentence for each that cannot be taken, and the file's layout."""

    entries: list[ImportedEntry]
    problems: list[str]
    layout: str


def parse(content: bytes) -> Imported:
    """Reads a file.

    Raises:
        errors.InvalidArgument: DATA_STORE_UNREADABLE: it is no JSON object.
    """
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(key for key, count in Counter(key for key, _ in items).items() if count > 1)
        return dict(items)

    try:
        text = content.decode("utf-8-sig")
        found = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidArgument(
            "data_store is no JSON in UTF-8; send the file as it is", reason="DATA_STORE_UNREADABLE"
        ) from error
    if not isinstance(found, dict):
        raise errors.InvalidArgument(
            'data_store is no object of SKUs; send a file such as {"SKU-1": {"title": "..."}}',
            reason="DATA_STORE_UNREADABLE",
        )
    entries: list[ImportedEntry] = []
    problems = [f"{key!r} stands twice in one object; the last one was taken" for key in twice]
    for sku, entry in found.items():
        try:
            entries.append(_entry(sku, entry))
        except ValueError as error:
            problems.append(f"{sku[:MAX_SKU]!r}: {error}; the entry was left out")
    return Imported(entries, problems, json.dumps(asdict(Layout.of(text))))


def _entry(sku: str, entry: Any) -> ImportedEntry:
    if not sku.strip() or len(sku) > MAX_SKU or not sku.isprintable():
        raise ValueError(f"a SKU has 1 to {MAX_SKU} characters and no control characters")
    if not isinstance(entry, dict):
        raise ValueError("the entry is no object")
    parts = [
        StoredPart(sku, "", DEFAULT_LANGUAGE, part, content, Origin.IMPORTED)
        for part, content in _contents(entry).items()
    ]
    return ImportedEntry(sku, json.dumps(entry, ensure_ascii=True), tuple(parts))


def _contents(entry: Mapping[str, Any]) -> dict[Part, Content]:
    """The parts of an entry; empty texts, null and false, which the old system wrote for nothing, are none."""
    found: dict[Part, Content] = {}
    for part in (Part.TITLE, Part.DESCRIPTION):
        value = entry.get(part.value)
        if value and not isinstance(value, str):
            raise ValueError(f"{part.value} is no text")
        if value and value.strip():
            found[part] = _HALF.sub(_UNKNOWN, value)
    if bullets := tuple(_HALF.sub(_UNKNOWN, text) for text in _bullets(entry) if text.strip()):
        found[Part.BULLETS] = bullets
    return found


def _bullets(entry: Mapping[str, Any]) -> list[str]:
    value = entry.get(Part.BULLETS.value)
    if isinstance(value, str):
        return value.split("\n")
    if isinstance(value, list):
        texts = value
    elif isinstance(value, dict):
        texts = _numbered(value)
    elif value:
        raise ValueError("bullet_points is neither an object nor a list nor a text")
    else:
        texts = _numbered(entry)
    if not all(text is None or isinstance(text, str) for text in texts):
        raise ValueError("a bullet point is no text")
    return [text or "" for text in texts]


def _numbered(fields: Mapping[str, Any]) -> list[Any]:
    numbers = {int(match.group(1)): key for key in fields if (match := _BULLET.fullmatch(key))}
    return [fields[numbers[number]] for number in sorted(numbers)]


def render(holdings: Holdings) -> bytes:
    """The cache as a file in UTF-8, laid out as the last imported one, else as the specified system writes it.

    The file knows one entry per SKU. Where a SKU has several texts, a person's wins over an imported one, that over a
    model's, that over a composed one; then English over other languages, then the newest.
    """
    by_sku: dict[str, list[StoredPart]] = {}
    for part in holdings.parts:
        by_sku.setdefault(part.sku, []).append(part)
    file: dict[str, Any] = {}
    for sku, raw in holdings.imported.items():
        file[sku] = _merged(json.loads(raw), by_sku.pop(sku, []))
    for sku, parts in by_sku.items():
        file[sku] = _merged({}, parts)
    layout = Layout(**json.loads(holdings.layout)) if holdings.layout else Layout()
    return layout.write(file).encode("utf-8", "surrogatepass")


def _merged(entry: dict[str, Any], parts: Iterable[StoredPart]) -> dict[str, Any]:
    before = _contents(entry)
    best: dict[Part, StoredPart] = {}
    for part in parts:
        if part.part not in best or _weight(part) > _weight(best[part.part]):
            best[part.part] = part
    for name in Part:
        if name in best and best[name].content != before.get(name):
            entry = _replaced(entry, name, best[name].content)
    return entry


def _weight(part: StoredPart) -> tuple[int, bool, float]:
    return part.origin.rank, part.language == DEFAULT_LANGUAGE, part.updated


def _replaced(entry: dict[str, Any], part: Part, content: Content) -> dict[str, Any]:
    """The entry with one part replaced, bullet points in the form that the entry had."""
    if part is not Part.BULLETS:
        return {**entry, part.value: content}
    old = entry.get(Part.BULLETS.value)
    if isinstance(old, list):
        return {**entry, part.value: list(content)}
    if isinstance(old, str):
        return {**entry, part.value: "\n".join(content)}
    expanded = not old and any(_BULLET.fullmatch(key) for key in entry)
    names = old if isinstance(old, dict) else entry
    stem = "bullet_point_" if any(re.fullmatch(r"bullet_point_\d{1,3}", key) for key in names) else "bullet_point"
    numbered = {f"{stem}{number}": text for number, text in enumerate(content, start=1)}
    if expanded:
        return {**{key: value for key, value in entry.items() if not _BULLET.fullmatch(key)}, **numbered}
    return {**entry, part.value: numbered}
