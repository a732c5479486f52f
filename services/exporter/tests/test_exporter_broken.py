"""Workbooks that cannot be taken: each is refused with its own reason, and nothing of it is stored."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from openpyxl import Workbook, load_workbook

import marketplaces
from exporter_service.reading import opening
from exporter_service.templates import Templates, read_template
from exporter_service.xls import records as biff
from exporter_service.xls.compound import CompoundFile
from exporter_service.xlsx import package
from servicekit import errors

Refused = Callable[..., object]

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


@pytest.fixture
def refused(templates: Templates, tmp_path: Path) -> Refused:
    """Registers a file that must be refused; gives the sentence."""

    async def check(content: bytes, reason: str, code: str = "mee_ear") -> str:
        with pytest.raises(errors.InvalidArgument) as caught:
            await templates.register(code, content, "seller.xlsx", "")
        assert caught.value.reason == reason
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        return caught.value.message

    return check


def changed(content: bytes, change: Callable[[str, bytes], bytes], *added: tuple[str, bytes]) -> bytes:
    """A package with parts changed and added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
        for name, data in added:
            target.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"no workbook at all",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"<html><table><tr><td>Seller SKU ID</td></tr></table></html>",
        b"\xff\xfe\0",
        b"PK\x03\x04 and then nothing",
        bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600),
        b'<?xml version="1.0"?><Workbook/>',
    ],
)
async def test_what_is_no_workbook(refused: Refused, content: bytes) -> None:
    await refused(content, "TEMPLATE_UNREADABLE")  # type: ignore[misc]


async def test_an_empty_file(refused: Refused) -> None:
    await refused(b"", "TEMPLATE_EMPTY")  # type: ignore[misc]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
async def test_a_file_that_is_cut_off(refused: Refused, layouts: ModuleType, old_workbook: bytes, share: float) -> None:
    for content, code in ((layouts.meesho(), "mee_ear"), (old_workbook, "fli_ear")):
        await refused(content[: int(len(content) * share)], "TEMPLATE_UNREADABLE", code)  # type: ignore[misc]


async def test_bytes_that_changed_on_their_way(refused: Refused, layouts: ModuleType) -> None:
    """Also in parts that nobody looks into: what is stored is what the seller sent."""
    content = layouts.meesho()
    info = zipfile.ZipFile(io.BytesIO(content)).getinfo("docProps/app.xml")
    at = info.header_offset + 30 + len(info.filename) + 20
    await refused(content[:at] + b"\xa5\x5a" + content[at + 2 :], "TEMPLATE_UNREADABLE")  # type: ignore[misc]


async def test_more_bytes_than_a_template_has(refused: Refused) -> None:
    said = await refused(bytes(200 * 1024 * 1024), "TEMPLATE_TOO_LARGE")  # type: ignore[misc]
    assert "200 MiB" in said
    assert "20 MiB" in said


