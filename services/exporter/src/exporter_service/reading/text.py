"""Tab-separated templates, as Amazon takes and gives them: the same header rows, one line each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from exporter_service.model import Medium
from exporter_service.reading.book import SheetName, Texts
from exporter_service.xlsx.reading import Area, Validation
from exporter_service.xlsx.styles import Format
from servicekit import errors

SHEET = "Template"
"""The one sheet that a text file has."""
MAX_COLUMNS = 4096
# A line ends where both CR LF and LF do; a lone CR, as very old files have it, too.
_LINE = re.compile(r"\r\n|\n|\r")


class TextBook:
    """A text file as a workbook of one sheet.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE.
    """

    medium = Medium.TXT
    epoch_1904 = False

    def __init__(self, content: bytes) -> None:
        text, encoding = decoded(content)
        self.notes: Sequence[str] = (
            () if encoding == "utf-8" else ("the file is not in UTF-8; what is written from it will be",)
        )
        self._rows = [_cells(line) for line in _LINE.split(text)]
        if not any(len(row) > 1 for row in self._rows):
            raise _unreadable()
        if any(len(row) > MAX_COLUMNS for row in self._rows):
            raise errors.InvalidArgument(
                f"a line of the file has more than {MAX_COLUMNS} columns", reason="TEMPLATE_TOO_LARGE"
            )

    @property
    def sheets(self) -> Sequence[SheetName]:
        """See `Book`."""
        return [SheetName(SHEET)]

    @property
    def names(self) -> Mapping[str, str]:
        """See `Book`."""
        return {}

    def rows(self, sheet: str, first: int, last: int) -> Iterator[tuple[int, Texts]]:
        """See `Book`."""
        for number, row in enumerate(self._rows[first - 1 : last], start=first):
            texts = {column: text for column, text in enumerate(row, start=1) if text}
            if texts:
                yield number, texts

    def block(self, sheet: str, area: Area) -> list[str]:
        """See `Book`."""
        return []

    def fills(self, sheet: str, row: int) -> Mapping[int, str]:
        """See `Book`."""
        return {}

    def formats(self, sheet: str, row: int) -> Mapping[int, Format]:
        """See `Book`."""
        return {}

    def validations(self, sheet: str) -> Sequence[Validation]:
        """See `Book`."""
        return ()

    def formula_columns(self, sheet: str, row: int) -> set[int]:
        """See `Book`."""
        return set()


def header_bytes(content: bytes, data_row: int) -> bytes:
    """The lines above the first product: as they stand where the file is UTF-8 already, otherwise as UTF-8."""
    text, encoding = decoded(content)
    ends = [match.end() for match in _LINE.finditer(text)]
    head = text[: ends[data_row - 2]] if data_row - 2 < len(ends) else text + "\r\n"
    if encoding == "utf-8" and content.startswith(b"\xef\xbb\xbf"):
        return b"\xef\xbb\xbf" + head.encode()
    return head.encode()


def decoded(content: bytes) -> tuple[str, str]:
    """The text of a file and its encoding: UTF-8, UTF-16, or Windows-1252, which has no unread bytes to tell it by.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        candidates = ["utf-16"]
    elif content.startswith(b"\xef\xbb\xbf"):
        candidates = ["utf-8-sig"]
    else:
        candidates = ["utf-8", "cp1252"]
    for encoding in candidates:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text, encoding.removesuffix("-sig")
    raise _unreadable()


def _cells(line: str) -> list[str]:
    """Cells of a line; Excel puts those that hold quotes or commas into quotes."""
    return [
        cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
        for cell in line.split("\t")
    ]


def _unreadable() -> errors.InvalidArgument:
    return errors.InvalidArgument(
        "the file is neither a workbook nor tab-separated text: take .xlsx, .xlsm, .xls, or a tab-separated .txt",
        reason="TEMPLATE_UNREADABLE",
    )
