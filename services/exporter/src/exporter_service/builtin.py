"""Templates made from the field tables, laid out as the marketplace's own.

    python -m exporter_service.builtin FOLDER

writes all of them. They serve sellers who have registered no template yet.
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

import marketplaces
from exporter_service.generation import MADE
from marketplaces import Field, Layout, Listing

# Excel's limit for values written into the validation itself.
INLINE_LIST = 255
# Captions above the lists of allowed values, by the group of their field.
_CAPTIONS = {
    "ai": "Product details",
    "copy": "Product details",
    "image": "Images",
    "variation": "Variations",
    "offer": "Offer",
    "compliance": "Compliance",
}
_THIN = Side(style="thin", color="BFBFBF")
_BORDER = Border(left=_THIN, right=_THIN, top=_THIN, bottom=_THIN)


def build(listing: Listing) -> bytes:
    """The workbook of a listing."""
    layout = listing.layout
    book = Workbook()
    book.properties.created = book.properties.modified = MADE.replace(tzinfo=None)
    book.properties.title = f"{listing.name} {listing.category}"
    book.properties.creator = "built-in template"
    book.remove(book.worksheets[0])
    for name in layout.sheets_before:
        if name != layout.lists_sheet:
            _notes(book.create_sheet(name), listing)
        else:
            book.create_sheet(name)
    sheet = book.create_sheet(layout.sheet)
    lists = book[layout.lists_sheet] if layout.lists_sheet in book.sheetnames else book.create_sheet(layout.lists_sheet)
    if layout.lists_hidden:
        lists.sheet_state = "hidden"
    _header(sheet, listing)
    ranges = _lists(lists, listing)
    _drop_downs(sheet, listing, ranges)
    for number, field in enumerate(listing.fields, start=1):
        column = sheet.column_dimensions[get_column_letter(number)]
        column.width = max(12, min(40, len(field.label) + 4))
        if field.kind == "text":
            # Text format, so that a SKU typed by hand keeps its leading zeros.
            column.number_format = "@"
    sheet.freeze_panes = sheet.cell(layout.data_row, 1)
    book.active = book.worksheets.index(sheet)
    for other in book.worksheets:
        other.sheet_view.tabSelected = other is sheet
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _header(sheet: Worksheet, listing: Listing) -> None:
    layout = listing.layout
    writers: dict[str, Callable[[Field], str]] = {
        "label": lambda field: field.label,
        "name": lambda field: field.name,
        "type_hint": _type_hint,
        "example": lambda field: _example(listing, field),
        "description": lambda field: _help(listing, field),
        "marker": lambda field: layout.markers[_standing(field)],
        "name_and_help": lambda field: f"\n\n{field.name}\n\n{_help(listing, field)}",
    }
    for header in layout.rows:
        if header.content == "settings":
            for number, text in enumerate(_settings(listing), start=1):
                sheet.cell(header.row, number, text)
            continue
        if header.content == "title":
            sheet.cell(header.row, 1, layout.title).font = Font(bold=True, size=12)
            continue
        # The row that names the columns stands out; the others explain.
        names = header.content in ("label", "name", "name_and_help")
        for number, field in enumerate(listing.fields, start=1):
            cell = sheet.cell(header.row, number, writers[header.content](field))
            cell.fill = PatternFill("solid", start_color=_colour(layout, field))
            cell.font = Font(bold=names, italic=not names)
            cell.alignment = Alignment(wrap_text=True, vertical="top")
            cell.border = _BORDER
        sheet.row_dimensions[header.row].height = 90 if header.content in ("description", "name_and_help") else 30


def _standing(field: Field) -> str:
    if field.fixed and not field.default:
        return "reserved"
    return "required" if field.required else "optional"


def _colour(layout: Layout, field: Field) -> str:
    colours = layout.colours
    standing = _standing(field)
    if standing == "required" and field.required_confidence == "inferred":
        standing = "conditional"
    return next((colours[key] for key in (standing, field.group, "required") if key in colours), "FFFFFF")


def _settings(listing: Listing) -> list[str]:
    settings = dict(listing.layout.settings)
    signature = base64.b64encode(listing.category.encode()).decode()
    rest = settings.pop("settings", "")
    cells = [f"{key}={value}" for key, value in settings.items()]
    return [*cells, f"TemplateSignature={signature}", f"settings={rest}"]


def _type_hint(field: Field) -> str:
    if field.kind == "url":
        return "URL"
    if set(field.options) == {"Yes", "No"}:
        return "Boolean"
    if field.options and not field.multi:
        return "Dropdown"
    kind = {"number": "Positive_decimal", "integer": "Positive_integer"}.get(field.kind, "Text")
    return f"MULTI - {kind.upper()}" if field.multi else f"Single - {kind}"


def _example(listing: Listing, field: Field) -> str:
    if field.name == listing.sku:
        return "EAR-0001"
    examples = {"url": "https://example.com/picture.jpg", "number": "499", "integer": "1", "date": "2026-01-31"}
    return field.default or next(iter(field.options), "") or examples.get(field.kind, "")


def _help(listing: Listing, field: Field) -> str:
    if _standing(field) == "reserved":
        return "Filled by the marketplace: leave empty."
    parts = []
    if field.options:
        parts.append("Choose from the list." if not field.multi else "Choose from the list of allowed values.")
    if field.multi:
        parts.append(f"Up to {field.max_values} values, separated by {listing.separator}")
    if field.max_length:
        parts.append(f"At most {field.max_length} {field.length_unit}.")
    if field.kind in ("number", "integer"):
        parts.append("A number written with digits only.")
    return " ".join(parts) or f"{field.label} of the product."


def _lists(sheet: Worksheet, listing: Listing) -> dict[str, str]:
    """Writes all allowed values, a column per field; gives the range of each field's values."""
    first = listing.layout.lists_first_row
    ranges = {}
    for number, field in enumerate((f for f in listing.fields if f.options), start=1):
        letter = get_column_letter(number)
        if first > 2:
            sheet.cell(1, number, _CAPTIONS.get(field.group, "Listing"))
        sheet.cell(first - 1, number, field.label).font = Font(bold=True)
        for row, option in enumerate(field.options, start=first):
            cell = sheet.cell(row, number, option)
            cell.data_type = "s"  # an option that looks like a formula is text
            cell.number_format = "@"
        last = first + len(field.options) - 1
        ranges[field.name] = f"'{sheet.title}'!${letter}${first}:${letter}${last}"
        sheet.column_dimensions[letter].width = max(12, min(40, max(len(option) for option in field.options) + 2))
    return ranges


