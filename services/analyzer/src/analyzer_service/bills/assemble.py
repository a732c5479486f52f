"""From the text of all pages to a bill: cells with their numbers, header fields, totals, what the prompt asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from analyzer_service.bills import checks, values
from analyzer_service.bills.layout import Grid, Line, grid, lines
from analyzer_service.bills.model import UNSURE, Bill, Cell, Named, Row, Table
from analyzer_service.bills.ocr import Token

Box = tuple[float, float, float, float]
NUMERIC = {"qty", "rate", "amount", "discount", "cgst", "sgst", "igst", "gst", "line_total"}
NUMERIC |= {f"{tax}_rate" for tax in ("cgst", "sgst", "igst", "gst")}
_CODES = {"sl", "hsn"}
# Labels of amounts below the table, without their spaces, in the order in which they are tried.
_TOTALS = (
    ("carried", r"carried|brought"),
    ("discount", r"discount"),
    ("gross", r"gross|subtotal"),
    ("taxable", r"taxable"),
    ("cgst", r"c[gc6o]st"),
    ("sgst", r"s[gc6o]st"),
    ("igst", r"i[gc6o]st"),
    ("gst", r"^gst|tax"),
    ("round_off", r"r.?und.?.?ff"),
    ("freight", r"freight|packing|courier"),
    ("total", r"grandtotal|^[gc6]\.?t.?tal|invoicevalue|netamount|billamount|amountpayable|totalpayable"),
    ("sum", r"t.?tal"),
)
_LABELLED = re.compile(
    r"(?:invoice|inv|bill|memo|\bno\b)\s*\.?\s*(?:no|number|num|#)?\s*[.:#-]*\s+([A-Z0-9][A-Z0-9/.\-]*\d[A-Z0-9/\-]*)",
    re.I,
)
# A label that lost its space before the number.
_GLUED = re.compile(r"\b(Invoice|INVOICE|Inv|INV|Bill|BILL)\.?([Nn]o\.?|NO\.?)?(?=[A-Z]{2}|\d)")
_LABEL_ALONE = re.compile(r"^\s*(?:tax\s*)?(?:invoice|inv|bill|memo)\s*(?:no|number|#)?\s*[.:]*\s*$", re.I)
_NUMBER_OF_BILL = re.compile(r"^[A-Z0-9][A-Z0-9/\-.]*\d[A-Z0-9/\-.]*$", re.I)
_STOP_WORDS = frozenset(
    [
        "and",
        "or",
        "the",
        "of",
        "a",
        "an",
        "please",
        "also",
        "give",
        "tell",
        "me",
        "find",
        "show",
        "what",
        "is",
        "are",
        "extract",
        "include",
        "list",
    ]
)


@dataclass(frozen=True)
class PageText:
    """The text of a page, and a way to look again at a part of it."""

    tokens: Sequence[Token]
    again: Callable[[Box], Token | None]


def assemble(pages: Sequence[PageText], prompt: str) -> Bill:
    """A bill from all of its pages; what is not on them stays out."""
    grids = [(number, page, grid(page.tokens)) for number, page in enumerate(pages, start=1)]
    tables = [_page_table(number, page, found) for number, page, found in grids if found is not None]
    table = _joined(tables)
    every_line = [line for page in pages for line in lines(page.tokens)]
    fields = _header_fields(every_line)
    totals: dict[str, Named] = {}
    for _, page, found in grids:
        if found is not None:
            totals |= _totals(found, page)
    totals.pop("carried", None)
    total_of_rows = totals.pop("sum", None)
    if total_of_rows is not None:
        # "Total" above the taxes is the value before them; where no other total follows, it is the total.
        name = "taxable" if "total" in totals and "taxable" not in totals else "total"
        totals.setdefault(name, replace(total_of_rows, name=name))
    words = next((line for line in reversed(every_line) if re.search(r"rupees|rs\.? ?[a-z]{3}", line.text, re.I)), None)
    if words is not None and values.number(words.text) is None:
        sure = 0.9 if values.from_words(words.text) is not None else 0.3
        totals["total_in_words"] = Named("total_in_words", words.text, sure)
    return Bill(table, (*fields, *totals.values()), tuple(_extras(every_line, prompt)))


def _page_table(page_number: int, page: PageText, found: Grid) -> Table:
    columns = list(found.columns)
    rows: list[list[Cell]] = []
    for tokens in found.rows:
        middle = _middle(tokens)
        cells = [
            _cell(name, cell, page, (span[0], middle[0], span[1], middle[1]))
            for name, span, cell in zip(columns, found.spans, tokens, strict=True)
        ]
        filled = [name for name, cell in zip(columns, cells, strict=True) if cell.text]
        if filled == ["description"] and rows:
            place = columns.index("description")
            above = rows[-1][place]
            text = f"{above.text} {cells[place].text}"
            rows[-1][place] = Cell(text, None, min(above.confidence, cells[place].confidence))
        elif len(filled) >= 3:
            rows.append(_reconciled(columns, cells, tokens))
    _part_numbers(columns, rows)
    return _with_units(Table(tuple(columns), tuple(Row(tuple(cells), page_number) for cells in rows)))


def _part_numbers(columns: list[str], rows: list[list[Cell]]) -> None:
    """Takes the lines' running numbers off descriptions that were read in one piece with them."""
    if "description" not in columns or not rows:
        return
    place = columns.index("description")
    number = columns.index("sl") if "sl" in columns else None
    found = [re.match(r"(\d{1,3})[.)]?(?:\s+\1)*\s*(?=[A-Za-z])", row[place].text) for row in rows]
    firsts = [
        int(match.group(1)) if match else int(row[number].number or 0) if number is not None else 0
        for match, row in zip(found, rows, strict=True)
    ]
    # A number that was read both in its column and before the description is taken off where that happened to several
    # lines: one alone may be a name, such as `6 stone ring` in line 6.
    doubled = [
        number is not None and match is not None and row[number].number == int(match.group(1))
        for match, row in zip(found, rows, strict=True)
    ]
    for index, (match, row) in enumerate(zip(found, rows, strict=True)):
        # Its neighbours tell a running number from a size such as `6 mm`.
        near = [firsts[i] - firsts[index] == i - index for i in (index - 1, index + 1) if 0 <= i < len(rows)]
        if match is None or not near or not all(near):
            continue
        if number is not None and row[number].text and not (doubled[index] and sum(doubled) > 1):
            continue
        cell = row[place]
        row[place] = replace(cell, text=cell.text[match.end() :])
        if number is not None and not doubled[index]:
            row[number] = Cell(match.group(1), float(match.group(1)), cell.confidence)


