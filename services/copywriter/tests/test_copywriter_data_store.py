"""`data_store.json`: in and out without a change."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from copywriter_service import data_store
from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.domain import Origin, Part
from servicekit import errors

FILE: dict[str, Any] = {
    "SKU-101": {
        "title": "Elegant Gold Tone Studs",
        "bullet_points": {"bullet_point1": "Premium “quality”", "bullet_point2": "Light", "bullet_point10": "ten"},
        "description": "Beautiful earrings\nin two lines…",
    },
    "SKU-102": {"description": "हिंदी में", "bullet_points": {"bullet_point_2": "b", "bullet_point_1": "a"}, "price": 499},
    "sku with blank": {"title": "", "bullet_points": False, "description": None, "extra": {"deep": [1, 2.5, None]}},
    "LIST": {"bullet_points": ["one", "", "two"], "title": "A list"},
    "TEXT": {"bullet_points": "one\ntwo\n", "title": "One text"},
    "FLAT": {"title": "Expanded", "bullet_point1": "one", "bullet_point2": "two", "description": "d"},
    "EMPTY": {},
}


def as_file(content: Any) -> bytes:
    """As the specified system writes it."""
    return json.dumps(content, indent=4, ensure_ascii=False).encode()


async def imported(cache: SqlCache, content: Any) -> data_store.Imported:
    found = data_store.parse(as_file(content))
    await cache.import_entries(found.entries, found.layout)
    return found


async def test_the_round_trip_is_exact_to_the_byte(cache: SqlCache) -> None:
    found = await imported(cache, FILE)
    assert (len(found.entries), found.problems) == (len(FILE), [])
    assert data_store.render(await cache.holdings()) == as_file(FILE)
    await imported(cache, FILE)
    assert data_store.render(await cache.holdings()) == as_file(FILE)
    for sku in FILE:
        await cache.delete(sku, None)


@pytest.mark.parametrize(
    ("layout", "end"),
    [
        ({}, ""), ({"ensure_ascii": False}, "\n"), ({"indent": 2}, "\n"), ({"indent": 2, "ensure_ascii": False}, ""),
        ({"indent": "\t"}, "\n"), ({"indent": 0}, ""), ({"separators": (",", ":")}, ""), ({"indent": 4}, "\r\n"),
    ],
)  # fmt: skip
async def test_the_round_trip_keeps_the_files_layout(layout: dict[str, Any], end: str, file_cache: SqlCache) -> None:
    file = (json.dumps(FILE, **layout) + end).encode()
    found = data_store.parse(file)
    await file_cache.import_entries(found.entries, found.layout)
    assert data_store.render(await file_cache.holdings()) == file


async def test_every_form_of_bullet_points_is_understood(file_cache: SqlCache) -> None:
    await imported(file_cache, FILE)
    expected = {
        "SKU-101": ("Premium “quality”", "Light", "ten"),
        "SKU-102": ("a", "b"), "LIST": ("one", "two"), "TEXT": ("one", "two"), "FLAT": ("one", "two"),
    }  # fmt: skip
    for sku, bullets in expected.items():
        parts = {part.part: part.content for part in await file_cache.read(sku, "en-IN")}
        assert parts[Part.BULLETS] == bullets, sku
    assert await file_cache.read("sku with blank", "en-IN") == []


@pytest.mark.parametrize("sku", ["SKU-101", "SKU-102", "LIST", "TEXT", "FLAT", "EMPTY"])
async def test_an_edit_changes_its_part_and_keeps_the_form(sku: str, file_cache: SqlCache) -> None:
    await imported(file_cache, FILE)
    [template] = [part for part in await file_cache.read("LIST", "en-IN") if part.part is Part.BULLETS]
    edit = replace(template, sku=sku, code="ama_ear", content=("new one", "new two"), origin=Origin.PERSON)
    await file_cache.put_edit((sku, "ama_ear", "en-IN"), [edit])
    exported = json.loads(data_store.render(await file_cache.holdings()))
    forms: dict[str, dict[str, Any]] = {
        "SKU-101": {"bullet_points": {"bullet_point1": "new one", "bullet_point2": "new two"}},
        "SKU-102": {"bullet_points": {"bullet_point_1": "new one", "bullet_point_2": "new two"}},
        "LIST": {"bullet_points": ["new one", "new two"]},
        "TEXT": {"bullet_points": "new one\nnew two"},
        "FLAT": {"bullet_point1": "new one", "bullet_point2": "new two"},
        "EMPTY": {"bullet_points": {"bullet_point1": "new one", "bullet_point2": "new two"}},
    }
    assert exported[sku] == {**FILE[sku], **forms[sku]}
    assert list(exported) == list(FILE)
    assert {key: value for key, value in exported.items() if key != sku} == {k: v for k, v in FILE.items() if k != sku}


async def test_written_copy_is_exported_too(file_cache: SqlCache) -> None:
    await imported(file_cache, {"OLD": {"title": "Imported"}})
    [part] = await file_cache.read("OLD", "en-IN")
    await file_cache.write(
        [
            replace(part, code="ama_ear", origin=Origin.MODEL, content="By a model"),
            replace(part, code="ama_ear", origin=Origin.MODEL, part=Part.DESCRIPTION, content="By a model"),
            replace(part, sku="NEW", code="mee_ear", origin=Origin.COMPOSED, content="Composed"),
            replace(part, sku="NEW", code="ama_ear", origin=Origin.MODEL, content="Written"),
        ]
    )
    exported = json.loads(data_store.render(await file_cache.holdings()))
    assert exported == {"OLD": {"title": "Imported", "description": "By a model"}, "NEW": {"title": "Written"}}


def test_one_bad_entry_leaves_its_neighbours() -> None:
    content = {
        "": {"title": "no name"}, "x" * 201: {}, "A\nB": {}, "LIST": [], "NUMBER": {"title": 5},
        "BULLETS": {"bullet_points": {"bullet_point1": 7}}, "FORM": {"bullet_points": 3}, "GOOD": {"title": "Good"},
    }  # fmt: skip
    found = data_store.parse(as_file(content))
    assert [entry.sku for entry in found.entries] == ["GOOD"]
    assert len(found.problems) == 7
    assert all(problem.endswith("the entry was left out") for problem in found.problems)


def test_a_sku_that_stands_twice_is_told() -> None:
    found = data_store.parse(b'\xef\xbb\xbf{"A": {"title": "one"}, "A": {"title": "two"}}')
    assert [entry.parts[0].content for entry in found.entries] == ["two"]
    assert len(found.problems) == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[]", b'"text"', b"[" * 100_000])
def test_what_is_no_such_file_is_refused(content: bytes) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        data_store.parse(content)
    assert caught.value.reason == "DATA_STORE_UNREADABLE"
