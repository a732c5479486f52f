"""Bodies that carry files: multipart, the raw file, or fields alone.

Read into memory while they arrive and refused at the limit. The framework's own form parser goes through temporary
files and threads; a picture of a few MiB needs neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway_service.problems import HttpProblem
from servicekit import errors, images

Model = TypeVar("Model", bound=BaseModel)

MAX_PARTS = 64
MAX_FIELD_BYTES = 64 * 1024
_PIECE_BYTES = 4 * 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass
class File:
    """An uploaded file."""

    content: bytes
    name: str


@dataclass
class Form:
    """What a body holds: fields by name, and files in their order; of a JSON body, its own fields once more."""

    fields: dict[str, object] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    json: Mapping[str, object] | None = None

    @property
    def file(self) -> File | None:
        """The only file; None where there is none."""
        return self.files[0] if self.files else None

    def require_file(self) -> File:
        """The file, checked from its header to be a picture within every limit.

        Raises:
            RequestValidationError: There is none.
            errors.InvalidArgument: It is no picture that is taken; `reason` says why.
        """
        if self.file is None:
            raise RequestValidationError(
                [{"type": "missing", "loc": ("body", "file"), "msg": "send the picture as the field `file`"}]
            )
        images.inspect(self.file.content)
        return self.file

    def parse(self, model: type[Model]) -> Model:
        """The fields as a model; one left empty counts as not sent. Raises RequestValidationError."""
        try:
            if self.json is not None:
                # What forms and queries write as text has a type there.
                model.model_validate(self.json, strict=True)
            return model.model_validate(_sent(self.fields))
        except ValidationError as error:
            found = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
            raise RequestValidationError(found) from None


async def read_form(
    request: Request,
    *,
    file_names: tuple[str, ...] = ("file",),
    json_too: bool = False,
    most_files: int = 1,
    raw_kinds: tuple[str, ...] = ("image/",),
) -> Form:
    """Reads a body by its content type. Fields of the query come with every form; those of the body win.

    Args:
        file_names: Names that a part with a file may have.
        json_too: Whether a JSON object of fields is taken as well.
        most_files: How many files the form may have.
        raw_kinds: Beginnings of the types that are taken as the file itself, beside application/octet-stream.

    Raises:
        HttpProblem: 415 for another content type, 400 for a broken body.
        errors.InvalidArgument: The file is larger than 20 MiB.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    query: dict[str, object] = dict(request.query_params)
    if kind == "multipart/form-data":
        form = await _multipart(request, file_names, most_files)
        return Form({**query, **_sent(form.fields)}, form.files)
    if kind.startswith((*raw_kinds, "application/octet-stream")):
        content = await _whole(request, images.MAX_BYTES)
        return Form(query, [File(content, _file_name(str(query.get("filename", ""))))])
    if kind == "application/x-www-form-urlencoded":
        return Form({**query, **_sent(_urlencoded(await request.body()))})
    if json_too and kind == "application/json":
        given = _json_object(await request.body())
        return Form({**query, **given}, json=given)
    raw = " or ".join(f"{name}*" if name.endswith("/") else name for name in raw_kinds)
    taken = f"multipart/form-data, application/x-www-form-urlencoded, or the file itself as {raw}"
    raise HttpProblem(
        415, "MEDIA_TYPE_UNSUPPORTED", f"this type of body is not taken here; send {taken}{', or JSON' * json_too}"
    )


