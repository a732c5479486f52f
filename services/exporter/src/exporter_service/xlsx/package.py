"""The zip package around a workbook: bounded reading, and copying with some parts made anew."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from exporter_service.xlsx import zipped
from exporter_service.xlsx.zipped import Sink, Writer, writer_of
from servicekit import errors

__all__ = ["MAX_PACKAGE", "Package", "SheetPart", "Sink", "Writer", "local", "writer_of"]

MAX_PACKAGE = 64 * 1024 * 1024
"""Largest workbook, in bytes."""
MAX_UNPACKED = 512 * 1024 * 1024
"""Largest sum of all parts, in bytes."""
MAX_PART = 96 * 1024 * 1024
"""Largest part that is looked into, in bytes."""
MAX_PARTS = 4096
_CHUNK = 1 << 16

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
# The same in files that were saved as "Strict Open XML".
_STRICT = "http://purl.oclc.org/ooxml/officeDocument/relationships"
_RELATIONSHIPS = "{http://schemas.openxmlformats.org/package/2006/relationships}"
_OUTSIDE = ("externalLink", "externalLinkPath", "oleObject", "image", "attachedTemplate", "frame", "subDocument")
_CONNECTIONS = ("xl/externalLinks/", "xl/connections.xml", "xl/queryTables/")


@dataclass(frozen=True)
class SheetPart:
    """A worksheet: its name, its part, and whether it is hidden."""

    name: str
    part: str
    hidden: bool = False


class Package:
    """A workbook's package, open for reading.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE, TEMPLATE_TOO_LARGE or TEMPLATE_ENCRYPTED.
    """

    def __init__(self, data: bytes, max_unpacked: int = MAX_UNPACKED) -> None:
        if len(data) > MAX_PACKAGE:
            raise errors.InvalidArgument("the workbook is larger than 64 MiB", reason="TEMPLATE_TOO_LARGE")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            infos = self._zip.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError) as error:
            raise unreadable() from error
        if len(infos) > MAX_PARTS or sum(info.file_size for info in infos) > max_unpacked:
            raise errors.InvalidArgument(
                f"the workbook unpacks to more than {max_unpacked >> 20} MiB or {MAX_PARTS} parts",
                reason="TEMPLATE_TOO_LARGE",
            )
        if any(info.flag_bits & 1 for info in infos):
            raise errors.InvalidArgument(
                "the workbook is protected by a password: save it without one", reason="TEMPLATE_ENCRYPTED"
            )
        self._data = data
        self.parts = {info.filename: info for info in infos}
        if len(self.parts) != len(infos):
            raise unreadable()

    def read(self, part: str) -> bytes:
        """Content of a part."""
        info = self.parts.get(part)
        if info is None:
            raise unreadable()
        if info.file_size > MAX_PART:
            raise errors.InvalidArgument(
                f"a part of the workbook has more than {MAX_PART >> 20} MiB: clear its unused rows",
                reason="TEMPLATE_TOO_LARGE",
            )
        return b"".join(self._chunks(part))

    def check(self) -> None:
        """Reads everything once: a file that was cut off or changed on its way is found before it is stored.

        Raises:
            errors.InvalidArgument: TEMPLATE_UNREADABLE.
        """
        for part in self.parts:
            last = b""
            for chunk in self._chunks(part):
                # No part of a workbook has a document type; one that does wants to define entities.
                if part.endswith((".xml", ".rels", ".vml")) and b"<!DOCTYPE" in last[-16:] + chunk:
                    raise unreadable()
                last = chunk

    def outside(self) -> list[str]:
        """Parts that reach out of the workbook: to other workbooks, databases, pictures on the web."""
        found = [part for part in self.parts if part.startswith(_CONNECTIONS)]
        for part in self.parts:
            if part.endswith(".rels"):
                found += [
                    part
                    for relation in self.xml(part).iter(f"{_RELATIONSHIPS}Relationship")
                    if relation.get("TargetMode") == "External"
                    and relation.get("Type", "").rpartition("/")[2] in _OUTSIDE
                ]
        return found

    def sheets(self) -> dict[str, str]:
        """Part of each worksheet by its name, in the order of the workbook."""
        return {sheet.name: sheet.part for sheet in self.sheet_parts()}

    def sheet_parts(self) -> list[SheetPart]:
        """The worksheets, in the order of the workbook; chart and macro sheets are left out."""
        workbook = self.workbook_part()
        targets = self._relations(workbook)
        found = []
        for element in self.xml(workbook).iter():
            if local(element.tag) == "sheet":
                relation = next((value for key, value in element.attrib.items() if key.endswith("}id")), "")
                kind, part = targets.get(relation, ("", ""))
                if kind.endswith("/worksheet") and part in self.parts:
                    hidden = element.get("state", "visible") != "visible"
                    found.append(SheetPart(element.get("name", ""), part, hidden))
        return found

    def workbook_part(self) -> str:
        """Name of the part that lists the sheets."""
        for relation in self.xml("_rels/.rels").iter(f"{_RELATIONSHIPS}Relationship"):
            if relation.get("Type") in (f"{_OFFICE}/officeDocument", f"{_STRICT}/officeDocument"):
                return relation.get("Target", "").lstrip("/")
        raise unreadable()

    def related(self, kind: str) -> str:
        """Part of a kind, such as `sharedStrings`, that the workbook refers to; "" if there is none."""
        for told, part in self._relations(self.workbook_part()).values():
            if told.endswith(f"/{kind}") and part in self.parts:
                return part
        return ""

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Kind and part of each relation by its id."""
        folder, name = posixpath.split(part)
        rels = posixpath.join(folder, "_rels", f"{name}.rels")
        targets = {}
        for relation in self.xml(rels).iter(f"{_RELATIONSHIPS}Relationship"):
            target = relation.get("Target", "")
            path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            targets[relation.get("Id", "")] = (relation.get("Type", ""), path)
        return targets

    def xml(self, part: str) -> ElementTree.Element:
        """A part as a tree."""
        data = self.read(part)
        if b"<!DOCTYPE" in data:
            raise unreadable()
        try:
            return ElementTree.fromstring(data)  # noqa: S314  # entities were refused above
        except ElementTree.ParseError as error:
            raise unreadable() from error

    def rewritten(self, made: Mapping[str, Writer], added: Iterable[tuple[str, bytes]] = ()) -> bytes:
        """The package with the parts in `made` written anew, `added` ones at the end, all others as they lie."""
        buffer = io.BytesIO()
        zipped.rewritten(buffer, self._data, self.parts.values(), made, added)
        return buffer.getvalue()

    def _chunks(self, part: str) -> Iterator[bytes]:
        try:
            with self._zip.open(part) as handle:
                while chunk := handle.read(_CHUNK):
                    yield chunk
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise unreadable() from error


def local(tag: str) -> str:
    """Name of an element without its namespace."""
    return tag.rpartition("}")[2]


def unreadable() -> errors.InvalidArgument:
    """The error of a file that is no workbook, or a broken one."""
    return errors.InvalidArgument(
        "the workbook cannot be read, it may be cut off: download it again, or save it as .xlsx in a spreadsheet"
        " program",
        reason="TEMPLATE_UNREADABLE",
    )
