"""From pieces of text to a table: rows by their height, columns by where the rows have text, names by the heading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analyzer_service.bills.ocr import Token

# What headings are called, in the order in which they are tried; spaces and punctuation are taken out first.
_HEADINGS = (
    ("sl", r"#|no|sl|si|slno|sno|srno|sr"),
    ("hsn", r"hsn|hsnsac|hsncode|sac|hsnno"),
    ("line_total", r"linetotal|rowtotal|totalamount|totalrs|nettotal"),
    ("description", r"description.*|particulars?|items?|itemname|product.*|goods|details|designs?"),
    ("qty", r"qty|quantity|nos|pcs|pieces|qnty"),
    ("unit", r"units?|uom|per"),
    ("rate", r"rate|price|unitprice|rateinr|mrp"),
    ("discount", r"disc.*"),
    ("amount", r"amount.*|taxable.*|value|amt|total"),
    ("cgst", r"cgst(amount|amt|rs)?"),
    ("sgst", r"(sgst|utgst)(amount|amt|rs)?"),
    ("igst", r"igst(amount|amt|rs)?"),
    ("gst", r"(gst|tax)(amount|amt|rs)?"),
    ("percent", r"%"),
    ("group", r"group|category"),
)
# How labels of sums begin, without spaces; a description may hold such a word, but rarely begins with it.
_SUMMARY = re.compile(
    r"(less|add)?:?(sub|grand|net|g\.)?(total|taxable|[cisu]?t?gst|round(ed)?(off|ing)|(trade|cash)?discount|carried"
    r"|brought|gross|freight|packing|invoicevalue|netamount|billamount|balance|amountpayable)",
    re.I,
)
# A column has text in at least this share of the rows that the fullest one has.
_COVERED = 0.1


@dataclass
class Line:
    """Pieces of text at one height, from left to right."""

    tokens: list[Token] = field(default_factory=list)

    @property
    def middle(self) -> float:
        """Mean height of its centre lines."""
        return float(np.mean([token.middle for token in self.tokens]))

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(token.text for token in self.tokens)


@dataclass
class Grid:
    """The table of one page before its cells are read as values.

    Attributes:
        columns: names, unique, from left to right.
        spans: left and right edge of each column's text.
        rows: per line of the bill the tokens of each column.
        above, below: lines before the heading and after the last row.
    """

    columns: list[str]
    spans: list[tuple[float, float]]
    rows: list[list[list[Token]]]
    above: list[Line]
    below: list[Line]


def lines(tokens: Sequence[Token]) -> list[Line]:
    """Lines from top to bottom; a line may climb or fall slowly, as on a photo."""
    found: list[Line] = []
    height = float(np.median([token.height for token in tokens])) if tokens else 0.0
    for token in sorted(tokens, key=lambda item: item.left):
        near = [
            (abs(line.tokens[-1].middle - token.middle), line)
            for line in found
            if line.tokens[-1].right - token.left < height
        ]
        best = min(near, key=lambda item: item[0], default=None)
        if best is not None and best[0] < 0.55 * height:
            best[1].tokens.append(token)
        else:
            found.append(Line([token]))
    return sorted(found, key=lambda line: line.middle)


def grid(tokens: Sequence[Token]) -> Grid | None:
    """The table of a page; None where no heading is found."""
    all_lines = lines(tokens)
    start = next((index for index, line in enumerate(all_lines) if _is_heading(line)), None)
    if start is None:
        return None
    first, last = _band(all_lines, start)
    leaves = _leaves(all_lines[first : last + 1])
    body = all_lines[last + 1 :]
    end = next((index for index, line in enumerate(body) if _is_summary(line) and index), len(body))
    # A line of a summary may open the table of a later page: "brought forward".
    skipped = 1 if body and _is_summary(body[0]) else 0
    items = body[skipped:end]
    spans = _spans(items, len(leaves))
    if not spans or len(items) == 0:
        return None
    names = _names(leaves, spans)
    rows = [_assigned(line, spans) for line in items]
    return Grid(names, spans, rows, [*all_lines[:first], *body[:skipped]], body[end:])


def heading(text: str) -> str:
    """The column that a heading names; empty where it names none."""
    plain = re.sub(r"[^a-z#%]", "", text.lower())
    return next((name for name, pattern in _HEADINGS if re.fullmatch(pattern, plain)), "")


def _is_heading(line: Line) -> bool:
    names = {heading(token.text) for token in line.tokens} - {""}
    return len(names) >= 3 and bool(names & {"description", "qty", "rate", "hsn"})


def _is_summary(line: Line) -> bool:
    words = [token.text.replace(" ", "") for token in line.tokens if re.search(r"[A-Za-z]{3}", token.text)]
    # A line of goods begins with its number.
    numbered = len(line.tokens) > 3 and re.fullmatch(r"\d{1,3}\.?", line.tokens[0].text) is not None
    return not numbered and 0 < len(words) <= 2 and any(_SUMMARY.match(word) for word in words)


def _band(all_lines: list[Line], start: int) -> tuple[int, int]:
    """First and last line of the heading, which may have two floors and cells between them."""
    reach = 2.0 * float(np.median([token.height for token in all_lines[start].tokens]))

    def belongs(index: int, other: int) -> bool:
        if not 0 <= index < len(all_lines):
            return False
        line = all_lines[index]
        near = abs(line.middle - all_lines[other].middle) < reach
        return near and all(heading(token.text) for token in line.tokens)

    first = last = start
    while belongs(first - 1, first):
        first -= 1
    while belongs(last + 1, last):
        last += 1
    return first, last


def _leaves(band: list[Line]) -> list[tuple[str, Token]]:
    """Headings that stand over a column, named; a heading over others gives them its name instead."""
    tokens = [token for line in band for token in line.tokens]
    upper = band[0].tokens if len(band) > 1 else []
    children: dict[int, list[Token]] = {}
    if len(band) > 1:
        for token in band[-1].tokens:
            if heading(token.text) in ("percent", "amount", "qty", "unit", "rate"):
                parent = min(range(len(upper)), key=lambda i: abs(upper[i].centre - token.centre))
                children.setdefault(parent, []).append(token)
    leaves: list[tuple[str, Token]] = []
    parents = {id(upper[index]) for index, below in children.items() if len(below) > 1}
    parent_of = {id(token): upper[index] for index, below in children.items() if len(below) > 1 for token in below}
    for token in tokens:
        if id(token) in parents:
            continue
        name = heading(token.text)
        if id(token) in parent_of:
            above = heading(parent_of[id(token)].text)
            if above in ("cgst", "sgst", "igst", "gst"):
                name = f"{above}_rate" if name == "percent" else above
        leaves.append((name or re.sub(r"\W+", "_", token.text.lower()).strip("_") or "column", token))
    return sorted(leaves, key=lambda item: item[1].centre)


def _spans(items: list[Line], wanted: int) -> list[tuple[float, float]]:
    """Where the rows have text: columns are parted by what stays empty in nearly all of them."""
    if not items:
        return []
    right = round(max(token.right for line in items for token in line.tokens)) + 2
    covered = np.zeros(right, int)
    for line in items:
        row = np.zeros(right, int)
        for token in line.tokens:
            row[max(round(token.left), 0) : round(token.right)] = 1
        covered += row
    best: list[tuple[float, float]] = []
    for share in (_COVERED, 0.0, 0.2, 0.3):
        filled = covered > share * covered.max()
        edges = np.flatnonzero(np.diff(np.concatenate(([0], filled.astype(int), [0]))))
        spans = [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 5]
        if not best or abs(len(spans) - wanted) < abs(len(best) - wanted):
            best = spans
    return best


def _names(leaves: list[tuple[str, Token]], spans: list[tuple[float, float]]) -> list[str]:
    """A name for each span, in order, so that headings and texts are as near to each other as can be."""
    count, room = len(spans), len(leaves)
    far = 1e9
    cost = np.full((count + 1, room + 1), far)
    cost[0, :] = 0.0
    choice = np.zeros((count + 1, room + 1), int)
    for i in range(1, count + 1):
        # A span without a heading costs as much as one that is far away from it.
        cost[i, 0] = cost[i - 1, 0] + 400
        for j in range(1, room + 1):
            options = (
                cost[i - 1, j - 1] + _distance(leaves[j - 1][1], spans[i - 1]),
                cost[i - 1, j] + 400,
                cost[i, j - 1] + 100,
            )
            choice[i, j] = int(np.argmin(options))
            cost[i, j] = options[choice[i, j]]
    names = [f"column_{i + 1}" for i in range(count)]
    i, j = count, room
    while i and j:
        if choice[i, j] == 0:
            names[i - 1] = leaves[j - 1][0]
            i, j = i - 1, j - 1
        elif choice[i, j] == 1:
            i -= 1
        else:
            j -= 1
    return [name if names.index(name) == i else f"{name}_{i + 1}" for i, name in enumerate(names)]


def _distance(token: Token, span: tuple[float, float]) -> float:
    gap = max(span[0] - token.right, token.left - span[1], 0.0)
    return 2 * gap + 0.2 * abs(token.centre - (span[0] + span[1]) / 2)


def _assigned(line: Line, spans: list[tuple[float, float]]) -> list[list[Token]]:
    cells: list[list[Token]] = [[] for _ in spans]
    for token in line.tokens:
        overlap = [min(token.right, right) - max(token.left, left) for left, right in spans]
        cells[int(np.argmax(overlap))].append(token)
    return cells
