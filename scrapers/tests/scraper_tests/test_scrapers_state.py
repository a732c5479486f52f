"""The state of a run: what it remembers, whom it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from scrapers.browse.store import Counts, Store, StoreError, drop
from scrapers.outcome import Picture, Upload
from scrapers.record import Record, Specification, Variant
from scrapers.sites import SearchResult


def found(*numbers: int) -> list[SearchResult]:
    return [SearchResult(f"P{number}", f"http://shop.test/dp/P{number}") for number in numbers]


def record(name: str) -> Record:
    return Record(
        site="amazon",
        product_id=name,
        url=f"http://shop.test/dp/{name}",
        title=f"=1+1 {name} स्वर्ण",
        price=Decimal("1234.50"),
        specifications=(Specification(name="Metal", value="Brass"),),
        variants=(Variant(product_id="P9", options=(("Colour", "Gold"),), available=True, price=Decimal(5)),),
        scraped_at=datetime(2026, 11, 22, 9, 30, 1, 250_000, tzinfo=UTC),
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "run.sqlite", "a run")
    yield store
    store.close()


def test_records_come_back_as_they_were_in_the_order_asked_for(store: Store) -> None:
    store.add_products(found(1, 2, 3), limit=10)
    tasks = [store.next(set()), store.next({1}), store.next({1, 2})]
    for task in reversed(tasks):
        assert task is not None
        assert store.save(task, record(task.key))
    assert list(store.records()) == [record("P1"), record("P2"), record("P3")]
    assert store.counts() == Counts(waiting=0, done=3, failed=0)
    assert store.next(set()) is None


def test_one_product_under_two_addresses_is_one_row(store: Store) -> None:
    store.add_products(found(1, 2), limit=10)
    first, second = store.next(set()), store.next({1})
    assert first is not None
    assert second is not None
    assert store.save(first, record("P1"))
    assert not store.save(second, record("P1"))
    assert [kept.product_id for kept in store.records()] == ["P1"]
    assert store.counts() == Counts(done=2)
    assert not store.failures()


def test_search_pages_add_products_until_the_limit(store: Store) -> None:
    store.add_search("http://shop.test/s?page=1")
    task = store.next(set())
    assert task is not None
    assert store.finish_search(task, found(1, 2, 3, 4), "http://shop.test/s?page=2", limit=3, pages=9) == 4
    assert store.counts().waiting == 3
    assert store.waiting_searches() == 0  # the next page waits beyond the limit
    store.reach(limit=4, pages=9)
    assert store.counts().waiting == 4
    assert store.waiting_searches() == 0
    store.reach(limit=5, pages=1)
    assert store.waiting_searches() == 0
    store.reach(limit=5, pages=2)
    assert store.waiting_searches() == 1


def test_a_search_page_with_nothing_new_is_the_last(store: Store) -> None:
    store.add_search("http://shop.test/s")
    task = store.next(set())
    assert task is not None
    store.add_products(found(1), limit=9)
    assert store.finish_search(task, found(1), "http://shop.test/s?page=2", limit=9, pages=9) == 0
    assert store.waiting_searches() == 0


def test_failures_are_tried_again_and_what_is_gone_is_not(store: Store) -> None:
    store.add_products(found(1, 2, 3, 4), limit=9)
    for number, kind in ((1, "gone"), (2, "failed"), (3, "unparsed"), (4, "disallowed")):
        task = store.next(set())
        assert task is not None
        store.fail(task, kind, f"because {number}")  # type: ignore[arg-type]
    assert store.counts() == Counts(failed=4)
    assert [failure.reason for failure in store.failures()] == [f"because {number}" for number in (1, 2, 3, 4)]
    assert store.try_again() == 3
    assert store.counts() == Counts(waiting=3, failed=1)


def test_pictures_and_uploads_come_back(store: Store) -> None:
    picture = Picture("P1", "http://i/1.jpg", "/tmp/1.jpg", "image/jpeg", 80, 100, 900)
    upload = Upload("P1", "http://i/1.jpg", "stored", "similar", "http://s/1.jpg", 2)
    store.save_picture(Picture("P1", "http://i/1.jpg", reason="answers 500"))
    store.save_picture(picture)
    store.save_upload(upload)
    assert store.pictures() == {("P1", "http://i/1.jpg"): picture}
    assert store.uploads() == {("P1", "http://i/1.jpg"): upload}


def test_writing_while_reading(store: Store) -> None:
    store.add_products(found(*range(250)), limit=999)
    for number in range(250):
        task = store.next(set())
        assert task is not None
        store.save(task, record(f"P{number}"))
    seen = 0
    for kept in store.records():
        store.save_picture(Picture(kept.product_id, "http://i/1.jpg"))
        seen += 1
    assert seen == len(store.pictures()) == 250


def test_one_run_at_a_time(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="in use"):
        Store(tmp_path / "run.sqlite", "a run")


def test_another_run_and_another_file_are_refused(store: Store, tmp_path: Path) -> None:
    store.close()
    with pytest.raises(StoreError, match=r"holds another run \(a run\)"):
        Store(tmp_path / "run.sqlite", "another run")
    (tmp_path / "notes.sqlite").write_text("these are notes, not a database, and long enough to be read as one" * 20)
    with pytest.raises(StoreError, match="no state file"):
        Store(tmp_path / "notes.sqlite", "a run")
    drop(tmp_path / "run.sqlite")
    Store(tmp_path / "run.sqlite", "another run").close()
