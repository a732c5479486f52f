"""Writes a zip archive anew with most of its members copied as they lie, still compressed.

`zipfile` would unpack and pack every member again: time for nothing, and other bytes for the same content. Formats:
PKWARE APPNOTE 6.3.9, sections 4.3.7, 4.3.12 and 4.3.16; no zip64, since sizes stay below 4 GiB.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Protocol
from zipfile import ZIP_DEFLATED, ZipInfo

from isal import isal_zlib

from servicekit import errors

# Intel's library packs five times as fast as zlib's level 1, to the same size (bench/bench_export.py).
LEVEL = 1

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_UTF8 = 0x800
_KEPT_FLAGS = _UTF8 | 0x6  # names' encoding, and how hard the packer tried
_LIMIT = 0xFFFF_FFFF
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> int:
        """Takes some bytes."""
        ...


Writer = Callable[[Sink], None]


def writer_of(data: bytes) -> Writer:
    """Writes these bytes."""

    def write(sink: Sink) -> None:
        sink.write(data)

    return write


class _Packed:
    """Deflates what is written."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
        self.crc = self.size = self.packed = 0

    def write(self, data: bytes, /) -> int:
        self.crc = isal_zlib.crc32(data, self.crc)
        self.size += len(data)
        self._out(self._packer.compress(data))
        return len(data)

    def finish(self) -> None:
        self._out(self._packer.flush())

    def _out(self, data: bytes) -> None:
        self.packed += len(data)
        self._target.write(data)


class Copy:
    """A new archive beside an old one."""

    def __init__(self, target: IO[bytes], source: bytes) -> None:
        """`target` must be seekable and empty."""
        self._target = target
        self._source = memoryview(source)
        self._entries: list[bytes] = []

    def keep(self, info: ZipInfo) -> None:
        """Copies a member of the old archive as it lies."""
        offset = info.header_offset
        name_size, extra_size = struct.unpack_from("<2H", self._source, offset + 26)
        start = offset + 30 + name_size + extra_size
        name = bytes(self._source[offset + 30 : offset + 30 + name_size])
        flags = info.flag_bits & _KEPT_FLAGS
        here = self._local(info, name, flags, info.CRC, info.compress_size, info.file_size)
        self._target.write(self._source[start : start + info.compress_size])
        self._central(info, name, flags, info.CRC, info.compress_size, info.file_size, here)

    def make(self, name: str, write: Writer, like: ZipInfo | None = None) -> None:
        """Adds a member that `write` writes, in the place of `like`."""
        info = ZipInfo(name, like.date_time if like else _EPOCH)
        info.compress_type = ZIP_DEFLATED
        if like is not None:
            info.external_attr, info.create_system = like.external_attr, like.create_system
        raw = name.encode()
        flags = 0 if name.isascii() else _UTF8
        here = self._local(info, raw, flags, 0, 0, 0)
        packed = _Packed(self._target)
        write(packed)
        packed.finish()
        if max(packed.size, packed.packed) >= _LIMIT:
            raise errors.ResourceExhausted("the workbook is full: start another run", reason="SHEET_FULL")
        end = self._target.tell()
        self._target.seek(here + 14)
        self._target.write(struct.pack("<3I", packed.crc, packed.packed, packed.size))
        self._target.seek(end)
        self._central(info, raw, flags, packed.crc, packed.packed, packed.size, here)

    def finish(self) -> None:
        """Writes the directory."""
        start = self._target.tell()
        directory = b"".join(self._entries)
        count = len(self._entries)
        self._target.write(directory)
        self._target.write(_END.pack(b"PK\5\6", 0, 0, count, count, len(directory), start, 0))

    def _local(self, info: ZipInfo, name: bytes, flags: int, crc: int, packed: int, size: int) -> int:
        here = self._target.tell()
        stamp = _stamp(info)
        head = _LOCAL.pack(b"PK\3\4", 20, flags, info.compress_type, *stamp, crc, packed, size, len(name), 0)
        self._target.write(head + name)
        return here

    def _central(self, info: ZipInfo, name: bytes, flags: int, crc: int, packed: int, size: int, here: int) -> None:
        version = info.create_system << 8 | 20
        stamp = _stamp(info)
        head = _CENTRAL.pack(
            b"PK\1\2", version, 20, flags, info.compress_type, *stamp, crc, packed, size, len(name),
            0, 0, 0, info.internal_attr, info.external_attr, here,
        )  # fmt: skip  # as the format's table has it
        self._entries.append(head + name)


def rewritten(
    target: IO[bytes],
    source: bytes,
    members: Iterable[ZipInfo],
    made: Mapping[str, Writer],
    added: Iterable[tuple[str, bytes]] = (),
) -> None:
    """Writes the archive with the members in `made` anew, `added` ones at the end, all others as they lie."""
    copy = Copy(target, source)
    for info in members:
        if info.filename in made:
            copy.make(info.filename, made[info.filename], info)
        else:
            copy.keep(info)
    for name, data in added:
        copy.make(name, writer_of(data))
    copy.finish()


def _stamp(info: ZipInfo) -> tuple[int, int]:
    year, month, day, hour, minute, second = info.date_time
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