async def test_a_zip_that_unpacks_to_more_than_it_should(refused: Refused) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open("xl/workbook.xml", "w") as handle:
        for _ in range(opening.MAX_UNPACKED // (1 << 20) + 1):
            handle.write(b" " * (1 << 20))
    assert len(buffer.getvalue()) < 1 << 20
    await refused(buffer.getvalue(), "TEMPLATE_TOO_LARGE")  # type: ignore[misc]


async def test_a_zip_that_lies_about_its_sizes(refused: Refused, layouts: ModuleType) -> None:
    content = changed(layouts.meesho(), lambda name, data: data, ("xl/huge.xml", b" " * (32 << 20)))
    size = struct.pack("<I", 32 << 20)
    assert content.count(size) == 2
    await refused(content.replace(size, struct.pack("<I", 100)), "TEMPLATE_UNREADABLE")  # type: ignore[misc]


async def test_one_part_that_is_too_large(
    refused: Refused, layouts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "MAX_PART", 2000)
    await refused(layouts.meesho(), "TEMPLATE_TOO_LARGE")  # type: ignore[misc]


async def test_more_parts_than_a_workbook_has(refused: Refused) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as many:
        for number in range(package.MAX_PARTS + 1):
            many.writestr(f"{number}.xml", "")
    await refused(buffer.getvalue(), "TEMPLATE_TOO_LARGE")  # type: ignore[misc]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
async def test_a_part_that_is_there_twice(refused: Refused, layouts: ModuleType) -> None:
    twice = changed(layouts.meesho(), lambda name, data: data, ("xl/workbook.xml", b"<workbook/>"))
    await refused(twice, "TEMPLATE_UNREADABLE")  # type: ignore[misc]


async def test_xml_that_defines_entities(refused: Refused, layouts: ModuleType) -> None:
    """A billion laughs unpack in memory, whatever the package's sizes say."""
    laughs = b'<!DOCTYPE w [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'

    def change(name: str, data: bytes) -> bytes:
        return data.replace(b"<worksheet", laughs + b"<worksheet", 1) if name.endswith("sheet2.xml") else data

    await refused(changed(layouts.meesho(), change), "TEMPLATE_UNREADABLE")  # type: ignore[misc]


async def test_a_password(refused: Refused, layouts: ModuleType, old_workbook: bytes) -> None:
    """A workbook with a password is a compound file with the workbook encrypted in it, or an .xls that says so."""
    encrypted = old_workbook.replace(
        "Workbook".encode("utf-16-le") + bytes(48) + struct.pack("<H", 18),
        "EncryptedPackage".encode("utf-16-le") + bytes(32) + struct.pack("<H", 34),
    )
    assert encrypted != old_workbook
    await refused(encrypted, "TEMPLATE_ENCRYPTED")  # type: ignore[misc]
    told = with_record(old_workbook, struct.pack("<HHHHH", biff.FILEPASS, 6, 0, 1, 2))
    await refused(told, "TEMPLATE_ENCRYPTED", "fli_ear")  # type: ignore[misc]
    flagged = bytearray(layouts.meesho())
    for match in re.finditer(rb"PK\x01\x02", bytes(flagged)):
        flagged[match.start() + 8] |= 1
    await refused(bytes(flagged), "TEMPLATE_ENCRYPTED")  # type: ignore[misc]


def with_record(content: bytes, record: bytes) -> bytes:
    """An .xls with one more record behind its first one."""
    file = CompoundFile(content)
    stream = biff.workbook_stream(file)
    end = next(biff.records(stream)).end
    return file.with_stream("Workbook", stream[:end] + record + stream[end:])


async def test_links_to_other_workbooks(refused: Refused, layouts: ModuleType, old_workbook: bytes) -> None:
    content = layouts.meesho()
    linked = changed(content, lambda name, data: data, ("xl/externalLinks/externalLink1.xml", b"<externalLink/>"))
    said = await refused(linked, "TEMPLATE_EXTERNAL_LINKS")  # type: ignore[misc]
    assert "externalLink1.xml" in said
    picture = f'<Relationship Id="p" TargetMode="External" Target="http://x/a.png" Type="{_RELATIONS}/image"/>'.encode()

    def change(name: str, data: bytes) -> bytes:
        found = name == "xl/_rels/workbook.xml.rels"
        return data.replace(b"</Relationships>", picture + b"</Relationships>") if found else data

    await refused(changed(content, change), "TEMPLATE_EXTERNAL_LINKS")  # type: ignore[misc]
    book = struct.pack("<HHHH", biff.SUPBOOK, 4 + 9, 1, 6) + b"\0C:\\b.x"[:7].ljust(9, b"\0")
    await refused(with_record(old_workbook, book), "TEMPLATE_EXTERNAL_LINKS", "fli_ear")  # type: ignore[misc]


def test_links_that_only_lead_to_help_are_no_harm(layouts: ModuleType) -> None:
    book = load_workbook(io.BytesIO(layouts.meesho()))
    book["Instructions"]["A2"].hyperlink = "https://supplier.example.com/help"
    assert read_template(marketplaces.load("mee_ear"), layouts.saved(book), "", "alya").columns


async def test_a_workbook_without_a_header(refused: Refused) -> None:
    book = Workbook()
    book.worksheets[0].append(["Name", "Colour", "Price"])
    buffer = io.BytesIO()
    book.save(buffer)
    said = await refused(buffer.getvalue(), "TEMPLATE_NO_HEADER", "ama_ear")  # type: ignore[misc]
    assert "'Seller SKU'" in said
    assert "'Sheet'" in said


async def test_text_without_a_header(refused: Refused) -> None:
    await refused(b"a\tb\tc\n1\t2\t3\n", "TEMPLATE_NO_HEADER", "ama_ear")  # type: ignore[misc]


async def test_a_header_in_a_hidden_sheet_is_none(refused: Refused, layouts: ModuleType) -> None:
    book = load_workbook(io.BytesIO(layouts.meesho()))
    book["Earrings & Studs-Fill this"].sheet_state = "hidden"
    await refused(layouts.saved(book), "TEMPLATE_NO_HEADER")  # type: ignore[misc]


async def test_two_sheets_that_could_be_meant(refused: Refused, layouts: ModuleType) -> None:
    book = load_workbook(io.BytesIO(layouts.meesho()))
    copy = book.copy_worksheet(book["Earrings & Studs-Fill this"])
    copy.title = "Rings-Fill this"
    said = await refused(layouts.saved(book), "TEMPLATE_AMBIGUOUS")  # type: ignore[misc]
    assert "'Rings-Fill this'" in said
    copy.sheet_state = "hidden"
    assert read_template(marketplaces.load("mee_ear"), layouts.saved(book), "", "alya").columns


async def test_two_rows_that_could_be_meant(refused: Refused, layouts: ModuleType) -> None:
    book = load_workbook(io.BytesIO(layouts.flipkart()))
    sheet = book["earring"]
    for column in range(1, sheet.max_column + 1):
        sheet.cell(9, column, sheet.cell(1, column).value)
    said = await refused(layouts.saved(book), "TEMPLATE_AMBIGUOUS", "fli_ear")  # type: ignore[misc]
    assert "rows 1 and 9" in said


@pytest.mark.parametrize(("made_for", "taken_for"), [("fli_nec", "fli_ear"), ("mee_nec", "mee_bra")])
async def test_a_workbook_for_another_category(
    refused: Refused, layouts: ModuleType, made_for: str, taken_for: str
) -> None:
    content = layouts.BY_CODE[made_for](made_for)
    said = await refused(content, "TEMPLATE_MISMATCH", taken_for)  # type: ignore[misc]
    assert f"register the workbook for {made_for}" in said


async def test_a_workbook_of_excel_95(refused: Refused, old_workbook: bytes) -> None:
    old = old_workbook.replace(
        "Workbook".encode("utf-16-le") + bytes(48) + struct.pack("<H", 18),
        "Book".encode("utf-16-le") + bytes(56) + struct.pack("<H", 10),
    )
    await refused(old, "TEMPLATE_OLD", "fli_ear")  # type: ignore[misc]


def test_more_cells_than_a_template_has(old_workbook: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(biff, "MAX_CELLS", 100)
    with pytest.raises(errors.InvalidArgument) as caught:
        opening.opened(old_workbook)
    assert caught.value.reason == "TEMPLATE_TOO_LARGE"


@pytest.mark.parametrize("form", ["xlsx", "xls", "txt"])
def test_whatever_is_broken_ends_in_a_typed_error_or_is_read(
    form: str, layouts: ModuleType, old_workbook: bytes
) -> None:
    """Random damage, the same each time; inside a package to the XML itself, so that no checksum is in its way."""
    whole = {"xlsx": layouts.meesho(), "xls": old_workbook, "txt": layouts.amazon_text()}[form]
    code = {"xlsx": "mee_ear", "xls": "fli_ear", "txt": "ama_ear"}[form]
    for seed in range(40):
        chance = random.Random(seed)
        parts = ["xl/worksheets/sheet2.xml", "xl/workbook.xml", "xl/styles.xml", "xl/sharedStrings.xml"]
        hit = chance.choice(parts)
        content = _with_hurt_part(whole, hit, chance) if form == "xlsx" else _hurt(whole, chance)
        refusal = None
        try:
            read_template(marketplaces.load(code), content, "", "alya")
        except errors.InvalidArgument as error:
            refusal = error
        assert refusal is None or str(refusal.reason).startswith("TEMPLATE_"), seed


def _with_hurt_part(content: bytes, part: str, chance: random.Random) -> bytes:
    return changed(content, lambda name, data: _hurt(data, chance) if name == part else data)


def _hurt(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed or left out."""
    broken = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(broken))
        if chance.random() < 0.3:
            del broken[at : at + chance.randint(1, 40)]
        else:
            broken[at] = chance.randrange(256)
    return bytes(broken)
