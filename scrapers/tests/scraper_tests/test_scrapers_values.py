"""Prices in Indian notation, counts, ratings, clean text: given texts, and any text at all."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers import values

from .local_site.goods import rupees

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.decimals(),
    st.text(alphabet="₹Rs.,0123456789 -–toklMRP%\xa0"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "low", "high", "currency"),
    [
        ("₹1,299", "1299", None, "INR"),
        ("₹1,23,456.50", "123456.50", None, "INR"),
        ("₹ 12,34,567.00", "1234567", None, "INR"),
        ("₹\xa0499.00", "499", None, "INR"),
        ("Rs. 1,499", "1499", None, "INR"),
        ("Rs.999", "999", None, "INR"),
        ("rs 75", "75", None, "INR"),
        ("INR 2,500.75", "2500.75", None, "INR"),
        ("MRP: 1,999", "1999", None, "INR"),
        ("M.R.P.: ₹1,999", "1999", None, "INR"),
        ("1,299.", "1299", None, ""),
        ("1299.00", "1299", None, ""),
        ("499", "499", None, ""),
        ("₹299 - ₹599", "299", "599", "INR"),
        ("₹299-₹599", "299", "599", "INR"),
        ("₹1,299.00 – ₹2,499.00", "1299", "2499", "INR"),
        ("₹299 to ₹599", "299", "599", "INR"),
        ("₹299 - 599", "299", "599", "INR"),
        ("299 - 599", "299", "599", ""),
        ("₹599 - ₹299", "299", "599", "INR"),
        ("₹299.00₹299.00 - ₹599.00₹599.00", "299", "599", "INR"),
        ("₹1,299.00₹1,299", "1299", None, "INR"),
        ("₹1,299 (50% off)", "1299", None, "INR"),
        ("₹499 -23%", "499", None, "INR"),
        ("₹1.2 lakh", "120000", None, "INR"),
        ("₹2.5k", "2500", None, "INR"),
        ("₹1.5 Cr", "15000000", None, "INR"),
        ("$12.99", "12.99", None, "USD"),
        ("&#8377;349", "349", None, "INR"),
        ("₹१,२९९", "1299", None, "INR"),
    ],
)
def test_price(text: str, low: str, high: str | None, currency: str) -> None:
    assert values.price(text) == values.Price(Decimal(low), Decimal(high) if high else None, currency)


NO_PRICES = ("", "Free", "5 offers from", "-₹200", "Save −₹50", "50% off", "₹", "₹0", "₹0.00", "see price in cart")
NOR_THESE = ("18kt", "₹ -", "9" * 40, "₹" + "9" * 30, "1-2-3", "(45)")


@pytest.mark.parametrize("text", [*NO_PRICES, *NOR_THESE])
def test_no_price(text: str) -> None:
    assert values.price(text) is None


@given(st.decimals(min_value=Decimal("0.01"), max_value=Decimal(999_999_999), places=2))
def test_price_in_indian_grouping_round_trip(amount: Decimal) -> None:
    for text in (f"₹{rupees(amount)}", f"Rs. {rupees(amount)}", f"M.R.P.: ₹ {rupees(amount)} (Incl. of all taxes)"):
        found = values.price(text)
        assert found is not None
        assert (found.low, found.high, found.currency) == (amount, None, "INR")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1,234 ratings", 1234),
        ("1.2k ratings", 1200),
        ("1.2k", 1200),
        ("12.5K Ratings", 12500),
        ("(45)", 45),
        ("2.1 lakh", 210_000),
        ("1,23,456 global ratings", 123_456),
        ("12,345 Ratings & 678 Reviews", 12345),
        ("678 Reviews and 12,345 Ratings", 12345),
        ("3.4M", 3_400_000),
        ("10k+ ratings", 10_000),
        (1234, 1234),
        (12.0, 12),
        ("0", 0),
        ("No ratings yet", None),
        ("4.2 out of 5", None),
        ("", None),
        (True, None),
        (-3, None),
        (1.5, None),
    ],
)
def test_count(text: Any, count: int | None) -> None:
    assert values.count(text) == count


@pytest.mark.parametrize(
    ("text", "stars"),
    [
        ("4.2 out of 5 stars", 4.2),
        ("4.2", 4.2),
        ("4,2", 4.2),
        ("4.2★", 4.2),
        ("Rated 3.9/5", 3.9),
        (4.14705, 4.15),
        ("5", 5.0),
        (0, None),
        ("0", None),
        ("7.5", None),
        ("12 ratings", None),
        ("no rating", None),
        (True, None),
    ],
)
def test_rating(text: Any, stars: float | None) -> None:
    assert values.rating(text) == stars


def test_clean_text() -> None:
    assert values.clean(" \u200eBrass\u200b &amp;\xa0gold\n\tplated\x00 ") == "Brass & gold plated"
    assert values.clean(None) == values.clean([]) == values.clean(float("nan")) == ""
    assert values.clean(12) == "12"


@pytest.mark.parametrize(
    ("value", "base", "address"),
    [
        ("//m.media-amazon.com/i.jpg", "", "https://m.media-amazon.com/i.jpg"),
        ("/dp/X", "https://www.amazon.in/s?k=1", "https://www.amazon.in/dp/X"),
        ("data:image/gif;base64,AA", "https://a.in", ""),
        ("javascript:void(0)", "https://a.in", ""),
        ("http://[::1", "", ""),
        ("https://a.in/a b", "", ""),
        (None, "", ""),
    ],
)
def test_web_address(value: Any, base: str, address: str) -> None:
    assert values.web_address(value, base) == address


def test_retry_after() -> None:
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    assert values.seconds_to_wait("120", now) == 120
    assert values.seconds_to_wait("Sun, 22 Nov 2026 12:00:30 GMT", now) == 30
    assert values.seconds_to_wait("Sun, 22 Nov 2026 11:00:00 GMT", now) == 0
    assert values.seconds_to_wait("soon", now) is None
    assert values.seconds_to_wait(None, now) is None


@given(ANYTHING)
def test_never_an_exception_never_a_wrong_type(value: Any) -> None:
    found = values.price(value)
    assert found is None or (0 < found.low <= values.MAX_PRICE and (found.high is None or found.high > found.low))
    number = values.amount(value)
    assert number is None or (isinstance(number, Decimal) and 0 < number <= values.MAX_PRICE)
    count = values.count(value)
    assert count is None or (type(count) is int and 0 <= count <= values.MAX_COUNT)
    stars = values.rating(value)
    assert stars is None or (type(stars) is float and 0 < stars <= 5)
    text = values.clean(value)
    assert text == " ".join(text.split())
    address = values.web_address(value, "https://www.amazon.in/")
    assert address == "" or address.startswith(("http://", "https://"))
    values.seconds_to_wait(value if isinstance(value, str) else None, datetime.now(UTC))
