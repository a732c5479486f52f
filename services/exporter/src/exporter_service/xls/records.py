"""The records of an old workbook's stream: walked over, and those read that tell of cells, names and rules.

Section numbers are those of [MS-XLS].
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from exporter_service.xls.compound import CompoundFile, unreadable
from servicekit import errors

BOF, EOF, CONTINUE = 0x809, 0x0A, 0x3C
BOUNDSHEET, SST, EXTSST, FILEPASS, SUPBOOK, EXTERNSHEET, EXTERNNAME = 0x85, 0xFC, 0xFF, 0x2F, 0x1AE, 0x17, 0x23
INDEX, DBCELL, DIMENSIONS, ROW, COLINFO, DV = 0x20B, 0xD7, 0x200, 0x208, 0x7D, 0x1BE
LABELSST, NUMBER, RK, BLANK, FORMULA, BOOLERR, LABEL, RSTRING = 0xFD, 0x203, 0x27E, 0x201, 0x06, 0x205, 0x204, 0xD6
MULRK, MULBLANK, STRING, ARRAY, SHRFMLA, TABLE = 0xBD, 0xBE, 0x207, 0x221, 0x4BC, 0x236
CELLS = {LABELSST, NUMBER, RK, BLANK, FORMULA, BOOLERR, LABEL, RSTRING}
FOLLOWERS = {STRING, ARRAY, SHRFMLA, TABLE}
MAX_DATA = 8224
MAX_ROWS, MAX_COLUMNS = 65_536, 256
MAX_CELLS = 4_000_000
"""Most cells of a workbook that is looked into."""
_BIFF8 = 0x600


@dataclass(frozen=True, slots=True)
class Record:
    """A record: what it is, and where it lies with its head of 4 bytes."""

    kind: int
    start: int
    end: int

    def data(self, stream: bytes) -> bytes:
        """What it holds."""
        return stream[self.start + 4 : self.end]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet: its name, where its BoundSheet8 record is (2.4.28), where its records start, whether it is hidden."""

    name: str
    bound_at: int
    start: int
    hidden: bool
    worksheet: bool


def records(stream: bytes, start: int = 0) -> Iterator[Record]:
    """Records from `start` on, to the end of the substream, its EOF included.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE.
    """
    position, depth = start, 0
    while True:
        if position + 4 > len(stream):
            raise unreadable()
        kind, size = struct.unpack_from("<HH", stream, position)
        end = position + 4 + size
        if end > len(stream):
            raise unreadable()
        yield Record(kind, position, end)
        # A chart within a sheet is a substream of its own.
        depth += (kind == BOF) - (kind == EOF)
        if depth <= 0:
            return
        position = end


def workbook_stream(file: CompoundFile) -> bytes:
    """The records of the workbook.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE, TEMPLATE_ENCRYPTED, TEMPLATE_OLD.
    """
    stream = file.find("Workbook")
    if stream is None and "EncryptedPackage" in file.names:
        raise encrypted()
    old = file.find("Book") if stream is None else None
    if old is not None or (stream is not None and struct.unpack_from("<H", stream, 4)[0] != _BIFF8):
        raise errors.InvalidArgument(
            "the workbook is of Excel 95 or older: save it as .xls of Excel 97 or as .xlsx", reason="TEMPLATE_OLD"
        )
    if stream is None:
        raise unreadable()
    return stream


def sheets(stream: bytes) -> list[Sheet]:
    """The sheets, in the order of the workbook."""
    found = []
    for record in records(stream):
        if record.kind == BOUNDSHEET:
            data = record.data(stream)
            start, state, kind, length, wide = struct.unpack_from("<IBBBB", data)
            raw = data[8 : 8 + length * 2] if wide & 1 else data[8 : 8 + length]
            name = raw.decode("utf-16-le" if wide & 1 else "latin-1")
            found.append(Sheet(name, record.start, start, bool(state & 3), kind == 0))
    return found


def check(stream: bytes) -> None:
    """Refuses what cannot be filled, before anything else reads the file.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE, TEMPLATE_ENCRYPTED, TEMPLATE_EXTERNAL_LINKS, TEMPLATE_TOO_LARGE.
    """
    for record in records(stream):
        if record.kind == FILEPASS:
            raise encrypted()
        if record.kind == SUPBOOK and not _own(record.data(stream)):
            raise errors.InvalidArgument(
                "the workbook refers to other workbooks: break these links and save it",
                reason="TEMPLATE_EXTERNAL_LINKS",
            )
    count = 0
    for sheet in sheets(stream):
        for record in records(stream, sheet.start):
            if record.kind in CELLS:
                count += 1
            elif record.kind in (MULRK, MULBLANK):
                count += (record.end - record.start) // (6 if record.kind == MULRK else 2)
            if count > MAX_CELLS:
                raise errors.InvalidArgument(
                    "the workbook has more cells than a template does: clear its unused rows",
                    reason="TEMPLATE_TOO_LARGE",
                )


def _own(data: bytes) -> bool:
    """Whether a SupBook (2.4.271) stands for this workbook itself or for add-in functions."""
    return len(data) == 4 and data[2:4] in (b"\x01\x04", b"\x01\x3a")


def encrypted() -> errors.InvalidArgument:
    """The error of a workbook with a password."""
    return errors.InvalidArgument(
        "the workbook is protected by a password: save it without one", reason="TEMPLATE_ENCRYPTED"
    )
