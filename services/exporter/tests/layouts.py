"""Workbooks laid out as the marketplaces hand them out, for tests: not the built-in ones, and not made by their code.

What is here follows what was seen of real templates: order and kind of sheets, header rows, where lists of allowed
values lie, how wanted columns are marked. Columns stand in an order of their own, some are unknown to the data, and
the packages hold what a careless writer loses: extension drop-downs, comments, hidden sheets, macros, custom XML.

    python services/exporter/tests/layouts.py FOLDER

writes all of them. `data/flipkart_earring.xls` is the first Flipkart one, saved by LibreOffice in its older format:

    soffice --headless --convert-to xls:"MS Excel 97" fli_ear.xlsx
"""

from __future__ import annotations

import base64
import io
import random
import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from openpyxl import Workbook
from openpyxl.comments import Comment
from openpyxl.styles import Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

import marketplaces
from marketplaces import Field, Listing

IN = "A21TJRUUN4KGV"
FLIPKART_COLOURS = {"reserved": "C0C0C0", "required": "8DB4E2", "conditional": "CC99FF", "optional": "94D050"}
_EXTENSION = (
    '<extLst><ext xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main" '
    'uri="{{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}}"><x14:dataValidations '
    'xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main" count="1"><x14:dataValidation type="list" '
    'allowBlank="1" showErrorMessage="1"><x14:formula1><xm:f>{formula}</xm:f></x14:formula1><xm:sqref>{area}</xm:sqref>'
    "</x14:dataValidation></x14:dataValidations></ext></extLst>"
)


def shuffled(listing: Listing) -> list[Field]:
    """The fields in an order that is not the data's, the same each time; Flipkart's own columns stay in front."""
    fixed = [field for field in listing.fields if field.fixed and not field.default]
    rest = [field for field in listing.fields if field not in fixed]
    random.Random(listing.code).shuffle(rest)
    return [*fixed, *rest]


