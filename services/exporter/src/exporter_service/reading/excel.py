"""Workbooks of Excel since 2007: .xlsx and .xlsm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from exporter_service.model import Medium
from exporter_service.reading.book import SheetName, Texts
from exporter_service.xlsx.package import Package, unreadable
from exporter_service.xlsx.reading import Area, Validation, WorkbookReader
from exporter_service.xlsx.scanning import scan
from exporter_service.xlsx.styles import Format
from servicekit import errors

MAX_CELLS = 3_000_000
"""Most cells with text in sheets that are read as a whole."""


class ExcelBook:
    """A workbook that lies open in its package."""

    notes: Sequence[str] = ()

    def __init__(self, package: Package) -> None:
        self._package = package
        self._reader = WorkbookReader(package)
        macros = any(part.endswith("vbaProject.bin") for part in package.parts)
        self.medium = Medium.XLSM if macros else Medium.XLSX
        self.epoch_1904 = self._reader.epoch_1904
        self._grids: dict[str, list[tuple[int, Texts]]] = {}
        self._cells = 0
        if not self._reader.sheets:
            raise unreadable()

    @property
    def sheets(self) -> Sequence[SheetName]:
        """See `Book`."""
        return [SheetName(sheet.name, sheet.hidden) for sheet in self._reader.sheets]

    @property
    def names(self) -> Mapping[str, str]:
        """See `Book`."""
        return self._reader.names

    def rows(self, sheet: str, first: int, last: int) -> Iterator[tuple[int, Texts]]:
        """See `Book`."""
        for line in self._reader.lines(sheet, first, last):
            if line.texts:
                yield line.number, line.texts

    def block(self, sheet: str, area: Area) -> list[str]:
        """See `Book`."""
        name = next((each.name for each in self._reader.sheets if each.name.casefold() == sheet.casefold()), None)
        if name is None:
            return []
        return [
            text
            for number, texts in self._grid(name)
            if area.first_row <= number <= area.last_row
            for column, text in sorted(texts.items())
            if area.first_column <= column <= area.last_column
        ]

    def fills(self, sheet: str, row: int) -> Mapping[int, str]:
        """See `Book`."""
        styles = self._reader.styles
        found = ((column, styles.fill(style)) for column, style in self._style_numbers(sheet, row).items())
        return {column: colour for column, colour in found if colour}

    def formats(self, sheet: str, row: int) -> Mapping[int, Format]:
        """See `Book`."""
        styles = self._reader.styles
        numbers = self._reader.column_styles(sheet) | self._style_numbers(sheet, row)
        return {column: styles.format(style) for column, style in numbers.items()}

    def validations(self, sheet: str) -> Sequence[Validation]:
        """See `Book`."""
        return self._reader.validations(sheet)

    def formula_columns(self, sheet: str, row: int) -> set[int]:
        """See `Book`."""
        part = self._package.sheets()[sheet]
        return scan(self._package.read(part), row).formula_columns()

    def _style_numbers(self, sheet: str, row: int) -> dict[int, int]:
        return next((line.styles for line in self._reader.lines(sheet, row, row)), {})

    def _grid(self, sheet: str) -> list[tuple[int, Texts]]:
        if sheet not in self._grids:
            rows = []
            for number, texts in self.rows(sheet, 1, 1 << 20):
                self._cells += len(texts)
                if self._cells > MAX_CELLS:
                    raise errors.InvalidArgument(
                        "the workbook's lists are longer than a template's", reason="TEMPLATE_TOO_LARGE"
                    )
                rows.append((number, texts))
            self._grids[sheet] = rows
        return self._grids[sheet]
