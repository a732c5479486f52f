"""Bills, files, collections, thresholds and costs as plain data."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from openpyxl import load_workbook

from studio_service import bills, collecting, costs, making, neighbours, sheets
from studio_service.bills import Check
from studio_service.collecting import Wish
from studio_service.describing import Photo
from studio_service.neighbours import Found, Search
from studio_service.verdicts import Near

FORMULA = '=HYPERLINK("http://evil.example","x")'
ANSWER = {
    "columns": ["description", "qty", "rate", "amount"],
    "table": [
        {"description": "Stud", "qty": 12, "rate": 45, "amount": 540},
        {"description": "Hoop", "qty": 10, "rate": 9.5, "amount": 59},
    ],
    "extracted_data": {"taxable": "635.00", "total": "654.05"},
    "checks": [
        {"rule": "line_amount", "row": 1, "passed": True, "unsure": False, "detail": "holds"},
        {"rule": "line_amount", "row": 2, "passed": False, "unsure": False, "detail": "10 x 9.5 = 95.00, found 59"},
        {"rule": "taxable", "row": 0, "passed": False, "unsure": False, "detail": "expected 599.00, found 635.00"},
        {"rule": "total", "row": 0, "passed": True, "unsure": False, "detail": "holds"},
        {"rule": "gstin_checksum", "row": 0, "passed": True, "unsure": False, "detail": "holds"},
    ],
}


def wrong(bill: bills.Bill) -> list[tuple[str, int]]:
    return [(one.rule, one.row) for one in bill.checks if one.is_wrong]


def test_a_mended_cell_mends_the_arithmetic() -> None:
    bill = bills.of(ANSWER)
    assert wrong(bill) == [("line_amount", 2), ("taxable", 0)]
    assert bill.of_row(2) == (Check("line_amount", 2, passed=False, expected=95.0, found=59.0),)
    mended = bill.with_rows(bills.edited(bill.rows, {"edited_rows": {1: {"amount": 95}}}, bill.columns))
    assert wrong(mended) == []
    assert [one.rule for one in mended.checks] == ["line_amount", "line_amount", "taxable", "total", "gstin_checksum"]
    assert wrong(bill), "the first bill stays as it was"


def test_rows_come_and_go() -> None:
    bill = bills.of(ANSWER)
    changes = {"deleted_rows": [0], "added_rows": [{"qty": 1, "_index": 7}], "edited_rows": {"1": {"✓": "no"}}}
    rows = bills.edited(bill.rows, changes, bill.columns)
    assert [row["description"] for row in rows] == ["Hoop", None]
    assert rows[1] == {"description": None, "qty": 1, "rate": None, "amount": None}
    assert [one.unsure for one in bill.with_rows(rows).of_row(2)] == [True]


def test_taxes_of_rows_are_tested_again() -> None:
    row = {"qty": 2, "rate": "1,000.00", "amount": "₹ 2,000/-", "gst_rate": 3, "gst": 60, "line_total": 2061}
    bill = bills.Bill(tuple(row), (row,))
    assert [(one.rule, one.passed) for one in bill.checks] == [
        ("line_amount", True),
        ("line_gst", True),
        ("line_total", False),
    ]


def test_a_part_of_a_bill_is_not_held_against_its_totals() -> None:
    bill = bills.of(ANSWER)
    part = bills.narrowed(bill, bill.columns, [bill.rows[0]])
    assert [(one.rule, one.passed) for one in part.checks] == [("line_amount", True), ("gstin_checksum", True)]


def test_numbers_as_people_write_them() -> None:
    told = ["1,23,456.50", "₹ 540/-", "Rs. 12", "-3.5", 7, "12 PCS", "", None, True, float("nan")]
    assert [bills.numeral(value) for value in told] == [123456.5, 540, 12, -3.5, 7, None, None, None, None, None]
    assert bills.of(ANSWER).numeric == {"qty", "rate", "amount"}


def test_files_hold_no_formula() -> None:
    rows = [{"name": FORMULA, "n": 540.0, "t": "-12.5"}, {"name": "+1 call", "n": None, "t": "@x"}]
    told = list(csv.reader(io.StringIO(sheets.to_csv(["name", "n", "t"], rows).decode("utf-8-sig"))))
    assert told == [["name", "n", "t"], [f"'{FORMULA}", "540", "-12.5"], ["'+1 call", "", "'@x"]]
    sheet = load_workbook(io.BytesIO(sheets.to_xlsx(["name", "n", "t"], rows, "a/b [x]"))).active
    assert sheet is not None
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        ["name", "n", "t"],
        [FORMULA, 540, "-12.5"],
        ["+1 call", None, "@x"],
    ]
    assert "f" not in {cell.data_type for row in sheet.iter_rows() for cell in row}


def test_wishes_leave_out_what_was_not_said() -> None:
    wish = Wish(category="earrings", max_price=700.0, end=date(2026, 11, 22), hidden="A-1,\n A-2", words=" red ")
    assert wish.filters == {
        "category": "earrings",
        "end_price": 700.0,
        "end_date": "2026-11-22",
        "hidden_jewelry": ["A-1", "A-2"],
    }
    assert wish.needs == {**wish.filters, "manual_prompt": "red", "collection_size": 20}
    assert hash(wish.counted)
    assert Wish().filters == {}


def test_a_collection_as_rows() -> None:
    match = {"id": "7", "score": 0.71239, "words": ["red", "gold"], "pinned": True, "why": "It is red.", "style": ""}
    [row] = collecting.rows({"matches": [match]})
    assert (row["place"], row["score"], row["words"], row["pinned"]) == (1, 0.7124, "red, gold", "yes")


def near(url: str, distance: float, verdict: str = "similar") -> Near:
    return Near(url, url, "alya", distance, 0.9, 10, verdict, "distance", "similar")


def test_a_slider_narrows_what_a_photo_found_and_not_what_words_did() -> None:
    matches = (near("a", 1.0, "duplicate"), near("b", 30.0), near("c", 90.0))
    found = Found(Search(Photo("p.jpg", b"p")), matches)
    assert [one.url for one in found.within(30.0)] == ["a", "b"]
    assert [one.url for one in found.without("a").matches] == ["b", "c"]
    assert len(Found(Search(words="gold"), matches).within(0.0)) == 3
    assert neighbours.counts(matches) == {"duplicate": 1, "similar": 2}


def test_calibration_with_and_without_rates() -> None:
    told = {"model_id": "m", "duplicate_distance": 5, "similar_distance": 25, "pairs": 9}
    rates = [{"threshold": 1, "similar_miss": 1}, {"threshold": 30, "similar_match": 0.5}]
    known = neighbours.calibration({**told, "calibration": rates})
    assert known.steps() == [1, 5, 25, 30]
    nearest = known.at(20)
    assert nearest is not None
    assert (nearest.threshold, nearest.shares["similar_match"]) == (30, 0.5)
    assert len(known.lines()) == 2 * len(neighbours.KINDS)
    bare = neighbours.calibration(told)
    assert bare.at(20) is None
    assert {5.0, 25.0} <= set(bare.steps())
    assert bare.steps() == sorted(bare.steps())


def test_costs_have_every_day() -> None:
    cost = {"calls": 2, "input_tokens": 10, "output_tokens": 1}
    day = {"marketplace": "amazon", "products": 1}
    told = [
        {**day, "day": "2026-11-20", "marketplace_type": "ama_ear", "cost": {**cost, "inr": 1.25}},
        {**day, "day": "2026-11-20", "marketplace_type": "ama_nec", "cost": {**cost, "inr": 2.0}},
        {
            **day,
            "day": "2026-11-22",
            "marketplace": "meesho",
            "marketplace_type": "mee_ear",
            "cost": {**cost, "inr": 4},
        },
    ]
    found = costs.costs(told)
    assert (found.rupees, found.products) == (7.25, 3)
    bars = {(row["day"], row["marketplace"]): row["inr"] for row in found.bars(date(2026, 11, 22), 3)}
    assert len(bars) == 6
    assert (bars["2026-11-20", "amazon"], bars["2026-11-21", "amazon"], bars["2026-11-22", "meesho"]) == (3.25, 0, 4)


@pytest.mark.parametrize(("maker", "lack"), [("openai", "no key"), ("gemini", "")])
def test_what_a_maker_lacks(maker: str, lack: str) -> None:
    adapters = [{"role": "image_edits", "name": "none", "detail": "no key"}, {"role": "image_variations", "name": "g"}]
    assert making.lacking({"services": {"copywriter": {"adapters": adapters}}}, maker) == lack
