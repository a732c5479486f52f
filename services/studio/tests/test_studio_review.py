"""The review: what a person looks at, in which order, and what is sent when they are done."""

from __future__ import annotations

from typing import Any

from studio_service import review
from studio_service.review import Column, Product

COLUMNS = review.columns(
    {
        "columns": [
            {"field": "brand_name", "label": "Brand", "required": True, "allowed_values": [], "max_length": 50},
            {"field": "metal", "label": "Metal", "required": True, "allowed_values": ["Brass", "Alloy"]},
            {"field": "occasion1", "label": "Occasion", "allowed_values": ["Party", "Wedding"]},
            {"field": "occasion2", "label": "Occasion", "allowed_values": ["Party", "Wedding"]},
            {"field": "", "label": "Gift wrap"},
            {"field": "color", "label": "Color"},
            {"field": "stones", "label": "Stones"},
            {"field": "theme", "label": "Theme"},
            {"field": "main_image", "label": "Main image"},
        ]
    }
)


def field(
    name: str, *values: str, confidence: float = 0.0, source: str = "image", evidence: str = ""
) -> dict[str, Any]:
    return {"field": name, "values": [*values], "confidence": confidence, "source": source, "evidence": evidence}


def finding(name: str, severity: str = "error", rule: str = "required") -> dict[str, Any]:
    return {
        "field": name,
        "severity": severity,
        "rule": rule,
        "message": f"{name} {rule}",
        "cell": "B4",
        "suggestion": "",
    }


def result(**more: Any) -> dict[str, Any]:
    return {
        "sku": "A-1",
        "name": "Gold hoops",
        "status": "success",
        "image_urls": ["http://x/files/a.jpg"],
        "fields": [
            field("color", "Gold", confidence=0.45, evidence="30% yellow"),
            field("metal", confidence=0.0),
            field("stones", confidence=0.0),
            field("theme", confidence=0.0),
            field("occasion1", "Party", confidence=0.9),
            field("gone", "x", confidence=0.1),
        ],
        "review": [
            {"field": "metal", "reason": "cannot be seen", "suggestions": []},
            {"field": "stones", "reason": "counted roughly", "suggestions": ["12"]},
            {"field": "theme", "reason": "cannot be seen", "suggestions": []},
        ],
        "issues": [
            finding("metal"),
            finding("brand_name", "warning"),
            finding("main_image", "warning", "image_host"),
            finding("", "warning", "picture"),
            finding("color", "info", "told"),
        ],
        "copy": {"title": "T", "bullet_points": ["a", "b"], "description": "D"},
        **more,
    }


def names(cells: Any) -> list[str]:
    return [cell.column.field for cell in cells]


def made(**more: Any) -> Product:
    return review.product(result(**more), COLUMNS, 0.5)


def test_what_is_refused_comes_first_then_the_lowest_confidence() -> None:
    one = made()
    assert names(one.open_cells) == ["metal", "brand_name", "stones", "color"]
    assert names(one.cells) == ["metal", "brand_name", "stones", "theme", "color", "occasion1"]
    metal, brand, stones, color = one.open_cells
    assert (metal.column.options, metal.column.required, metal.reason) == (("Brass", "Alloy"), True, "cannot be seen")
    assert [found.message for found in brand.findings] == ["brand_name required"]
    assert (stones.suggestions, color.evidence, color.doubtful) == (("12",), "30% yellow", True)
    assert one.errors == 1
    # What concerns no cell, or a cell where no other text would help, is told of the product.
    assert [found.rule for found in one.findings] == ["image_host", "picture"]
    assert one.copy == review.Copy("T", ("a", "b"), "D")


def test_columns_with_one_label_are_told_apart() -> None:
    assert [column.label for column in COLUMNS.values()][2:4] == ["Occasion 1", "Occasion 2"]
    assert COLUMNS["brand_name"] == Column("brand_name", "Brand", required=True, max_length=50, position=0)


def test_products_in_order() -> None:
    fine = made(sku="B", review=[], issues=[], fields=[field("color", "Gold", confidence=0.9)])
    doubt = made(sku="C", review=[], issues=[], fields=[field("color", "Gold", confidence=0.2)])
    failed = made(sku="D", status="failed")
    assert [one.sku for one in review.in_order([fine, doubt, failed, made()])] == ["A-1", "C", "B"]
    assert names_of(review.open_fields([fine, doubt, made()])) == ["metal", "brand_name", "stones", "color"]
    assert review.open_fields([fine]) == []


def names_of(columns: list[Column]) -> list[str]:
    return [column.field for column in columns]


def test_accepting_sends_what_was_changed_and_what_stands_though_in_doubt() -> None:
    one = made()
    given = {"metal": ["Brass"], "brand_name": [""], "stones": [], "color": ["Gold"], "occasion1": ["Party"]}
    assert review.accepted(one.cells, given) == {"metal": ["Brass"], "color": ["Gold"]}
    assert review.accepted(one.cells, {"occasion1": ["Wedding "], "color": []}) == {
        "color": [],
        "occasion1": ["Wedding"],
    }


def test_an_edit_settles_what_it_is_about() -> None:
    one = made()
    answer = result(
        fields=[field("metal", "Brass", confidence=1.0, source="person"), field("color", "Gold", confidence=0.45)],
        issues=[finding("metal", "error", "option"), finding("metal")],
        review=[],
    )
    after = review.settled(one, review.product(answer, COLUMNS, 0.5))
    assert names(after.open_cells) == ["brand_name", "stones", "color"]
    assert {cell.column.field: cell.values for cell in after.cells}["metal"] == ("Brass",)
    assert after.findings == one.findings


def test_a_persons_value_that_is_refused_stays_open() -> None:
    """Read anew: what was empty has been filled since; what is wrong by another rule is still wrong."""
    mine = field("metal", "Tin", confidence=1.0, source="person")
    filled = made(fields=[mine], issues=[finding("metal")], review=[])
    assert filled.open_cells == ()
    wrong = made(fields=[mine], issues=[finding("metal", "error", "option")], review=[])
    assert names(wrong.open_cells) == ["metal"]


def test_the_grid_and_what_was_changed_in_it() -> None:
    several = made(sku="B", fields=[field("color", "Gold", "Red", confidence=0.2)], review=[], issues=[])
    shown = [COLUMNS["metal"], COLUMNS["color"]]
    before = review.grid([made(), several], shown)
    assert before[1] == {"sku": "B", "name": "Gold hoops", "metal": "", "color": "Gold, Red"}
    after = [dict(row) for row in before]
    after[0]["metal"] = "Brass"
    after[1]["metal"] = None  # type: ignore[typeddict-item]  # as the editor has an emptied cell
    after[1]["color"] = "Gold, Green"
    changed = review.changes(before, after, ["metal", "color"])
    assert changed == {"A-1": {"metal": "Brass"}, "B": {"color": "Gold, Green"}}
    assert review.apart(several, "color", "Gold, Green") == ["Gold", "Green"]
    assert review.apart(made(), "color", "Black, gold plated") == ["Black, gold plated"]
    assert review.apart(made(), "color", "") == []
