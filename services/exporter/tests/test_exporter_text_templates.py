"""Tab-separated templates: Amazon's own form, read and written."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

import marketplaces
from exporter_service.exporting import Exporter, Order
from exporter_service.model import Format, Medium, Product, Source, Value
from exporter_service.templates import Templates, read_template
from servicekit import errors

LISTING = marketplaces.load("ama_ear")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_it_is_read_in_every_encoding_that_programs_write(layouts: ModuleType, encoding: str) -> None:
    content = layouts.amazon_text().decode().replace("Version=2026.1101", "Version=2026.1101 ©").encode(encoding)
    template = read_template(LISTING, content, "a.txt", "alya")
    assert (template.medium, template.data_row) == (Medium.TXT, 4)
    assert [column.field for column in template.columns] == [field.name for field in layouts.shuffled(LISTING)]
    said = any("not in UTF-8" in warning for warning in template.warnings)
    assert said is (encoding in ("utf-16", "cp1252"))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
async def test_the_lines_above_stay_byte_for_byte(
    exporter: Exporter, templates: Templates, layouts: ModuleType, stored: Callable[[str], bytes], ending: str
) -> None:
    content = layouts.amazon_text().decode().replace("\n", ending).encode()
    template = await templates.register("ama_ear", content, "a.txt", "")
    value = Value("subject_character", ("tab\there\nand ünïcode ₹",), Source.PERSON)
    done = await exporter.export(Order("ama_ear", [Product("A", fields=(value,)), Product("B")]))
    assert done.url.endswith(".txt")
    written = stored(done.url)
    assert written.startswith(content)
    rows = [line.split("\t") for line in written[len(content) :].decode().split("\r\n")]
    assert [len(row) for row in rows] == [267, 267, 1]
    columns = {column.field: column.number - 1 for column in template.columns}
    assert [row[columns["item_sku"]] for row in rows[:2]] == ["A", "B"]
    assert rows[0][columns["subject_character"]] == "tab here and ünïcode ₹"
    told = {(f.row, f.cell): f.rule for f in done.findings if f.field == "subject_character"}
    assert told == {(4, f"{template.by_key['subject_character'].letters}4"): "line_breaks"}


async def test_products_in_the_file_stay_above(
    exporter: Exporter, templates: Templates, layouts: ModuleType, stored: Callable[[str], bytes]
) -> None:
    names = [field.name for field in layouts.shuffled(LISTING)]
    there = "\t".join("OLD" if name == "item_sku" else "" for name in names)
    content = layouts.amazon_text() + there.encode() + b"\n"
    template = await templates.register("ama_ear", content, "a.txt", "")
    assert template.data_row == 5
    done = await exporter.export(Order("ama_ear", [Product("NEW")]))
    lines = stored(done.url).decode().splitlines()
    at = names.index("item_sku")
    assert [line.split("\t")[at] for line in lines[3:]] == ["OLD", "NEW"]


async def test_a_text_template_is_no_workbook(exporter: Exporter, templates: Templates, layouts: ModuleType) -> None:
    await templates.register("ama_ear", layouts.amazon_text(), "a.txt", "")
    with pytest.raises(errors.InvalidArgument) as caught:
        await exporter.export(Order("ama_ear", [Product("A")], format=Format.XLSX))
    assert caught.value.reason == "FORMAT_UNAVAILABLE"
    done = await exporter.export(Order("ama_ear", [Product("A")], format=Format.CSV, review_copy=True))
    assert done.url.endswith(".csv")
    assert done.review_url.endswith(".review.xlsx")


async def test_a_workbook_template_gives_the_tab_separated_form_too(
    exporter: Exporter, templates: Templates, layouts: ModuleType, stored: Callable[[str], bytes]
) -> None:
    await templates.register("ama_ear", layouts.amazon_unified(), "a.xlsm", "")
    done = await exporter.export(Order("ama_ear", [Product("A")], format=Format.TSV))
    lines = stored(done.url).decode().split("\r\n")
    assert len(lines) == 8
    assert lines[0].startswith("settings=attributeRow=5")
    names, values = lines[4].split("\t"), lines[6].split("\t")
    assert len(names) == len(values) == 51
    assert values[names.index("contribution_sku#1.value")] == "A"
