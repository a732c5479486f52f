"""Rows of products written into the records of one sheet.

The cell table of the sheet is written anew: rows and cells that are there stay, in the order that [MS-XLS] 2.1.7.20.5
wants. New texts are added behind the shared ones. Every other record stays byte for byte, but for positions that
moved. The tables that only speed up loading (Index and DBCell of the filled sheet, ExtSST) are left out; readers
make them again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

from exporter_service import dates
from exporter_service.xls import records as biff
from exporter_service.xls.compound import CompoundFile, unreadable
from exporter_service.xls.records import Record
from exporter_service.xlsx import cells
from exporter_service.xlsx.filling import Slot
from servicekit import errors

Texts = Mapping[str, str]
"""Texts of a row by the key of their slot."""

_DEFAULT_STYLE = 15
_ROW = struct.Struct("<8H")
# Row height of the default font in twentieths of a point, and a bit that is always set (2.4.221).
_HEIGHT, _ROW_FLAGS = 0xFF, 0x0100


def filled(
    content: bytes,
    sheet: str,
    data_row: int,
    slots: Sequence[Slot],
    rows: Iterable[Texts],
    epoch_1904: bool = False,
) -> bytes:
    """The workbook with rows written from `data_row` on.

    Args:
        content: the .xls.
        sheet: its name.
        data_row: from 1.
        slots: columns in ascending order.
        rows: texts by the slots' keys; each at most `cells.MAX_TEXT` long.
        epoch_1904: days are counted from 1904.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE.
        errors.ResourceExhausted: SHEET_FULL.
    """
    file = CompoundFile(content)
    stream = biff.workbook_stream(file)
    all_sheets = biff.sheets(stream)
    target = next((each for each in all_sheets if each.name == sheet), None)
    if target is None or any(slot.column > biff.MAX_COLUMNS for slot in slots):
        raise unreadable()
    texts = _SharedTexts(stream)
    table = _Table(stream, target.start, slots, texts, epoch_1904)
    substreams = {each.start: _substream(stream, each.start) for each in all_sheets}
    substreams[target.start] = table.written(data_row, rows)
    return file.with_stream("Workbook", _assembled(stream, all_sheets, substreams, texts))


def _assembled(
    stream: bytes, all_sheets: Sequence[biff.Sheet], substreams: Mapping[int, bytes], texts: _SharedTexts
) -> bytes:
    """The stream with all sheets behind the workbook's own records, and every position set right."""
    globals_, bounds = texts.globals()
    order = sorted(substreams)
    starts, position = {}, len(globals_)
    parts = []
    for old in order:
        starts[old] = position
        part = _moved(substreams[old], position - old)
        parts.append(part)
        position += len(part)
    for each, at in zip(all_sheets, bounds, strict=True):
        struct.pack_into("<I", globals_, at + 4, starts[each.start])
    whole = bytes(globals_) + b"".join(parts)
    return whole.ljust(4096, b"\0")


def _substream(stream: bytes, start: int) -> bytes:
    end = start
    for record in biff.records(stream, start):
        end = record.end
    return stream[start:end]


def _moved(substream: bytes, by: int) -> bytes:
    """A sheet whose Index (2.4.144) tells of places in the stream."""
    if not by:
        return substream
    for record in biff.records(substream):
        if record.kind == biff.INDEX:
            moved = bytearray(substream)
            # An unused number and two rows come first; then the places of the column width and of blocks of rows.
            for at in range(record.start + 4 + 12, record.end - 3, 4):
                (place,) = struct.unpack_from("<I", moved, at)
                if place:
                    struct.pack_into("<I", moved, at, place + by)
            return bytes(moved)
    return substream


class _SharedTexts:
    """The table of shared texts (SST, 2.4.265), with new ones added at its end."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        self._records = list(biff.records(stream))
        self._at = next((n for n, record in enumerate(self._records) if record.kind == biff.SST), -1)
        self._total = self._unique = 0
        if self._at >= 0:
            self._total, self._unique = struct.unpack_from("<II", self._records[self._at].data(stream))
        self._known: dict[str, int] = {}
        self._new: list[str] = []

    def number(self, text: str) -> int:
        """Number of a text."""
        self._total += 1
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self._unique + len(self._new)
            self._new.append(text)
        return known

    def globals(self) -> tuple[bytearray, list[int]]:
        """The workbook's own records with the new texts, and where its BoundSheet8 records lie now."""
        out = bytearray()
        bounds = []
        after = self._last_of_table()
        for number, record in enumerate(self._records):
            if record.kind == biff.EXTSST:
                continue
            if record.kind == biff.EOF and self._at < 0:
                out += struct.pack("<HHII", biff.SST, 8, 0, 0)
                self._finish(out, len(out) - 12)
            if record.kind == biff.BOUNDSHEET:
                bounds.append(len(out))
            if number == self._at:
                table_at = len(out)
            out += self._stream[record.start : record.end]
            if number == after:
                self._finish(out, table_at)
        return out, bounds

    def _last_of_table(self) -> int:
        number = self._at
        while number >= 0 and self._records[number + 1].kind == biff.CONTINUE:
            number += 1
        return number

    def _finish(self, out: bytearray, table_at: int) -> None:
        struct.pack_into("<II", out, table_at + 4, self._total, self._unique + len(self._new))
        for part in _continued(self._new):
            out += struct.pack("<HH", biff.CONTINUE, len(part)) + part


