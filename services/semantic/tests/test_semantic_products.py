"""Prices, dates and stock as shops write them; broken products beside good ones."""

from __future__ import annotations

import pytest

from semantic_service import mapping, products, values

MAPPING = mapping.load()


@pytest.mark.parametrize(
    ("written", "rupees"),
    [
        (1299, 1299.0),
        ("1299.50", 1299.5),
        ("Rs. 1,299.00", 1299.0),
        ("₹1,299", 1299.0),
        ("INR 1,29,999/-", 129999.0),
        ("Rs.499 only", 499.0),
        ("MRP: 2,499".replace(":", ""), 2499.0),
        ("₹499 - ₹799", 499.0),
        (0, None),
        ("", None),
        (None, None),
        ("N/A", None),
    ],
)
def test_prices(written: object, rupees: float | None) -> None:
    assert values.price(written) == rupees


@pytest.mark.parametrize("written", ["on request", "$49", "-5", -5, float("nan"), True, "12.3.4", "1e999", []])
def test_what_is_no_price(written: object) -> None:
    with pytest.raises(ValueError, match="is"):
        values.price(written)


@pytest.mark.parametrize(
    "written",
    [
        "2024-03-05",
        "2024-03-05T23:59:59.000Z",
        "2024/3/5",
        "20240305",
        20240305,
        "05/03/2024",
        "05-03-2024 10:30",
        "5 Mar 2024",
        "5th March, 2024",
        "Mar 5, 2024",
        "March 5 2024",
        "Tue, 05 Mar 2024 10:00:00 GMT",
        1709596800,
        1709596800000,
        "1709596800",
        {"$date": "2024-03-05T00:00:00Z"},
    ],
)
def test_dates(written: object) -> None:
    assert values.day(written) == 20240305


def test_a_date_that_can_be_read_in_one_way_only() -> None:
    assert values.day("03/25/2024") == 20240325
    assert values.day("03/05/2024", day_first=False) == 20240305


@pytest.mark.parametrize("written", ["soon", "31/02/2024", "2024-13-01", 5, "Smarch 5, 2024", True])
def test_what_is_no_date(written: object) -> None:
    with pytest.raises(ValueError, match="is"):
        values.day(written)


@pytest.mark.parametrize(
    ("written", "held"),
    [(3, True), (0, False), ("In Stock", True), ("sold out", False), ("https://schema.org/OutOfStock", False),
     ("7", True), (False, False), (None, None)],
)  # fmt: skip
def test_stock(written: object, held: bool | None) -> None:
    assert values.stock(written) is held


def test_broken_products_are_skipped_and_named_and_their_neighbours_stay() -> None:
    good = {"id": 1, "title": "Gold ring", "price": 100}
    read = products.read(
        [good, {"title": "no id"}, "not an object", {"id": 2}, {"id": 1, "title": "again"}, {"id": 3, "name": "Kada"}],
        MAPPING,
    )
    assert [product.id for product in read.products] == ["1", "3"]
    assert read.skipped == 4
    assert len(read.problems) == 4
    assert read.problems[0] == "record 2: it has no id; skipped"
    assert "product 1: its id came before" in read.problems[3]


def test_what_cannot_be_understood_is_left_empty_and_told() -> None:
    read = products.read([{"id": "A", "title": "Ring", "price": "on request", "date": "soon"}], MAPPING)
    (product,) = read.products
    assert (product.price, product.date) == (None, None)
    assert len(read.problems) == 2
    assert "'on request' is not a number" in read.problems[0]


def test_a_sale_price_of_zero_gives_way_to_the_price() -> None:
    read = products.read([{"id": "A", "title": "Ring", "sale_price": 0, "price": "Rs. 1,299.00"}], MAPPING)
    assert read.products[0].price == 1299.0


def test_nested_fields_and_html() -> None:
    record = {
        "_id": {"$oid": "65f"},
        "product_name": "Kundan &amp; Pearl <b>Choker</b>",
        "category": {"name": "Necklaces"},
        "price": {"amount": "₹2,499", "currency": "INR"},
        "createdAt": {"$date": "2024-03-05T00:00:00Z"},
        "attributes": [{"name": "Color", "value": "Rose Gold"}, {"name": "Occasion", "value": "Wedding"}],
        "variants": [{"available": False}],
        "tags": ["bridal", "bridal", "n/a"],
    }
    (product,) = products.read([record], MAPPING).products
    assert product.id == "65f"
    assert product.title == "Kundan & Pearl Choker"
    assert (product.category, product.price, product.date) == ("Necklaces", 2499.0, 20240305)
    assert product.color == "rose gold"
    assert product.details == ("bridal", "Wedding")
    assert not product.in_stock


def test_what_changes_which_hash() -> None:
    def one(**changes: object) -> products.Product:
        return products.read([{"id": 1, "title": "Ring", "price": 100} | changes], MAPPING).products[0]

    before, dearer, renamed = one(), one(price=200), one(title="Band")
    assert before.content_digest("x") == one().content_digest("x") != before.content_digest("y")
    assert before.content_digest("x") != dearer.content_digest("x")
    assert before.text_digest() == dearer.text_digest() != renamed.text_digest()


def test_a_source_full_of_faults_is_told_in_short() -> None:
    read = products.read([{}] * 1000, MAPPING)
    assert read.skipped == 1000
    assert len(read.problems) == products.MAX_PROBLEMS + 1
    assert "800 more" in read.problems[-1]
