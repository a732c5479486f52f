"""The embedded store: a folder laid out as the buckets."""

from __future__ import annotations

import contextlib
import errno
import mimetypes
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from objectstore.addresses import Addresses
from objectstore.keys import check_key, sniff
from objectstore.settings import ObjectStoreSettings
from objectstore.threads import Threads
from objectstore.types import ObjectInfo, StoredObject
from servicekit import errors

T = TypeVar("T")
_UNFINISHED_AFTER_S = 3600.0
_FULL = {errno.ENOSPC, errno.EDQUOT}


class FolderStore(Addresses):
    """Objects as files under ``DATA_DIR/objects/{bucket}/{key}``; several processes may share the folder.

    A file appears whole or not at all. Content types that neither bytes nor name show lie in ``.types`` beside the
    buckets.
    """

    name = "folder"
    embedded = True

    def __init__(self, settings: ObjectStoreSettings) -> None:
        """Touches nothing on disk."""
        super().__init__(settings, f"{settings.gateway_public_url}/files/{{bucket}}")
        self._root = settings.data_dir / "objects"
        self._unfinished = self._root / ".unfinished"
        self._threads = Threads("the object folder", "OBJECT_STORE", 8, 256, settings.object_store_timeout)

    async def check(self) -> None:
        """Makes the folders and clears what a crash left unfinished more than an hour ago."""
        await self._run(self._prepare)

    async def put(self, bucket: str, key: str, data: bytes, content_type: str, if_absent: bool = False) -> bool:
        """See ``ObjectStore.put``."""
        path = self._path(bucket, key)
        return await self._run(lambda: self._write(path, data, content_type, if_absent))

    async def get(self, bucket: str, key: str, max_bytes: int | None = None) -> StoredObject:
        """See ``ObjectStore.get``."""
        path = self._path(bucket, key)

        def read() -> StoredObject:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                refuse_larger(status.st_size, max_bytes)
                data = file.read()
            return StoredObject(bucket, key, data, self._type_of(path, data), _time(status))

        return await self._run(read)

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """See ``ObjectStore.head``."""
        path = self._path(bucket, key)

        def look() -> ObjectInfo:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                kind = self._type_of(path, file.read(64))
            return ObjectInfo(bucket, key, status.st_size, _time(status), kind)

        return await self._run(look)

    async def delete(self, bucket: str, key: str) -> bool:
        """See ``ObjectStore.delete``."""
        path = self._path(bucket, key)

        def remove() -> bool:
            try:
                self._type_file(path).unlink(missing_ok=True)
                path.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return False
            _sync_folder(path.parent)
            return True

        return await self._run(remove)

    async def list(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """See ``ObjectStore.list``."""
        self.website_of(bucket)
        top = self._root / bucket
        # A prefix ends anywhere in a name, so it is the folder before its last slash that holds all of them.
        inside = prefix.rpartition("/")[0]
        if inside.startswith("/") or ".." in inside.split("/"):
            return  # no key is like this
        folder = top / inside

        def collect() -> list[ObjectInfo]:
            found = []
            for path in _files(folder):
                key = path.relative_to(top).as_posix()
                if key.startswith(prefix):
                    with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                        status = path.stat()
                        found.append(ObjectInfo(bucket, key, status.st_size, _time(status)))
            return sorted(found, key=lambda info: info.key.encode())

        for info in await self._run(collect):
            yield info

    async def close(self) -> None:
        """Lets go of the threads."""
        self._threads.close()

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await self._threads.run(work)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise errors.NotFound("there is no such object", reason="OBJECT_NOT_FOUND") from error
        except PermissionError as error:
            raise errors.Unavailable(
                "the service may not use its object folder; check who owns DATA_DIR", reason="OBJECT_STORE_DENIED"
            ) from error
        except OSError as error:
            if error.errno in _FULL:
                raise errors.Unavailable(
                    "the object folder is full; free some space", reason="OBJECT_STORE_FULL"
                ) from error
            raise errors.Unavailable(
                "the object folder cannot be used; check DATA_DIR", reason="OBJECT_STORE_DOWN"
            ) from error

    def _path(self, bucket: str, key: str) -> Path:
        self.website_of(bucket)
        return self._root / bucket / check_key(key)

    def _type_file(self, path: Path) -> Path:
        return self._root / ".types" / path.relative_to(self._root)

    def _type_of(self, path: Path, start: bytes) -> str:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return self._type_file(path).read_text()
        return _guess(path, start)

    def _write(self, path: Path, data: bytes, content_type: str, if_absent: bool) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise errors.InvalidArgument(
                "this key runs through, or is the start of, another object's key; use another one",
                reason="OBJECT_KEY_INVALID",
            ) from error
        with self._finished_file(data) as whole:
            if if_absent:
                try:
                    os.link(whole, path)  # unlike rename, fails when the name is taken
                except FileExistsError:
                    return False
            else:
                os.replace(whole, path)
        _sync_folder(path.parent)
        self._keep_type(path, data, content_type)
        return True

    def _keep_type(self, path: Path, data: bytes, content_type: str) -> None:
        file = self._type_file(path)
        if content_type == _guess(path, data):
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._finished_file(content_type.encode()) as whole:
            os.replace(whole, file)

    @contextlib.contextmanager
    def _finished_file(self, data: bytes) -> Iterator[Path]:
        """A file of its own with all the bytes on disk; gone afterwards unless it was moved."""
        self._unfinished.mkdir(parents=True, exist_ok=True)
        path = self._unfinished / uuid4().hex
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _prepare(self) -> None:
        for folder in (self._unfinished, *(self._root / bucket for bucket in self.websites.values())):
            folder.mkdir(parents=True, exist_ok=True)
        for left in self._unfinished.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _UNFINISHED_AFTER_S:
                    left.unlink()


def refuse_larger(size: int, max_bytes: int | None) -> None:
    """Raises ``errors.InvalidArgument`` for an object of more bytes than the caller takes."""
    if max_bytes is not None and size > max_bytes:
        raise errors.InvalidArgument(
            f"the object has {size} bytes; at most {max_bytes} are taken here", reason="OBJECT_TOO_LARGE"
        )


def _guess(path: Path, start: bytes) -> str:
    kind = sniff(start).content_type
    if kind not in ("application/octet-stream", "application/zip"):
        return kind
    return mimetypes.guess_type(path.name)[0] or kind  # a workbook is a zip; its name knows better


def _time(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _files(top: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(top):
        yield from (Path(folder) / name for name in names)


def _sync_folder(folder: Path) -> None:
    """Makes a new or removed name last through a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
