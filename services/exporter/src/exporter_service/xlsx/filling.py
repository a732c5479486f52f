"""Rows of products written into a worksheet's XML.

Only the rows that take products change. What stands before and after them (views, column widths, drop-downs,
conditional formats, extensions) is copied byte for byte, except the one attribute that tells how far the sheet reaches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from exporter_service.xlsx import cells
from exporter_service.xlsx.scanning import OldRow, Scanned, Styles
from servicekit import errors

Kind = Literal["text", "number", "date"]
Texts = Sequence[str | None]
"""Texts of a row in the order of its batch's keys."""

_DIMENSION = re.compile(rb'(<(?:\w+:)?dimension\b[^>]*?\bref=")([^"]*)(")')
# Stands for the row's number in prepared XML; no text that may be written holds it.
_ROW = "\0"
# Short texts repeat (drop-downs, constants): their XML is kept. Bounded so that copy does not fill it.
_CACHED_LENGTH = 64
_CACHED_TEXTS = 20_000
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Slot:
    """A column of the sheet that is written.

    Attributes:
        key: under which texts come for it.
        column: from 1.
        kind: "number": texts that are numbers become number cells; "date": ISO dates become numbers of days.
    """

    key: str
    column: int
    kind: Kind = "text"


@dataclass(frozen=True)
class Batch:
    """What rows have in common.

    Attributes:
        shared: texts that they have unless they say otherwise, by the key of their slot.
        keys: of the slots in which they may differ.
    """

    shared: Mapping[str, str]
    keys: Sequence[str]

    def whole(self, texts: Texts) -> dict[str, str]:
        """All texts of a row by key."""
        own = {key: text for key, text in zip(self.keys, texts, strict=False) if text is not None}
        return {**self.shared, **own}


class _Layout:
    """The cells of rows that look alike: those that take texts, and empty ones that are only styled."""

    def __init__(
        self, prefix: str, slots: Sequence[Slot], styles: Mapping[int, str], there: Styles, row_style: str
    ) -> None:
        """`styles` are those that new cells take unless the row has its own, `there` the cells that it has."""
        own = dict(there)
        order = sorted({*own, *(slot.column for slot in slots)})
        at = {column: place for place, column in enumerate(order)}
        self.empty = [f"{_head(prefix, column, own[column])}/>" if column in own else "" for column in order]
        self.places = [at[slot.column] for slot in slots]
        self.heads = [_head(prefix, slot.column, own.get(slot.column) or styles.get(slot.column, "")) for slot in slots]
        self.prepared: dict[int, list[str]] = {}


def _head(prefix: str, column: int, style: str) -> str:
    """`<c r="AB` + row number + `" s="7"`."""
    styled = f' s="{style}"' if style else ""
    return f'<{prefix}c r="{cells.letters(column)}{_ROW}"{styled}'


