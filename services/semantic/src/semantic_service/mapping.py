"""From a source's records to fields of products, by a TOML table of paths."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from semantic_service.values import is_nothing
from servicekit import errors

BUILT_IN = Path(__file__).with_name("data") / "mapping.toml"

_STEP = re.compile(r"(?P<key>[^.\[\]]+)|\[(?P<each>)\]|\[(?P<index>\d+)\]|\[(?P<name>[^=\]]+)=(?P<value>[^\]]*)\]")

Step = tuple[str, ...]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceShape(_Table):
    """What holds for the whole source."""

    items: str
    day_first: bool
    in_stock_default: bool


class Paging(_Table):
    """How further pages are asked for."""

    style: Literal["auto", "none", "page", "offset"]
    page_param: str
    first_page: int
    offset_param: str
    cursor_param: str
    size_param: str
    page_size: int = Field(ge=1)
    max_pages: int = Field(ge=1)


class FieldMapping(_Table):
    """Paths into a record: of each list in `first` the first that holds something, of `all` everything."""

    source: SourceShape
    paging: Paging
    first: dict[Literal["id", "title", "description", "category", "price", "date", "in_stock"], list[str]]
    all: dict[Literal["color", "audience", "kind", "details"], list[str]]

    @field_validator("first", "all")
    @classmethod
    def _paths_are_readable(cls, table: dict[str, list[str]]) -> dict[str, list[str]]:
        for paths in table.values():
            for path in paths:
                steps(path)
        return table


def load(overlay: Path | None = None) -> FieldMapping:
    """The built-in mapping with the tables of `overlay` laid over it, key by key.

    Raises:
        errors.FailedPrecondition: The file cannot be read or names what does not exist.
    """
    tables = tomllib.loads(BUILT_IN.read_text(encoding="utf-8"))
    if overlay is not None:
        try:
            own = tomllib.loads(overlay.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise errors.FailedPrecondition(f"PRODUCTS_MAPPING {overlay} cannot be read: {error}") from error
        for name, table in own.items():
            held = tables.get(name)
            tables[name] = {**held, **table} if isinstance(held, dict) and isinstance(table, dict) else table
    try:
        return FieldMapping.model_validate(tables)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise errors.FailedPrecondition(f"PRODUCTS_MAPPING {overlay}: {where}: {first['msg']}") from error


@lru_cache(maxsize=1024)
def steps(path: str) -> tuple[Step, ...]:
    """The steps of a path; raises ValueError for one that cannot be read."""
    found: list[Step] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ValueError(f"the path {path!r} cannot be read from its character {position + 1} on")
        if match["key"] is not None:
            found.append(("key", match["key"].strip().lower()))
        elif match["each"] is not None:
            found.append(("each",))
        elif match["index"] is not None:
            found.append(("index", match["index"]))
        else:
            found.append(("where", match["name"].strip().lower(), match["value"].strip().lower()))
        position = match.end()
        if path[position : position + 1] == ".":
            position += 1
    if not found:
        raise ValueError("a path cannot be empty")
    return tuple(found)


def folded(value: Any) -> Any:
    """A record with its names in lower case, as paths are; of names that then are equal the first counts."""
    if isinstance(value, dict):
        table: dict[str, Any] = {}
        for key, element in value.items():
            table.setdefault(str(key).strip().lower(), folded(element))
        return table
    return [folded(element) for element in value] if isinstance(value, list) else value


def values_at(record: object, path: str) -> Iterator[Any]:
    """Everything at `path` of a folded record that is neither missing nor empty."""
    yield from _walk(record, steps(path))


def first_value(record: object, paths: Sequence[str]) -> Any:
    """What the first path that holds something holds; None where none does."""
    for path in paths:
        for value in values_at(record, path):
            return value
    return None


def all_values(record: object, paths: Sequence[str]) -> list[Any]:
    """What all paths hold, in their order."""
    return [value for path in paths for value in values_at(record, path)]


def _walk(value: object, rest: tuple[Step, ...]) -> Iterator[Any]:
    if not rest:
        if not is_nothing(value) and value != [] and value != {}:
            yield value
        return
    step, rest = rest[0], rest[1:]
    if step[0] == "key":
        if isinstance(value, dict):
            yield from _walk(value.get(step[1]), rest)
    elif isinstance(value, list):
        if step[0] == "index":
            if int(step[1]) < len(value):
                yield from _walk(value[int(step[1])], rest)
            return
        for element in value:
            if step[0] == "each" or (
                isinstance(element, dict) and str(element.get(step[1])).strip().lower() == step[2]
            ):
                yield from _walk(element, rest)