def require_json(request: Request) -> None:
    """A dependency of paths that take JSON only: 415 for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HttpProblem(415, "MEDIA_TYPE_UNSUPPORTED", "send the body as JSON with Content-Type: application/json")


async def _whole(request: Request, most: int) -> bytes:
    # Pieces joined once: a buffer that grows would copy each of them several times.
    pieces: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        pieces.append(chunk)
        size += len(chunk)
        if size > most:
            raise _too_large()
    return b"".join(pieces)


async def _multipart(request: Request, file_names: tuple[str, ...], most_files: int) -> Form:
    _, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise _broken("its Content-Type names no boundary")
    reader = _MultipartReader(boundary, file_names, most_files)
    await reader.read(request.stream())
    return reader.form


class _MultipartReader:
    """Collects the parts of one multipart body."""

    def __init__(self, boundary: bytes, file_names: tuple[str, ...], most_files: int) -> None:
        self.form = Form()
        self._file_names = file_names
        self._most_files = most_files
        self._parts = 0
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = b""
        self._name = ""
        self._file_name: str | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise _broken("its boundary is not usable") from None

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        # The parser works through each piece in Python: a picture in one is a third of the work of one in 64 KiB.
        pieces: list[bytes] = []
        size = 0
        try:
            async for chunk in chunks:
                pieces.append(chunk)
                size += len(chunk)
                if size >= _PIECE_BYTES:
                    self._parser.write(b"".join(pieces))
                    pieces, size = [], 0
            self._parser.write(b"".join(pieces))
            self._parser.finalize()
        except FormParserError:
            raise _broken("a part is not as RFC 7578 wants it") from None
        if not self._ended:
            raise _broken("it ends before its last boundary; send it again")

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise HttpProblem(413, "BODY_TOO_LARGE", f"the form has more than {MAX_PARTS} parts")
        self._disposition = b""
        self._pieces, self._size = [], 0

    def _header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise _broken("a part has no name")
        self._name = _text(options[b"name"])
        given = options.get(b"filename")
        self._file_name = None if given is None else given.decode("utf-8", "replace")
        # Some clients send the file as a plain field; by its name it is the file all the same.
        if self._file_name is None and self._name in self._file_names:
            self._file_name = ""
        if self._file_name is not None and len(self.form.files) >= self._most_files:
            most = "one file" if self._most_files == 1 else f"at most {self._most_files} files"
            raise errors.InvalidArgument(
                f"the form has several files; send {most}", reason="FILES_SEVERAL", fields={self._name: f"send {most}"}
            )

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])
        self._size += end - start
        if self._file_name is not None:
            if self._size > images.MAX_BYTES:
                raise _too_large()
        elif self._size > MAX_FIELD_BYTES:
            raise HttpProblem(
                413, "BODY_TOO_LARGE", f"a field of the form is larger than {MAX_FIELD_BYTES // 1024} KiB"
            )

    def _part_end(self) -> None:
        content = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        if self._file_name is None:
            self.form.fields[self._name] = _text(content)
        elif self._name in self._file_names:
            self.form.files.append(File(content, _file_name(self._file_name)))

    def _end(self) -> None:
        self._ended = True


def _sent(fields: Mapping[str, object]) -> dict[str, object]:
    """Without those left empty, which a form sends all the same."""
    return {name: value for name, value in fields.items() if value != ""}


def _urlencoded(body: bytes) -> Mapping[str, object]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict", max_num_fields=256
        )
    except ValueError:
        raise _broken("it is not urlencoded UTF-8") from None
    return dict(pairs)


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _broken("it is no valid JSON") from None
    if not isinstance(value, dict):
        raise RequestValidationError([{"type": "dict_type", "loc": ("body",), "msg": "the body must be a JSON object"}])
    return value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _broken("a field is not UTF-8") from None


def _file_name(given: str) -> str:
    """The name without folders and control characters, at most 255 characters."""
    return _CONTROL.sub("", re.split(r"[/\\]", given)[-1]).strip()[:255] or "image"


def _broken(why: str) -> HttpProblem:
    return HttpProblem(400, "BODY_UNREADABLE", f"the body cannot be read: {why}")


def _too_large() -> errors.InvalidArgument:
    return errors.InvalidArgument(
        f"the file is larger than {images.MAX_BYTES // 2**20} MiB, the most that is taken; send a smaller one",
        reason="IMAGE_TOO_LARGE",
    )