class Filler:
    """Fills one sheet."""

    def __init__(
        self,
        sheet: Scanned,
        data_row: int,
        slots: Sequence[Slot],
        serial: Callable[[str], str | None],
        batches: Mapping[int, Batch],
    ) -> None:
        """
        Args:
            sheet: what `scan` found.
            data_row: first row that is written, from 1.
            slots: columns in ascending order.
            serial: number of days of a date's text; None if it is none.
            batches: by their numbers.
        """
        self._sheet = sheet
        self._data_row = data_row
        self._slots = slots
        self._serial = serial
        self._batches = batches
        index = {slot.key: number for number, slot in enumerate(slots)}
        self._index = index
        self._slots_of = {number: [index.get(key, -1) for key in batch.keys] for number, batch in batches.items()}
        known: dict[Kind, dict[str, str]] = {"text": {}, "number": {}, "date": {}}
        self._known = [known[slot.kind] for slot in slots]
        self._styles = _first_styles(sheet, data_row, slots)
        self._layouts: dict[tuple[Styles, str], _Layout] = {}

    def stream(self, rows: Iterable[tuple[int, Texts]], count: int) -> Iterator[bytes]:
        """Yields the worksheet's XML with `rows` written. Memory stays that of a chunk.

        Args:
            rows: number of the batch, and texts in the order of its keys: None for what the batch shares, "" to leave
                the cell as it is in the template; each `cells.clean` and within `cells.MAX_TEXT`.
            count: how many rows there are; the sheet tells its reach before they come.

        Raises:
            errors.ResourceExhausted: SHEET_FULL.
        """
        if self._data_row + count - 1 > cells.MAX_ROWS:
            raise errors.ResourceExhausted("the sheet is full: start another run", reason="SHEET_FULL")
        sheet = self._sheet
        last = self._slots[-1].column if self._slots else 1
        yield _with_reach(sheet.head, last, self._data_row + count - 1)
        chunk: list[str] = []
        size = 0
        number = self._data_row
        for batch, texts in rows:
            text = self._row(number, batch, texts)
            chunk.append(text)
            size += len(text)
            number += 1
            if size > _CHUNK:
                yield "".join(chunk).encode()
                chunk, size = [], 0
        yield "".join(chunk).encode()
        yield sheet.tail(number)

    def _row(self, number: int, batch: int, texts: Texts) -> str:
        old = self._sheet.rows.get(number)
        prefix = self._sheet.prefix
        if old is None:
            start, layout = f'<{prefix}row r="{number}">', self._layout((), "")
        elif old.styles is not None:
            start, layout = self._sheet.row_start(old), self._layout(old.styles, old.style)
        else:
            return self._mixed(number, old, self._batches[batch].whole(texts))
        body = "".join(self._pieces(layout, batch, texts))
        return f"{start}{body.replace(_ROW, str(number))}</{prefix}row>"

    def _layout(self, there: Styles, row_style: str) -> _Layout:
        layout = self._layouts.get((there, row_style))
        if layout is None:
            layout = _Layout(self._sheet.prefix, self._slots, self._styles, there, row_style)
            if len(self._layouts) > 1000:
                self._layouts.clear()
            self._layouts[there, row_style] = layout
        return layout

    def _pieces(self, layout: _Layout, batch: int, texts: Texts) -> list[str]:
        prepared = layout.prepared.get(batch)
        if prepared is None:
            prepared = layout.empty.copy()
            shared = self._batches[batch].shared
            self._put(prepared, layout, [self._index.get(key, -1) for key in shared], list(shared.values()))
            layout.prepared[batch] = prepared
        pieces = prepared.copy()
        self._put(pieces, layout, self._slots_of[batch], texts)
        return pieces

    def _put(self, pieces: list[str], layout: _Layout, slots: Sequence[int], texts: Texts) -> None:
        known, heads, places = self._known, layout.heads, layout.places
        for slot, text in zip(slots, texts, strict=False):
            if text is None or slot < 0:
                continue
            if text:
                pieces[places[slot]] = heads[slot] + (known[slot].get(text) or self._content(slot, text))
            else:
                pieces[places[slot]] = layout.empty[places[slot]]

    def _mixed(self, number: int, old: OldRow, texts: Mapping[str, str]) -> str:
        """A row that holds something already: what is written takes its place, but for formulas."""
        there = self._sheet.cells(old)
        merged = {column: cell.xml for column, cell in there.items()}
        for slot, known in zip(self._slots, self._known, strict=True):
            text = texts.get(slot.key, "")
            cell = there.get(slot.column)
            if text and not (cell and cell.formula):
                style = (cell.style if cell else "") or old.style or self._styles.get(slot.column, "")
                head = _head(self._sheet.prefix, slot.column, style).replace(_ROW, str(number))
                content = known.get(text) or self._content(self._index[slot.key], text)
                merged[slot.column] = head + content
        body = "".join(merged[column] for column in sorted(merged))
        return f"{self._sheet.row_start(old)}{body}</{self._sheet.prefix}row>"

    def _content(self, slot: int, text: str) -> str:
        kind = self._slots[slot].kind
        number: str | None = None
        if kind == "number":
            number = text if cells.is_number(text) else None
        elif kind == "date":
            number = self._serial(text)
        content = self._qualified(cells.text_content(text) if number is None else cells.number_content(number))
        known = self._known[slot]
        if len(text) <= _CACHED_LENGTH and len(known) < _CACHED_TEXTS:
            known[text] = content
        return content

    def _qualified(self, content: str) -> str:
        """Gives element names the prefix that the template's own have; most have none."""
        if not self._sheet.prefix:
            return content
        return re.sub(r"(</?)(is|t|v|c)(?=[ >])", rf"\g<1>{self._sheet.prefix}\g<2>", content)


def _first_styles(sheet: Scanned, row: int, slots: Sequence[Slot]) -> dict[int, str]:
    """Styles of the first row of products, by column: a row beyond the template looks like it."""
    first = sheet.rows.get(row)
    if first is None:
        return sheet.column_styles
    there: Styles = first.styles or ()
    if first.styles is None:
        there = tuple((column, cell.style) for column, cell in sheet.cells(first).items())
    whole = dict.fromkeys((slot.column for slot in slots), first.style) if first.style else {}
    return sheet.column_styles | whole | {column: style for column, style in there if style}


def _with_reach(head: bytes, last_column: int, last_row: int) -> bytes:
    """Lets the dimension reach over the cells that are written."""

    def widened(match: re.Match[bytes]) -> bytes:
        corner = match[2].decode().rpartition(":")[2]
        column = max(cells.column_number(corner), last_column)
        row = max(int(re.sub(r"\D", "", corner) or 1), last_row)
        return match[1] + f"A1:{cells.letters(column)}{row}".encode() + match[3]

    return _DIMENSION.sub(widened, head, count=1)