def saved(book: Workbook) -> bytes:
    """The bytes of a workbook."""
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def with_parts(content: bytes, sheet: str, extension: str = "", macros: bool = False) -> bytes:
    """A workbook with what openpyxl cannot write: an extension drop-down, custom XML, macros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            data = source.read(info)
            if extension and info.filename == sheet:
                data = data.replace(b"</worksheet>", extension.encode() + b"</worksheet>")
            if info.filename == "[Content_Types].xml" and macros:
                data = data.replace(
                    b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
                    b"application/vnd.ms-excel.sheet.macroEnabled.main+xml",
                ).replace(
                    b"</Types>",
                    b'<Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/></Types>',
                )
            if info.filename == "xl/_rels/workbook.xml.rels" and macros:
                data = data.replace(
                    b"</Relationships>",
                    b'<Relationship Id="rIdVba" Target="vbaProject.bin" Type="http://schemas.microsoft.com/office/2006/'
                    b'relationships/vbaProject"/></Relationships>',
                )
            target.writestr(info, data)
        target.writestr("customXml/item1.xml", "<seller><id>A1B2C3</id></seller>")
        if macros:
            target.writestr("xl/vbaProject.bin", bytes(range(256)) * 40)
    return buffer.getvalue()


def extension_list(area: str, formula: str) -> str:
    """An extension drop-down, as Excel writes one that refers to another sheet."""
    return _EXTENSION.format(area=area, formula=formula)


@cache
def amazon_legacy(code: str = "ama_ear", macros: bool = True) -> bytes:
    """Settings line, labels, technical names, products from row 4; a second sheet with the same header."""
    listing = marketplaces.load(code)
    fields = shuffled(listing)
    fields.insert(5, Field(name="metal_finish_note", label="Metal Finish Note", group="seller_input"))
    book = Workbook()
    book.worksheets[0].title = "Instructions"
    book.worksheets[0]["A1"] = "How to use this template"
    book.create_sheet("Images")
    definitions = book.create_sheet("Data Definitions")
    definitions.append(["Group Name", "Field Name", "Local Label Name", "Definition and Use", "Accepted Values",
                        "Example", "Required?"])  # fmt: skip
    for field in fields:
        standing = {True: "Required", False: "Optional", None: "Recommended"}[field.required]
        definitions.append(["", field.name, field.label, "What it is", "", "", standing])
    for title in ("Template", "Example"):
        _amazon_header(book.create_sheet(title), listing, fields)
    book["Example"]["A4"] = "ABC123"
    values = book.create_sheet("Valid Values")
    book.create_sheet("Browse Data").sheet_state = "hidden"
    sheet = book["Template"]
    extension = ""
    for number, field in enumerate((field for field in fields if field.options), start=1):
        letter = get_column_letter(number)
        values.cell(1, number, "Product Details")
        values.cell(2, number, field.label)
        for row, option in enumerate(field.options, start=3):
            values.cell(row, number, option).data_type = "s"
        reference = f"'Valid Values'!${letter}$3:${letter}${len(field.options) + 2}"
        column = get_column_letter(fields.index(field) + 1)
        area = f"{column}4:{column}1000"
        if not extension:
            extension = extension_list(area, reference)
            continue
        if number % 2:
            name = f"{field.name}_list"
            book.defined_names[name] = DefinedName(name, attr_text=reference)
            reference = name
        rule = DataValidation(type="list", formula1=reference, allow_blank=True)
        rule.add(area)
        sheet.add_data_validation(rule)
    sheet["B2"].comment = Comment("Unique for each product", "Amazon")
    part = f"xl/worksheets/sheet{book.sheetnames.index('Template') + 1}.xml"
    return with_parts(saved(book), part, extension, macros)


def _amazon_header(sheet: Worksheet, listing: Listing, fields: Sequence[Field]) -> None:
    signature = base64.b64encode(listing.category.encode()).decode()
    settings = (
        "settings=attributeRow=3&contentLanguageTag=en_IN&dataRow=4&feedType=113&headerLanguageTag=en_IN&labelRow=2"
        f"&primaryMarketplaceId=amzn1.mp.o.{IN}&templateIdentifier=5f1c&timestamp=2026-11-01"
    )
    first = ["TemplateType=fptcustom", "Version=2026.1101", f"TemplateSignature={signature}", settings, "", "Offer"]
    for column, text in enumerate(first, start=1):
        sheet.cell(1, column, text)
    for column, field in enumerate(fields, start=1):
        cell = sheet.cell(2, column, field.label)
        cell.font = Font(bold=True)
        cell.fill = PatternFill("solid", start_color="FCD5B4")
        sheet.cell(3, column, field.name)


UNIFIED = {
    "contribution_sku#1.value": "item_sku",
    "product_type#1.value": "feed_product_type",
    "::record_action": "update_delete",
    f"parentage_level[marketplace_id={IN}]#1.value": "parent_child",
    f"child_parent_sku_relationship[marketplace_id={IN}]#1.parent_sku": "parent_sku",
    "variation_theme#1.name": "variation_theme",
    f"item_name[marketplace_id={IN}][language_tag=en_IN]#1.value": "item_name",
    f"brand[marketplace_id={IN}][language_tag=en_IN]#1.value": "brand_name",
    "amzn1.volt.ca.product_id_type": "external_product_id_type",
    "amzn1.volt.ca.product_id_value": "external_product_id",
    f"recommended_browse_nodes[marketplace_id={IN}]#1.value": "recommended_browse_nodes",
    f"model_number[marketplace_id={IN}]#1.value": "model",
    f"manufacturer[marketplace_id={IN}][language_tag=en_IN]#1.value": "manufacturer",
    f"main_product_image_locator[marketplace_id={IN}]#1.media_location": "main_image_url",
    f"other_product_image_locator_1[marketplace_id={IN}]#1.media_location": "other_image_url1",
    f"other_product_image_locator_2[marketplace_id={IN}]#1.media_location": "other_image_url2",
    f"product_description[marketplace_id={IN}][language_tag=en_IN]#1.value": "product_description",
    f"bullet_point[marketplace_id={IN}][language_tag=en_IN]#1.value": "bullet_point1",
    f"bullet_point[marketplace_id={IN}][language_tag=en_IN]#2.value": "bullet_point2",
    f"bullet_point[marketplace_id={IN}][language_tag=en_IN]#3.value": "bullet_point3",
    f"bullet_point[marketplace_id={IN}][language_tag=en_IN]#4.value": "bullet_point4",
    f"bullet_point[marketplace_id={IN}][language_tag=en_IN]#5.value": "bullet_point5",
    f"generic_keyword[marketplace_id={IN}][language_tag=en_IN]#1.value": "generic_keywords",
    f"department[marketplace_id={IN}][language_tag=en_IN]#1.value": "department_name",
    f"target_gender[marketplace_id={IN}]#1.value": "target_gender",
    f"material[marketplace_id={IN}][language_tag=en_IN]#1.value": "material_type",
    f"metal_type[marketplace_id={IN}]#1.value": "metal_type",
    f"gem_type[marketplace_id={IN}][language_tag=en_IN]#1.value": "gem_type",
    f"color[marketplace_id={IN}][language_tag=en_IN]#1.standardized_values#1": "color_map",
    f"color[marketplace_id={IN}][language_tag=en_IN]#1.value": "color_name",
    f"occasion_type[marketplace_id={IN}][language_tag=en_IN]#1.value": "occasion_type1",
    f"occasion_type[marketplace_id={IN}][language_tag=en_IN]#2.value": "occasion_type2",
    f"unit_count[marketplace_id={IN}]#1.value": "unit_count",
    f"unit_count[marketplace_id={IN}]#1.type[language_tag=en_IN].value": "unit_count_type",
    f"item_length[marketplace_id={IN}]#1.value": "item_length",
    f"item_length[marketplace_id={IN}]#1.unit": "item_length_unit_of_measure",
    f"external_product_information[marketplace_id={IN}]#1.entity": "external_product_information_entity",
    f"external_product_information[marketplace_id={IN}]#1.value": "external_product_information",
    "stones#1.type.value": "stones_type",
    "metals#1.metal_stamp.value": "metals_metal_stamp",
    f"condition_type[marketplace_id={IN}]#1.value": "condition_type",
    "product_tax_code#1.value": "product_tax_code",
    f"country_of_origin[marketplace_id={IN}]#1.value": "country_of_origin",
    "fulfillment_availability#1.quantity": "quantity",
    "fulfillment_availability#1.restock_date": "restock_date",
    f"purchasable_offer[marketplace_id={IN}][audience=ALL]#1.our_price#1.schedule#1.value_with_tax": "standard_price",
    f"purchasable_offer[marketplace_id={IN}][audience=ALL]#1.maximum_retail_price#1.schedule#1.value_with_tax": (
        "maximum_retail_price"
    ),
    f"purchasable_offer[marketplace_id={IN}][audience=ALL]#1.discounted_price#1.schedule#1.start_at": "sale_from_date",
    f"purchasable_offer[marketplace_id={IN}][audience=B2B]#1.our_price#1.schedule#1.value_with_tax": "business_price",
    f"sustainability_note[marketplace_id={IN}]#1.value": "",
    f"ships_globally[marketplace_id={IN}]#1.value": "",
}
"""Attribute names of a unified template, and the field that each stands for; "" for one that the data lacks."""


@cache
def amazon_unified(code: str = "ama_ear") -> bytes:
    """Row numbers in A1, attribute names in row 5, an example in row 6, products from row 7; lists behind names that
    are put together from the product type and the attribute."""
    listing = marketplaces.load(code)
    kind = {"earrings": "EARRING", "necklace": "NECKLACE", "bracelet": "BRACELET"}[listing.category]
    known = {field.name: field for field in (*listing.fields, *listing.extras)}
    book = Workbook()
    book.worksheets[0].title = "Instructions"
    sheet = book.create_sheet("Template")
    values = book.create_sheet("Valid Values")
    lists = book.create_sheet("Dropdown Lists")
    lists.sheet_state = "hidden"
    packed = base64.b64encode(kind.encode()).decode()
    sheet["A1"] = (
        f"settings=attributeRow=5&contentLanguageTag=en_IN&dataRow=7&feedType=256&labelRow=4&ptds={packed}"
        f"&primaryMarketplaceId=amzn1.mp.o.{IN}&templateIdentifier=9a2b"
    )
    sheet["A3"] = "Listing Identity"
    order = list(UNIFIED.items())
    random.Random(code).shuffle(order)
    special = {
        "update_delete": ["Create or Replace (Full Update)", "Edit (Partial Update)", "Delete"],
        "variation_theme": ["COLOR", "SIZE", "SIZE/COLOR"],
        "item_length_unit_of_measure": ["Millimetres", "Centimetres", "Inches"],
        "feed_product_type": [kind],
    }
    at = 0
    for column, (attribute, name) in enumerate(order, start=1):
        field = known.get(name)
        unknown = "Ships Globally" if "ships" in attribute else "Sustainability Note"
        label = field.label if field is not None else unknown
        sheet.cell(4, column, label)
        sheet.cell(5, column, attribute)
        options = special.get(name, list(field.options) if field is not None else [])
        if name == "item_sku":
            sheet.cell(6, column, "ABC123")
        if name in ("restock_date", "sale_from_date"):
            sheet.column_dimensions[get_column_letter(column)].number_format = "yyyy\\-mm\\-dd"
        if not options:
            continue
        at += 1
        letter = get_column_letter(at)
        for row, option in enumerate(options, start=4):
            lists.cell(row, at, option).data_type = "s"
        plain = re.sub(r"[\[\]=#:\s]", "", attribute)
        book.defined_names[f"{kind}{plain}"] = DefinedName(
            f"{kind}{plain}", attr_text=f"'Dropdown Lists'!${letter}$4:${letter}${len(options) + 3}"
        )
        values.append(["", f"{label} - [ {kind} ] :", *options])
        formula = f'IF($A7="{kind}",INDIRECT(SUBSTITUTE($A7,"-","_")&"{plain[:80]}"),"")'
        rule = DataValidation(type="list", formula1=formula, allow_blank=True)
        rule.add(f"{get_column_letter(column)}7:{get_column_letter(column)}5000")
        sheet.add_data_validation(rule)
    return with_parts(saved(book), "", macros=True)


@cache
def flipkart(code: str = "fli_ear", column_lists: bool = True) -> bytes:
    """Sheet by vertical, labels with colours in row 1, hints, example and description below, products from row 5."""
    listing = marketplaces.load(code)
    fields = shuffled(listing)
    fields.append(Field(name="Bead Count", label="Bead Count", group="seller_input", kind="integer"))
    vertical = listing.template.sheets[0]
    book = Workbook()
    book.worksheets[0].title = "Summary Sheet"
    book.worksheets[0]["A1"] = "Instructions"
    index = book.create_sheet("Index")
    index["A1"], index["A2"], index["C1"] = "Sub-categories in the file", vertical, "Allowed Values"
    sheet = book.create_sheet(vertical)
    book.create_sheet("Parent Variant Products")
    thin = Side(style="thin")
    in_index = 3
    for column, field in enumerate(fields, start=1):
        standing = "reserved" if field.fixed and not field.default else "required" if field.required else "optional"
        cell = sheet.cell(1, column, field.label)
        cell.fill = PatternFill("solid", start_color=FLIPKART_COLOURS[standing])
        sheet.cell(2, column, _hint(field))
        sheet.cell(3, column, "example")
        sheet.cell(4, column, "description of the attribute")
        for row in range(5, 9):
            sheet.cell(row, column).border = Border(bottom=thin)
        if not field.options or set(field.options) == {"Yes", "No"}:
            continue
        if field.name in ("Color", "Type", "Base Material", "Occasion") or field.multi or not column_lists:
            in_index += 1
            index.cell(2, in_index, field.label)
            for row, option in enumerate(field.options, start=3):
                index.cell(row, in_index, option).data_type = "s"
            continue
        values = book.create_sheet(f"DropDownValuesForColumn{column - 1}")
        values.sheet_state = "hidden"
        for row, option in enumerate(field.options, start=1):
            values.cell(row, 1, option).data_type = "s"
        name = f"ListForColumn{column - 1}"
        book.defined_names[name] = DefinedName(name, attr_text=f"{values.title}!$A$1:$A${len(field.options)}")
        rule = DataValidation(type="list", formula1=name, allow_blank=True)
        rule.add(f"{get_column_letter(column)}5:{get_column_letter(column)}1000")
        sheet.add_data_validation(rule)
    # A list that stands at the number of a column in which text is typed freely, as was seen.
    free = next(number for number, field in enumerate(fields) if field.name == "Description")
    stray = book.create_sheet(f"DropDownValuesForColumn{free}")
    stray["A1"] = "of another column"
    return with_parts(saved(book), "")


def _hint(field: Field) -> str:
    if field.multi or field.name == "Description":
        return "MULTI - TEXT"
    if field.kind == "url":
        return "URL"
    if set(field.options) == {"Yes", "No"}:
        return "Single - Boolean"
    if field.options:
        return "Dropdown"
    return {"integer": "Single - Positive_integer", "number": "Single - Decimal"}.get(field.kind, "Single - Text")


@cache
def meesho(code: str = "mee_ear") -> bytes:
    """Marker above each name, the name in the first line of row 3 that is not empty, products from row 4."""
    listing = marketplaces.load(code)
    fields = shuffled(listing)
    fields.append(Field(name="Warranty Months", label="Warranty Months", group="seller_input"))
    book = Workbook()
    book.worksheets[0].title = "Instructions"
    sheet = book.create_sheet(listing.layout.sheet)
    _meesho_header(sheet, fields)
    _meesho_header(book.create_sheet("Example Sheet"), fields)
    values = book.create_sheet("Validation Sheet")
    values.sheet_state = "hidden"
    book.create_sheet("Return Reasons")
    for number, field in enumerate((field for field in fields if field.options), start=1):
        letter = get_column_letter(number)
        values.cell(1, number, field.label)
        for row, option in enumerate(field.options, start=2):
            values.cell(row, number, option).data_type = "s"
        rule = DataValidation(
            type="list", formula1=f"'Validation Sheet'!${letter}$2:${letter}${len(field.options) + 1}", allow_blank=True
        )
        column = get_column_letter(fields.index(field) + 1)
        rule.add(f"{column}4:{column}309")
        sheet.add_data_validation(rule)
    length = DataValidation(type="textLength", operator="lessThanOrEqual", formula1="70")
    column = get_column_letter(next(n for n, field in enumerate(fields, start=1) if field.name == "Product Name"))
    length.add(f"{column}4:{column}309")
    sheet.add_data_validation(length)
    return with_parts(saved(book), "")


def _meesho_header(sheet: Worksheet, fields: Sequence[Field]) -> None:
    sheet["A1"] = "Fill this sheet. Do not change the header."
    for column, field in enumerate(fields, start=1):
        marker = "Do not fill this column" if field.fixed else "Optional Field"
        sheet.cell(2, column, "* Compulsory Field" if field.required else marker)
        sheet.cell(3, column, f"\n\n{field.name}\n\nWrite what it is. {field.label} helps buyers.")


@cache
def amazon_text(code: str = "ama_ear", encoding: str = "utf-8") -> bytes:
    """The tab-separated form of the legacy template."""
    listing = marketplaces.load(code)
    fields = shuffled(listing)
    book = Workbook()
    _amazon_header(book.worksheets[0], listing, fields)
    rows = book.worksheets[0].iter_rows(values_only=True)
    lines = ["\t".join("" if cell is None else str(cell) for cell in row) for row in rows]
    return ("\n".join(lines) + "\n").encode(encoding)


BY_CODE: dict[str, Callable[[str], bytes]] = {
    "ama_ear": amazon_legacy,
    "ama_nec": amazon_unified,
    "ama_bra": amazon_legacy,
    "fli_ear": flipkart,
    "fli_nec": flipkart,
    "fli_bra": flipkart,
    "mee_ear": meesho,
    "mee_nec": meesho,
    "mee_bra": meesho,
    "sho_ear": flipkart,
}


def write_all(folder: Path) -> None:
    """Writes every layout into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for code, make in BY_CODE.items():
        (folder / f"{code}.{'xlsm' if code.startswith('ama') else 'xlsx'}").write_bytes(make(code))
    (folder / "ama_ear_unified.xlsm").write_bytes(amazon_unified())
    (folder / "ama_ear.txt").write_bytes(amazon_text())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write_all(Path(sys.argv[1]))
