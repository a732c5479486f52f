"""Products from files, archives, tables and pasted lines."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from studio_service import gathering
from studio_service.describing import MAX_PICTURE, Photo, sku_of
from studio_service.gathering import Draft
from studio_service.problems import Problem

PHOTO = (Path(__file__).parents[3] / "samples" / "photos" / "ALY-EAR-001.jpg").read_bytes()


def photo(name: str) -> Photo:
    return Photo(name, name.encode() + PHOTO)


def archive(**entries: bytes) -> Photo:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return Photo("mine.zip", out.getvalue())


def names(draft: Draft) -> list[str]:
    return [one.name if isinstance(one, Photo) else one for one in draft.pictures]


def test_views_of_a_product_come_together() -> None:
    drafts = gathering.from_photos([photo("B-1.jpg"), photo("A-1_back.png"), photo("A-1.jpg"), photo("A-1_2.jpg")])
    assert [(draft.sku, names(draft)) for draft in drafts] == [
        ("A-1", ["A-1.jpg", "A-1_2.jpg", "A-1_back.png"]),
        ("B-1", ["B-1.jpg"]),
    ]
    assert drafts[0].pictures[0] == photo("A-1.jpg")
    assert gathering.photo_count(drafts) == 4
    assert gathering.from_photos([]) == []


def test_an_archive_is_a_folder() -> None:
    entries = {"x/A-1.jpg": b"1" + PHOTO, "y/B-2.PNG": b"2" + PHOTO, "notes.txt": b"", "__MACOSX/x/._A-1.jpg": b""}
    drafts = gathering.from_archive(archive(**entries))
    assert [draft.sku for draft in drafts] == ["A-1", "B-2"]


def test_an_archive_may_hold_a_table() -> None:
    table = b"sku,image,mrp,brand\nA-1,a.jpg|https://shop.example/b.jpg,499,Alya\n"
    drafts = gathering.from_archive(archive(**{"p/list.csv": table, "p/a.jpg": PHOTO}))
    assert names(drafts[0]) == ["a.jpg", "https://shop.example/b.jpg"]
    assert drafts[0].values == {"mrp": "499", "brand": "Alya"}


def test_a_table_finds_photos_by_sku() -> None:
    table = Photo("products.csv", "\ufeffSKU,mrp\nA-1,499\n".encode())
    assert names(gathering.from_table(table, [photo("A-1.jpg"), photo("Z.jpg")])[0]) == ["A-1.jpg"]


ONE, TWO = "https://a.example/1.jpg", "https://a.example/2.jpg"
COMMAS = "https://a.example/w_200,h_300/ring.jpg"
LINES = [
    (f"A-1, {ONE}", [("A-1", [ONE])]),
    (f"A-1\t{ONE}|{TWO}", [("A-1", [ONE, TWO])]),
    (COMMAS, [("ring", [COMMAS])]),
    (f"{ONE}, A-1", [("A-1", [ONE])]),
    (f"\n A 1;{ONE} \n\n{TWO}?w=3\n", [("A 1", [ONE]), ("2", [f"{TWO}?w=3"])]),
    (f"A-1 {ONE} {TWO}", [("A-1", [ONE, TWO])]),
]


@pytest.mark.parametrize(("text", "expected"), LINES)
def test_pasted_lines(text: str, expected: list[tuple[str, list[str]]]) -> None:
    assert [(draft.sku, names(draft)) for draft in gathering.from_lines(text)] == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.text(max_size=300))
def test_any_pasted_text_is_products_or_a_sentence(text: str) -> None:
    try:
        drafts = gathering.from_lines(text)
    except Problem as problem:
        assert problem.sentence
    else:
        assert len({draft.sku for draft in drafts}) == len(drafts)


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda: gathering.from_lines("only words"), "Line 1 has no address"),
        (lambda: gathering.from_lines("A, B, https://a.example/x.jpg"), "more than one SKU"),
        (lambda: gathering.from_lines("A, https://a.example/x.jpg\nA, https://a.example/y.jpg"), "once only"),
        (lambda: gathering.from_lines("a\n" * 5001), "at most 5000"),
        (lambda: gathering.from_archive(Photo("x.zip", b"no archive")), "no zip file"),
        (lambda: gathering.from_archive(archive(**{"a.txt": b""})), "holds no photos"),
        (lambda: gathering.from_archive(archive(**{"a.csv": b"sku", "b.csv": b"sku"})), "2 CSV files"),
        (lambda: gathering.from_archive(archive(**{"a/x.jpg": b"1", "b/x.jpg": b"2"})), "Two different files"),
        (lambda: gathering.from_table(Photo("p.csv", b"name\nx\n"), []), "p.csv has no column `sku`"),
        (lambda: gathering.from_table(Photo("p.csv", b"sku,image\nA,\n"), []), "line 2: A has no picture"),
        (lambda: gathering.from_table(Photo("p.csv", b"sku,image\nA,gone.jpg\n"), []), "there is no file gone.jpg"),
        (lambda: gathering.from_table(Photo("p.csv", b"\xff\xfe\x00"), []), "p.csv is no CSV in UTF-8"),
        (lambda: gathering.from_photos([Photo("e.jpg", b"")]), "e.jpg is an empty file"),
        (lambda: gathering.from_photos([Photo("big.jpg", b"0" * (MAX_PICTURE + 1))]), "larger than 20 MiB"),
    ],
)
def test_what_is_wrong_is_said(read: object, says: str) -> None:
    assert callable(read)
    with pytest.raises(Problem) as caught:
        read()
    assert says in caught.value.sentence
    assert "/tmp" not in caught.value.sentence


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MAX_UNPACKED", 1000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.jpg", b"0" * 1001)
    with pytest.raises(Problem, match="larger than 1 GiB"):
        gathering.from_archive(Photo("bomb.zip", out.getvalue()))
    monkeypatch.setattr(gathering, "MAX_FILES", 1)
    with pytest.raises(Problem, match="at most 1"):
        gathering.from_archive(archive(**{"a.jpg": b"1", "b.jpg": b"2"}))


def test_a_locked_archive_is_said_to_be_one() -> None:
    content = bytearray(archive(**{"a.jpg": PHOTO}).content)
    # The flag of encryption, in the entry's own header and in the directory.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Problem, match="password"):
        gathering.from_archive(Photo("locked.zip", bytes(content)))


def test_renamed_and_left_out() -> None:
    drafts = [Draft("A", ("u",)), Draft("B", ("v",)), Draft("C", ("w",))]
    kept = gathering.renamed(drafts, ["X ", "B", "C"], [True, False, True])
    assert [(draft.sku, draft.pictures) for draft in kept] == [("X", ("u",)), ("C", ("w",))]
    with pytest.raises(Problem, match="once only"):
        gathering.renamed(drafts, ["A", "A", "C"], [True, True, True])
    with pytest.raises(Problem, match="no SKU"):
        gathering.renamed(drafts, ["", "B", "C"], [True, True, True])


@pytest.mark.parametrize(
    ("name", "sku"),
    [
        ("ALY-1.jpg", "ALY-1"),
        ("C:\\x\\A 1.png", "A-1"),
        ("a/b/ं ring.jpeg", "ring"),
        (".jpg", "jpg"),
        ("x" * 60, "x" * 40),
    ],
)
def test_skus_of_file_names(name: str, sku: str) -> None:
    assert sku_of(name) == sku
