"""The compound file around an old workbook: streams found by name, one of them replaced, all others kept.

[MS-CFB] 2.1 to 2.6. Directory entries stay as they are, byte for byte, but for where the streams lie.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from servicekit import errors

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAX_FILE = 64 * 1024 * 1024

_HEADER = struct.Struct("<8s16s5H6s9I")
_FREE, _END, _FAT, _DIFAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFC
_ENTRY = 128
_MINI = 64
_CUTOFF = 4096
_ROOT, _STREAM = 5, 2
_IN_HEADER = 109


@dataclass
class _Entry:
    """A directory entry, and the content of its stream where it has one."""

    raw: bytearray
    name: str
    kind: int
    start: int
    size: int


class CompoundFile:
    """A compound file, read whole.

    Raises:
        errors.InvalidArgument: TEMPLATE_UNREADABLE or TEMPLATE_TOO_LARGE.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_FILE:
            raise errors.InvalidArgument("the workbook is larger than 64 MiB", reason="TEMPLATE_TOO_LARGE")
        try:
            self._read(data)
        except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
            raise unreadable() from error

    def _read(self, data: bytes) -> None:
        if len(data) < 512 or data[:8] != MAGIC:
            raise ValueError("no compound file")
        fields = _HEADER.unpack_from(data)
        self._version, shift, mini_shift = fields[3], fields[5], fields[6]
        if shift not in (9, 12) or mini_shift != 6:
            raise ValueError("sector sizes")
        self._data = data
        self._size = 1 << shift
        fat_sectors, first_directory = fields[9], fields[10]
        first_mini_fat, first_difat, difat_sectors = fields[13], fields[15], fields[16]
        self._fat = self._read_fat(fat_sectors, first_difat, difat_sectors)
        directory = self._chain(first_directory)
        self._entries = [self._entry(directory[at : at + _ENTRY]) for at in range(0, len(directory), _ENTRY)]
        root = self._entries[0]
        if root.kind != _ROOT:
            raise ValueError("no root")
        self._mini = self._chain(root.start)[: root.size] if root.size else b""
        mini_fat = self._chain(first_mini_fat)
        self._mini_fat = struct.unpack(f"<{len(mini_fat) // 4}I", mini_fat)
        self._streams = {
            number: self._stream(entry) for number, entry in enumerate(self._entries) if entry.kind == _STREAM
        }

    @property
    def names(self) -> list[str]:
        """Names of all streams and storages."""
        return [entry.name for entry in self._entries if entry.name]

    def find(self, name: str) -> bytes | None:
        """Content of the stream of that name; None if there is none."""
        for number, content in self._streams.items():
            if self._entries[number].name.casefold() == name.casefold():
                return content
        return None

    def with_stream(self, name: str, content: bytes) -> bytes:
        """The file with other content in one stream."""
        contents = dict(self._streams)
        for number in contents:
            if self._entries[number].name.casefold() == name.casefold():
                contents[number] = content
        return _Writer(self._size, self._version, self._data[:512], self._entries, contents).written()

    def _entry(self, raw: bytes) -> _Entry:
        length, kind = struct.unpack_from("<HB", raw, 64)
        start, size = struct.unpack_from("<IQ", raw, 116)
        if self._version == 3:
            size &= 0xFFFFFFFF
        name = raw[: max(0, length - 2)].decode("utf-16-le") if kind else ""
        return _Entry(bytearray(raw), name, kind, start, size)

    def _stream(self, entry: _Entry) -> bytes:
        if entry.size >= _CUTOFF:
            content = self._chain(entry.start)
        else:
            parts, sector, seen = [], entry.start, 0
            while sector < _DIFAT and seen * _MINI < entry.size:
                parts.append(self._mini[sector * _MINI : (sector + 1) * _MINI])
                sector = self._mini_fat[sector]
                seen += 1
            content = b"".join(parts)
        if len(content) < entry.size:
            raise ValueError("a stream is cut off")
        return content[: entry.size]

    def _sector(self, number: int) -> bytes:
        start = (number + 1) * self._size
        content = self._data[start : start + self._size]
        if not content:
            raise ValueError("a sector beyond the end")
        return content

    def _chain(self, sector: int) -> bytes:
        parts: list[bytes] = []
        while sector < _DIFAT:
            parts.append(self._sector(sector))
            if len(parts) > len(self._fat):
                raise ValueError("a chain without an end")
            sector = self._fat[sector]
        return b"".join(parts)

    def _read_fat(self, count: int, first_difat: int, difat_count: int) -> list[int]:
        numbers = list(struct.unpack_from(f"<{_IN_HEADER}I", self._data, 76))
        sector, each = first_difat, self._size // 4
        for _ in range(min(difat_count, len(self._data) // self._size)):
            part = struct.unpack(f"<{each}I", self._sector(sector))
            numbers += part[:-1]
            sector = part[-1]
        numbers = [number for number in numbers if number < _DIFAT][:count]
        fat: list[int] = []
        for number in numbers:
            content = self._sector(number)
            fat += struct.unpack(f"<{len(content) // 4}I", content)
        return fat


class _Writer:
    """Lays streams out one after the other."""

    def __init__(
        self, size: int, version: int, header: bytes, entries: list[_Entry], contents: dict[int, bytes]
    ) -> None:
        self._size = size
        self._version = version
        self._header = header
        self._entries = entries
        self._contents = contents
        self._sectors = bytearray()
        self._fat: list[int] = []

    def written(self) -> bytes:
        raws = [bytearray(entry.raw) for entry in self._entries]
        mini = bytearray()
        mini_fat: list[int] = []
        for number, content in self._contents.items():
            if not content:
                start = _END
            elif len(content) >= _CUTOFF:
                start = self._add(content)
            else:
                start = len(mini_fat)
                count = -(-len(content) // _MINI)
                mini += content.ljust(count * _MINI, b"\0")
                mini_fat += [start + place + 1 for place in range(count - 1)] + [_END]
            self._place(raws[number], start, len(content))
        self._place(raws[0], self._add(bytes(mini)) if mini else _END, len(mini))
        packed = struct.pack(f"<{len(mini_fat)}I", *mini_fat)
        each = self._size // 4
        mini_sectors = -(-len(mini_fat) // each)
        first_mini = self._add(packed.ljust(mini_sectors * self._size, b"\xff")) if mini_fat else _END
        first_directory = self._add(b"".join(raws))
        directory_sectors = -(-len(raws) * _ENTRY // self._size)
        difat_start, difat_count, fat_numbers = self._add_tables(each)
        header = bytearray(self._header)
        struct.pack_into("<I", header, 40, directory_sectors if self._version == 4 else 0)
        struct.pack_into("<2I", header, 44, len(fat_numbers), first_directory)
        struct.pack_into("<I", header, 56, _CUTOFF)
        struct.pack_into("<4I", header, 60, first_mini, mini_sectors, difat_start, difat_count)
        in_header = (fat_numbers + [_FREE] * _IN_HEADER)[:_IN_HEADER]
        struct.pack_into(f"<{_IN_HEADER}I", header, 76, *in_header)
        return bytes(header).ljust(self._size, b"\0") + bytes(self._sectors)

    def _place(self, raw: bytearray, start: int, size: int) -> None:
        struct.pack_into("<IQ", raw, 116, start, size)

    def _add(self, content: bytes) -> int:
        first = len(self._fat)
        count = -(-len(content) // self._size)
        self._sectors += content.ljust(count * self._size, b"\0")
        self._fat += [first + place + 1 for place in range(count - 1)] + [_END]
        return first

    def _add_tables(self, each: int) -> tuple[int, int, list[int]]:
        """The allocation table, which has to hold its own sectors too."""
        taken = len(self._fat)
        fat_count = difat_count = 0
        while True:
            total = taken + fat_count + difat_count
            fats = -(-total // each)
            difats = -(-max(0, fats - _IN_HEADER) // (each - 1))
            if (fats, difats) == (fat_count, difat_count):
                break
            fat_count, difat_count = fats, difats
        fat_numbers = [taken + difat_count + place for place in range(fat_count)]
        self._fat += [_DIFAT] * difat_count + [_FAT] * fat_count
        rest = fat_numbers[_IN_HEADER:]
        for place in range(difat_count):
            part = rest[place * (each - 1) : (place + 1) * (each - 1)]
            part += [_FREE] * (each - 1 - len(part))
            following = taken + place + 1 if place + 1 < difat_count else _END
            self._sectors += struct.pack(f"<{each}I", *part, following)
        table = self._fat + [_FREE] * (fat_count * each - len(self._fat))
        self._sectors += struct.pack(f"<{len(table)}I", *table)
        return (taken if difat_count else _END), difat_count, fat_numbers


def unreadable() -> errors.InvalidArgument:
    """The error of a file that is no workbook of Excel 97 to 2003, or a broken one."""
    return errors.InvalidArgument(
        "the workbook cannot be read, it may be cut off: download it again, or save it as .xlsx in a spreadsheet"
        " program",
        reason="TEMPLATE_UNREADABLE",
    )
