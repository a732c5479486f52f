"""Opens a file by what it holds, whatever its name says, and refuses what cannot be filled."""

from __future__ import annotations

from collections.abc import Iterator

from exporter_service.model import Template
from exporter_service.reading.book import Book
from exporter_service.reading.excel import ExcelBook
from exporter_service.reading.legacy import LegacyBook
from exporter_service.reading.text import TextBook
from exporter_service.xls import compound
from exporter_service.xlsx.package import Package
from servicekit import errors

MAX_BYTES = 20 * 1024 * 1024
"""Largest template, in bytes; the contract's."""
MAX_UNPACKED = 200 * 1024 * 1024
"""Largest sum of all parts of a template, in bytes."""


def opened(content: bytes) -> Book:
    """The workbook in a file.

    Raises:
        errors.InvalidArgument: TEMPLATE_EMPTY, TEMPLATE_TOO_LARGE, TEMPLATE_UNREADABLE, TEMPLATE_ENCRYPTED,
            TEMPLATE_EXTERNAL_LINKS or TEMPLATE_OLD.
    """
    if not content:
        raise errors.InvalidArgument("the file is empty: choose the workbook again", reason="TEMPLATE_EMPTY")
    if len(content) > MAX_BYTES:
        raise errors.InvalidArgument(
            f"the workbook has {len(content) >> 20} MiB; at most {MAX_BYTES >> 20} MiB are taken: clear its rows of"
            " products, or download an empty template",
            reason="TEMPLATE_TOO_LARGE",
        )
    if content.startswith(b"PK"):
        return ExcelBook(_checked(Package(content, MAX_UNPACKED)))
    if content.startswith(compound.MAGIC):
        return LegacyBook(content)
    start = content[:512].lstrip().lower()
    if start.startswith((b"<html", b"<!doctype", b"<?xml", b"<table")):
        raise errors.InvalidArgument(
            "the file is a web page or XML, not a workbook: open it in a spreadsheet program and save it as .xlsx",
            reason="TEMPLATE_UNREADABLE",
        )
    return TextBook(content)


def _checked(package: Package) -> Package:
    package.check()
    outside = package.outside()
    if outside:
        raise errors.InvalidArgument(
            f"the workbook refers to things outside of it ({outside[0]}): break these links in a spreadsheet program"
            " (Data, Edit Links) and save it",
            reason="TEMPLATE_EXTERNAL_LINKS",
        )
    return package


def top_rows(template: Template, last: int) -> Iterator[list[str]]:
    """Texts of the first rows of a template's sheet, empty ones included."""
    if template.content.startswith(b"PK"):
        book: Book = ExcelBook(Package(template.content))
    else:
        book = opened(template.content)
    at = 1
    for number, texts in book.rows(template.sheet, 1, last):
        for _ in range(number - at):
            yield []
        yield [texts.get(column, "") for column in range(1, max(texts) + 1)]
        at = number + 1
    for _ in range(last - at + 1):
        yield []