def _continued(texts: Iterable[str]) -> Iterator[bytes]:
    """Texts as XLUnicodeRichExtendedString (2.5.293), cut into Continue records (2.4.58)."""
    part = bytearray()
    for text in texts:
        raw, wide = _encoded(text)
        step = 2 if wide else 1
        # The head of a text may not be cut, and a piece begins by telling its width again.
        if len(part) + 3 + step > biff.MAX_DATA:
            yield bytes(part)
            part = bytearray()
        part += struct.pack("<HB", len(raw) // step, wide)
        at = 0
        while True:
            room = (biff.MAX_DATA - len(part)) // step * step
            if wide and at + room < len(raw) and 0xD8 <= raw[at + room - 1] <= 0xDB:
                # Some readers take each piece for itself: the two halves of a character stay together.
                room -= 2
            part += raw[at : at + room]
            at += room
            if at >= len(raw):
                break
            yield bytes(part)
            part = bytearray([wide])
    if part:
        yield bytes(part)


def _encoded(text: str) -> tuple[bytes, int]:
    """A text in the narrow or the wide form, and which."""
    try:
        return text.encode("latin-1"), 0
    except UnicodeEncodeError:
        return text.encode("utf-16-le"), 1


class _Table:
    """The cell table of a sheet."""

    def __init__(self, stream: bytes, start: int, slots: Sequence[Slot], texts: _SharedTexts, epoch_1904: bool) -> None:
        self._stream = stream
        self._slots = slots
        self._shared = texts
        self._epoch_1904 = epoch_1904
        self._before: list[Record] = []
        self._after: list[Record] = []
        self._row_records: dict[int, Record] = {}
        self._cells: dict[int, dict[int, tuple[bytes, int, bool]]] = {}
        self._column_styles: dict[int, int] = {}
        self._read(start)

    def _read(self, start: int) -> None:
        """Parts the sheet's records: cells and rows, what stands before and after them."""
        last: tuple[int, int] | None = None
        seen_table = False
        depth = 0
        for record in biff.records(self._stream, start):
            kind = record.kind
            depth += (kind == biff.BOF) - (kind == biff.EOF)
            inside = depth == 1 and kind != biff.BOF
            if inside and kind in (biff.INDEX, biff.DBCELL):
                seen_table = seen_table or kind == biff.DBCELL
            elif inside and kind == biff.ROW:
                seen_table, last = True, None
                (row,) = struct.unpack_from("<H", self._stream, record.start + 4)
                self._row_records[row] = record
            elif inside and kind in biff.CELLS:
                seen_table = True
                last = self._keep(record)
            elif inside and kind in (biff.MULRK, biff.MULBLANK):
                seen_table, last = True, None
                self._split(record)
            elif inside and last is not None and kind in (*biff.FOLLOWERS, biff.CONTINUE):
                row, column = last
                raw, style, formula = self._cells[row][column]
                self._cells[row][column] = (raw + self._stream[record.start : record.end], style, formula)
            else:
                last = None
                if inside and kind == biff.COLINFO:
                    self._keep_style(record)
                (self._after if seen_table else self._before).append(record)

    def _keep(self, record: Record) -> tuple[int, int]:
        row, column, style = struct.unpack_from("<HHH", self._stream, record.start + 4)
        raw = self._stream[record.start : record.end]
        self._cells.setdefault(row, {})[column] = (raw, style, record.kind == biff.FORMULA)
        return row, column

    def _split(self, record: Record) -> None:
        """A record of several cells, as one for each."""
        data = record.data(self._stream)
        row, first = struct.unpack_from("<HH", data)
        each, kind = (6, biff.RK) if record.kind == biff.MULRK else (2, biff.BLANK)
        for number, at in enumerate(range(4, len(data) - 2, each)):
            body = data[at : at + each]
            raw = struct.pack("<HHHH", kind, 4 + each, row, first + number) + body
            (style,) = struct.unpack_from("<H", body)
            self._cells.setdefault(row, {})[first + number] = (raw, style, False)

    def _keep_style(self, record: Record) -> None:
        first, last, _, style = struct.unpack_from("<4H", self._stream, record.start + 4)
        for column in range(first, min(last, biff.MAX_COLUMNS - 1) + 1):
            self._column_styles[column] = style

    def written(self, data_row: int, rows: Iterable[Texts]) -> bytes:
        """The sheet with rows written from `data_row`, counted from 1, on."""
        body = bytearray()
        filled_to = data_row - 1
        styles = self._first_styles(data_row - 1)
        for row in sorted(row for row in {*self._row_records, *self._cells} if row < data_row - 1):
            self._old_row(body, row)
        for texts in rows:
            if filled_to >= biff.MAX_ROWS:
                raise errors.ResourceExhausted(
                    "the sheet is full, an .xls has 65,536 rows: start another run", reason="SHEET_FULL"
                )
            self._row(body, filled_to, texts, styles)
            filled_to += 1
        left = sorted(row for row in {*self._row_records, *self._cells} if row >= filled_to)
        for row in left:
            self._old_row(body, row)
        head = bytearray()
        for record in self._before:
            part = self._stream[record.start : record.end]
            head += self._reaching(part, filled_to) if record.kind == biff.DIMENSIONS else part
        tail = b"".join(self._stream[record.start : record.end] for record in self._after)
        return bytes(head) + bytes(body) + tail

    def _old_row(self, body: bytearray, row: int) -> None:
        there = self._cells.get(row, {})
        self._row_head(body, row, there)
        for column in sorted(there):
            body += there[column][0]

    def _row_head(self, body: bytearray, row: int, columns: Iterable[int]) -> None:
        old = self._row_records.get(row)
        ordered = sorted(columns)
        first, last = (ordered[0], ordered[-1] + 1) if ordered else (0, 0)
        if old is None:
            data = _ROW.pack(row, first, last, _HEIGHT, 0, 0, _ROW_FLAGS, _DEFAULT_STYLE)
        else:
            data = old.data(self._stream)
            data = data[:2] + struct.pack("<HH", first, last) + data[6:]
        body += struct.pack("<HH", biff.ROW, len(data)) + data

    def _row(self, body: bytearray, row: int, texts: Texts, styles: Mapping[int, int]) -> None:
        there = self._cells.get(row, {})
        made = {column: raw for column, (raw, _, _) in there.items()}
        row_style = self._row_style(row)
        for slot in self._slots:
            text = texts.get(slot.key, "")
            column = slot.column - 1
            old = there.get(column)
            if text and not (old and old[2]):
                style = old[1] if old else row_style or styles.get(column, _DEFAULT_STYLE)
                made[column] = self._cell(row, column, style, slot, text)
        self._row_head(body, row, made)
        for column in sorted(made):
            body += made[column]

    def _first_styles(self, row: int) -> dict[int, int]:
        """Styles of the first row of products, by column: a row beyond the template looks like it."""
        own = self._row_style(row)
        whole = dict.fromkeys((slot.column - 1 for slot in self._slots), own) if own else {}
        first = {column: style for column, (_, style, _) in self._cells.get(row, {}).items()}
        return self._column_styles | whole | first

    def _row_style(self, row: int) -> int:
        """Style of a row's cells that have none (2.4.221, fGhostDirty); 0 where the row has none."""
        old = self._row_records.get(row)
        if old is None:
            return 0
        flags, style = struct.unpack_from("<HH", old.data(self._stream), 12)
        return int(style & 0xFFF) if flags & 0x80 else 0

    def _cell(self, row: int, column: int, style: int, slot: Slot, text: str) -> bytes:
        number: str | None = None
        if slot.kind == "number":
            number = text if cells.is_number(text) else None
        elif slot.kind == "date":
            number = dates.serial(text, self._epoch_1904)
        if number is not None:
            return struct.pack("<HHHHHd", biff.NUMBER, 14, row, column, style, float(number))
        return struct.pack("<HHHHHI", biff.LABELSST, 10, row, column, style, self._shared.number(text))

    def _reaching(self, record: bytes, rows: int) -> bytes:
        """Dimensions (2.4.90) that reach over what is written."""
        first_row, last_row, first_column, last_column = struct.unpack_from("<IIHH", record, 4)
        columns = [slot.column for slot in self._slots] or [1]
        reach = struct.pack(
            "<IIHH",
            min(first_row, rows - 1),
            max(last_row, rows),
            min(first_column, columns[0] - 1),
            max(last_column, columns[-1]),
        )
        return record[:4] + reach + record[16:]