def _drop_downs(sheet: Worksheet, listing: Listing, ranges: dict[str, str]) -> None:
    layout = listing.layout
    for number, field in enumerate(listing.fields, start=1):
        # A cell with several values joined is in no list; such fields are checked when rows are written.
        if not field.options or field.multi:
            continue
        inline = ",".join(field.options)
        fits = len(inline) + 2 <= INLINE_LIST and not any(char in option for option in field.options for char in ',"')
        rule = DataValidation(
            type="list", formula1=f'"{inline}"' if fits else ranges[field.name], allow_blank=True, showErrorMessage=True
        )
        rule.errorTitle, rule.error = "Not in the list", f"Choose a value of {field.label} from the list."
        letter = get_column_letter(number)
        rule.add(f"{letter}{layout.data_row}:{letter}{layout.last_list_row}")
        sheet.add_data_validation(rule)


def _notes(sheet: Worksheet, listing: Listing) -> None:
    sheet.cell(1, 1, f"{listing.name}: {listing.category}").font = Font(bold=True, size=12)
    sheet.cell(2, 1, f"Products go into the sheet {listing.layout.sheet!r}, from row {listing.layout.data_row} on.")
    sheet.cell(
        3, 1, "This is a built-in template. A template downloaded from the marketplace can be registered instead."
    )
    sheet.column_dimensions["A"].width = 100


def write_all(folder: Path, codes: Iterable[str] = marketplaces.CODES) -> None:
    """Writes the built-in templates into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for code in codes:
        listing = marketplaces.load(code)
        path = folder / f"{code}.xlsx"
        path.write_bytes(build(listing))
        print(f"{path}: {len(listing.fields)} columns")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write_all(Path(sys.argv[1]))