def _middle(tokens: list[list[Token]]) -> tuple[float, float]:
    """Top and bottom of a row, from its pieces' median."""
    flat = sorted((token for cell in tokens for token in cell), key=lambda token: token.middle)
    token = flat[len(flat) // 2]
    return token.top - 2, token.bottom + 2


def _cell(column: str, tokens: list[Token], page: PageText, box: Box) -> Cell:
    if column not in NUMERIC | _CODES:
        return Cell(_words(tokens), None, min((token.confidence for token in tokens), default=0.0))
    best = _numeric(column, tokens)
    if best.number is None or best.confidence < UNSURE:
        again = page.again((box[0] - 6, box[1], box[2] + 6, box[3]))
        if again is not None:
            second = _numeric(column, [again])
            if second.number is not None and second.confidence > best.confidence:
                best = second
    return best


def _words(tokens: list[Token]) -> str:
    text = " ".join(token.text for token in tokens)
    return re.sub(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[A-Z][a-z])", " ", text).strip()


def _numeric(column: str, tokens: list[Token]) -> Cell:
    """A number as read; where letters stand in it, its reading as digits with that reading's own confidence."""
    if not tokens:
        return Cell()
    text = re.sub(r"(?<=\d)(?=[A-Z]{2})", " ", " ".join(token.text for token in tokens))
    sure = min(token.confidence for token in tokens)
    found = values.number(text)
    if column == "qty" and found is not None:
        return Cell(text, found, sure)
    if found is not None and not re.search(r"[A-Za-z]", text):
        return Cell(text, found, sure)
    digits = "".join(token.digits[0] for token in tokens)
    return Cell(digits if values.number(digits) is not None else text, values.number(digits),
                min(token.digits[1] for token in tokens))  # fmt: skip


def _reconciled(columns: list[str], cells: list[Cell], tokens: list[list[Token]]) -> list[Cell]:
    """Where quantity x rate is not the amount, the readings as digits are tried; nothing is computed."""
    names = ("qty", "rate", "amount")
    if not set(names) <= set(columns):
        return cells
    places = [columns.index(name) for name in names]
    trio = [cells[place] for place in places]
    if checks.line_holds(*trio):
        # Three readings that agree confirm one another.
        for place in places:
            cells[place] = replace(cells[place], confidence=max(cells[place].confidence, 0.9))
        return cells
    options = []
    for place, cell in zip(places, trio, strict=True):
        digits = "".join(token.digits[0] for token in tokens[place])
        other = Cell(digits, values.number(digits), min((token.digits[1] for token in tokens[place]), default=0.0))
        options.append([cell] if other.number in (None, cell.number) else [cell, other])
    for quantity in options[0]:
        for rate in options[1]:
            for amount in options[2]:
                if checks.line_holds(quantity, rate, amount):
                    for place, cell in zip(places, (quantity, rate, amount), strict=True):
                        cells[place] = replace(cell, confidence=max(cell.confidence, 0.9))
                    return cells
    # One of the three is wrong, and nobody can tell which.
    for place in places:
        cells[place] = replace(cells[place], confidence=min(cells[place].confidence, UNSURE - 0.01))
    return cells


def _with_units(table: Table) -> Table:
    """A column of units where they stand behind the quantities."""
    if "unit" in table.columns or "qty" not in table.columns:
        return table
    place = table.columns.index("qty")
    units = [re.search(r"[A-Za-z]{2,}\.?$", row.cells[place].text) for row in table.rows]
    if not any(units):
        return table
    columns = (*table.columns[: place + 1], "unit", *table.columns[place + 1 :])
    rows = []
    for row, unit in zip(table.rows, units, strict=True):
        quantity = row.cells[place]
        cell = Cell(unit.group(), None, quantity.confidence) if unit else Cell()
        rows.append(Row((*row.cells[: place + 1], cell, *row.cells[place + 1 :]), row.page))
    return Table(columns, tuple(rows))


def _joined(tables: Sequence[Table]) -> Table:
    """One table of all pages under the columns of the widest."""
    if not tables:
        return Table()
    columns = max((table.columns for table in tables), key=len)
    columns = (*columns, *dict.fromkeys(name for table in tables for name in table.columns if name not in columns))
    rows = [Row(tuple(table.cell(row, name) for name in columns), row.page) for table in tables for row in table.rows]
    return Table(columns, tuple(rows))


def _totals(found: Grid, page: PageText) -> dict[str, Named]:
    totals: dict[str, Named] = {}
    for line in found.below:
        numbers = [token for token in line.tokens if _is_number(token)]
        label = " ".join(token.text for token in line.tokens if token not in numbers)
        name = next((key for key, pattern in _TOTALS if re.search(pattern, label.replace(" ", ""), re.I)), "")
        if not name or not numbers or len(label) > 60:
            continue
        if name in ("sum", "total") and len(numbers) > 1:
            totals |= _totals_by_column(found, numbers)
            continue
        percent = re.search(r"(\d+(?:\.\d+)?) ?%", label)
        if percent and name in ("cgst", "sgst", "igst", "gst"):
            totals[f"{name}_rate"] = Named(f"{name}_rate", percent.group(1), numbers[-1].confidence)
        if name not in totals or name == "total":
            totals[name] = _amount(name, numbers[-1])
    return totals


def _totals_by_column(found: Grid, numbers: list[Token]) -> dict[str, Named]:
    """A line of sums below the columns; the one below the lines' totals includes the taxes and is checked by them."""
    totals = {}
    for token in numbers:
        gaps = [abs(token.right - span[1]) for span in found.spans]
        column = found.columns[gaps.index(min(gaps))]
        name = {"amount": "taxable", "line_total": "total_before_rounding"}.get(column, column)
        if name in ("taxable", "cgst", "sgst", "igst", "gst", "total_before_rounding"):
            totals[name] = _amount(name, token)
    return totals


def _is_number(token: Token) -> bool:
    if re.search(r"[A-Za-z]{3}|%", token.text):
        return False
    return values.number(token.text) is not None or (
        sum(character.isdigit() for character in token.text) >= 2 and values.number(token.digits[0]) is not None
    )


def _amount(name: str, token: Token) -> Named:
    cell = _numeric(name, [token])
    shown = "" if cell.number is None else f"{cell.number:.2f}"
    return Named(name, shown, cell.confidence)


def _header_fields(every_line: Sequence[Line]) -> list[Named]:
    fields: list[Named] = []
    fields += [item for item in (_invoice_number(every_line), _date(every_line)) if item]
    seen: list[str] = []
    for line in every_line:
        for token in line.tokens:
            for gstin in values.gstins(token.text):
                if gstin not in seen:
                    seen.append(gstin)
                    sure = 0.95 if values.gstin_valid(gstin) else min(token.confidence, UNSURE - 0.01)
                    name = ("seller_gstin", "buyer_gstin")[min(len(seen), 2) - 1]
                    if len(seen) <= 2:
                        fields.append(Named(name, gstin, sure))
    return fields


def _invoice_number(every_line: Sequence[Line]) -> Named | None:
    tokens = [token for line in every_line for token in line.tokens]
    for token in tokens:
        found = _LABELLED.search(_GLUED.sub(r"\1 \2 ", token.text))
        if found and values.iso_date(found.group(1)) is None and found.group(1).lower() not in ("no", "date"):
            return Named("invoice_no", found.group(1), token.confidence)
    for token in tokens:
        if not _LABEL_ALONE.match(token.text.replace(" ", "")):
            continue
        # Beside it or below it.
        near = [
            other
            for other in tokens
            if _NUMBER_OF_BILL.match(other.text.replace(" ", ""))
            and (
                (abs(other.middle - token.middle) < token.height and other.left > token.right)
                or (0 < other.middle - token.middle < 2.5 * token.height and other.right > token.left)
            )
        ]
        if near:
            best = min(near, key=lambda other: abs(other.middle - token.middle) + abs(other.left - token.right) / 10)
            return Named("invoice_no", best.text.replace(" ", ""), best.confidence)
    return None


def _date(every_line: Sequence[Line]) -> Named | None:
    found = [
        (not re.search(r"date|dt", line.text, re.I), date, token.confidence)
        for line in every_line
        for token in line.tokens
        if (date := values.iso_date(token.text))
    ]
    if not found:
        return None
    _, date, confidence = min(found, key=lambda item: item[0])
    return Named("date", date, confidence)


def _extras(every_line: Sequence[Line], prompt: str) -> list[Named]:
    """Lines such as `Transport: Road` whose label has a word of the prompt; what is not found is told as empty."""
    extras = []
    for wish in re.split(r"[,;\n]|\band\b", prompt):
        words = [word for word in re.findall(r"[A-Za-z]{3,}", wish.lower()) if word not in _STOP_WORDS]
        if not words:
            continue
        best = Named("_".join(words)[:60], "", 0.0)
        for token in (token for line in every_line for token in line.tokens):
            label, colon, value = token.text.partition(":")
            if colon and value.strip() and any(word in label.lower() for word in words):
                best = replace(best, value=value.strip(), confidence=token.confidence)
                break
        extras.append(best)
    return extras[:20]
