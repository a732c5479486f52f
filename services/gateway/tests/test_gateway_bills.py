"""/process-image-and-prompt and /further_req: bills into tables, and what is kept of them."""

from __future__ import annotations

import csv
import io

import pytest
from jewelry.analyzer.v1 import analyzer_pb2 as an
from jewelry.type.v1 import type_pb2

from gateway_service import tables
from gateway_service.routers.negotiation import wants_csv
from servicekit import errors

PDF = b"%PDF-1.7\n1 0 obj\n"


def cell(text: str, number: float | None = None) -> an.Cell:
    return an.Cell(text=text, number=number, confidence=0.9)


def bill(_: object) -> an.ExtractTableResponse:
    return an.ExtractTableResponse(
        table=an.Table(
            columns=["description", "qty", "amount"],
            rows=[
                an.Row(cells=[cell("Stud"), cell("12", 12), cell("540.50", 540.5)], page=1),
                an.Row(cells=[cell("=cmd|' /C calc'!A0"), cell("-1", -1), cell("@x")], page=1),
            ],
        ),
        fields=[an.NamedValue(name="invoice_no", value="A-17", confidence=0.9)],
        extras=[an.NamedValue(name="address", value="Jaipur", confidence=0.5)],
        checks=[an.TableCheck(rule="line_amount", row=1, passed=False, detail="12 x 45 is 540")],
        adapter=type_pb2.Adapter(role="bills", name="gemini", model_id="gemini-3.8-flash"),
        cost=type_pb2.Cost(calls=1),
    )


@pytest.fixture(autouse=True)
def scripted(request) -> None:
    if "system" in request.fixturenames or "http" in request.fixturenames:
        script = request.getfixturevalue("system")["analyzer"].script
        script["ExtractTable"] = bill
        script["RefineTable"] = _refine


def _refine(request: an.RefineTableRequest) -> an.RefineTableResponse:
    """Keeps the rows whose second cell is more than 1000, last one first."""
    columns = list(request.columns) or list(request.table.columns)
    places = [list(request.table.columns).index(name) for name in columns]
    rows = [an.Row(cells=[row.cells[place] for place in places]) for row in request.table.rows]
    kept = [new for new, old in zip(rows, request.table.rows, strict=True) if old.cells[1].number > 1000]
    return an.RefineTableResponse(
        table=an.Table(columns=columns, rows=kept[::-1]),
        understood=request.refinement,
        adapter=type_pb2.Adapter(role="bills", name="conditions", embedded=True),
    )


@pytest.mark.parametrize("name", ["image", "file", "files"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_bill_becomes_a_table(http, system, jpeg, name, slash) -> None:
    answer = await http.post(
        f"/process-image-and-prompt{slash}", files={name: ("bill.jpg", jpeg)}, data={"prompt": "the address too"}
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["table"][0] == {"description": "Stud", "qty": 12, "amount": 540.5}
    assert body["extracted_data"] == {"invoice_no": "A-17"}
    assert body["extras"] == {"address": "Jaipur"}
    assert body["checks"] == [
        {"rule": "line_amount", "row": 1, "passed": False, "unsure": False, "detail": "12 x 45 is 540"}
    ]
    assert body["confidence"][0] == [0.9, 0.9, 0.9]
    assert body["provenance"] == {"bills": "gemini", "bills_model": "gemini-3.8-flash"}
    [call] = system["analyzer"].calls["ExtractTable"]
    assert (list(call.pages), call.prompt) == ([jpeg], "the address too")
    assert "analyzer;dur=" in answer.headers["server-timing"]


async def test_pages_in_order_a_pdf_and_raw_bodies(http, system, jpeg) -> None:
    pages = [("image", ("1.jpg", jpeg)), ("image", ("2.jpg", jpeg + b"\0"))]
    assert (await http.post("/process-image-and-prompt", files=pages)).status_code == 200
    assert (await http.post("/process-image-and-prompt", files={"file": ("b.pdf", PDF)})).status_code == 200
    for kind, content in (("image/jpeg", jpeg), ("application/pdf", PDF), ("application/octet-stream", PDF)):
        answer = await http.post(
            "/process-image-and-prompt", params={"prompt": "p"}, content=content, headers={"Content-Type": kind}
        )
        assert answer.status_code == 200, answer.text
    calls = system["analyzer"].calls["ExtractTable"]
    assert [list(call.pages) for call in calls] == [[jpeg, jpeg + b"\0"], [PDF], [jpeg], [PDF], [PDF]]
    assert calls[-1].prompt == "p"


@pytest.mark.parametrize(
    ("files", "status", "code"),
    [
        ([], 415, "MEDIA_TYPE_UNSUPPORTED"),
        ([("other", ("a.jpg", b"x"))], 422, "INVALID_ARGUMENT"),
        ([("image", ("a.txt", b"no bill"))], 400, "IMAGE_UNREADABLE"),
        ([("image", ("a.pdf", PDF)), ("image", ("b.pdf", PDF))], 422, "FILES_SEVERAL"),
        ([("image", (f"{n}.pdf", PDF)) for n in range(21)], 422, "FILES_SEVERAL"),
    ],
)
async def test_what_is_no_bill(door, files, status, code) -> None:
    answer = await door.post("/process-image-and-prompt", files=files)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_csv_holds_no_formula(http, jpeg) -> None:
    answer = await http.post("/process-image-and-prompt", files={"image": jpeg}, headers={"Accept": "text/csv"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv; charset=utf-8")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows == [
        ["description", "qty", "amount"],
        ["Stud", "12", "540.5"],
        ["'=cmd|' /C calc'!A0", "-1", "'@x"],
    ]


async def test_unimplemented_is_a_501(system, http, jpeg) -> None:
    del system["analyzer"].script["ExtractTable"]
    answer = await http.post("/process-image-and-prompt", files={"image": jpeg})
    assert (answer.status_code, answer.headers["content-type"]) == (501, "application/problem+json")


DATA = [
    {"Item": "Stud", "Amount": "1,200.50", "Paid": True},
    {"Item": "Hoop", "Amount": 800},
    {"Item": "Ring", "Amount": 4000, "Paid": None, "Note": "=1+1"},
]


@pytest.mark.parametrize("columns", ["Amount,Item", ["Amount", "Item"]])
async def test_rows_come_back_as_they_were_sent(http, system, columns) -> None:
    answer = await http.post("/further_req", json={"data": DATA, "columns": columns, "manual": "Amount > 1000"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["data"] == [{"Amount": 4000, "Item": "Ring"}, {"Amount": "1,200.50", "Item": "Stud"}]
    assert list(body["data"][0]) == ["Amount", "Item"]
    assert body["filtered_csv"] == 'Amount,Item\r\n4000,Ring\r\n"1,200.50",Stud\r\n'
    assert body["understood"] == "Amount > 1000"
    [call] = system["analyzer"].calls["RefineTable"]
    assert list(call.table.columns) == ["Item", "Amount", "Paid", "Note"]
    assert [row.cells[1].number for row in call.table.rows] == [1200.5, 800, 4000]
    assert not call.table.rows[1].cells[2].HasField("number")
    assert (list(call.columns), call.refinement) == (["Amount", "Item"], "Amount > 1000")


async def test_all_columns_keep_types_and_csv_is_safe(http) -> None:
    body = (await http.post("/further_req", json={"data": DATA, "manual": "x"})).json()
    assert body["data"][0] == {"Item": "Ring", "Amount": 4000, "Paid": None, "Note": "=1+1"}
    assert body["data"][1] == {"Item": "Stud", "Amount": "1,200.50", "Paid": True, "Note": None}
    answer = await http.post("/further_req", json={"data": DATA, "manual": "x"}, headers={"Accept": "text/csv"})
    assert list(csv.reader(io.StringIO(answer.text)))[1] == ["Ring", "4000", "", "'=1+1"]


@pytest.mark.parametrize("invented", ["row", "column", "value"])
async def test_nothing_invented_is_passed_on(http, system, invented) -> None:
    def refine(request: an.RefineTableRequest) -> an.RefineTableResponse:
        row = an.Row(cells=[cell("Stud" if invented == "row" else "Anklet" if invented == "value" else "x")])
        columns = ["Profit"] if invented == "column" else ["Item"]
        rows = [row, row] if invented == "row" else [row]
        return an.RefineTableResponse(table=an.Table(columns=columns, rows=rows))

    system["analyzer"].script["RefineTable"] = refine
    answer = await http.post("/further_req", json={"data": DATA, "manual": "x"})
    assert (answer.status_code, answer.json()["code"]) == (502, "REFINEMENT_INVENTED")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": []},
        {"data": [{}]},
        {"data": [{"a": [1]}]},
        {"data": [{"a": {"b": 1}}]},
        {"data": ["x"]},
        {"data": [{"a": "x" * 5001}]},
        {"data": [{str(n): 1 for n in range(201)}]},
        {"data": [{"a": 1}], "columns": 3},
    ],
)
async def test_data_that_is_no_table(door, body) -> None:
    answer = await door.post("/further_req", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_half_characters(door) -> None:
    sent = b'{"data": [{"a": "\\ud800"}]}'
    answer = await door.post("/further_req", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("1000", 1000), ("1,000.5", 1000.5), ("12,34,567", 1234567), ("₹ 99", 99), ("Rs. 5", 5), ("-3.5", -3.5)),
        *((" 7 ", 7), ("450/-", 450), ("12 pcs", None), ("1,2", None), ("", None), ("A-17", None), ("1.2.3", None)),
    ],
)
def test_numbers_in_texts(text, number) -> None:
    assert tables.from_records([{"a": text}]).rows[0][0].number == number


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *(("=1", "'=1"), ("+x", "'+x"), ("-x", "'-x"), ("@x", "'@x"), ("\t=1", "'\t=1"), ("  =1", "'  =1")),
        *(("-12.5", "-12.5"), ("+5", "+5"), ("1e-3", "1e-3"), ("plain", "plain"), ("", ""), ("a=1", "a=1")),
        *(("-1+1", "'-1+1"), ("\r=1", "'\r=1"), ("＝1", "'＝1")),
    ],
)
def test_harmless(text, shown) -> None:
    assert tables.harmless(text) == shown


def test_rows_that_differ_only_in_case_are_not_mixed_up() -> None:
    sent = [{"a": "Stud", "n": 1}, {"a": "stud", "n": 2}]
    table = tables.from_records(sent)
    refined = tables.Table(("a",), ((tables.Cell("stud"),),))
    assert tables.originals(sent, table, refined) == [{"a": "stud"}]
    with pytest.raises(errors.DataLoss):
        tables.originals(sent, table, tables.Table(("a",), ((tables.Cell("STUD"),),)))


def test_repeated_columns_keep_their_values() -> None:
    table = tables.Table(("tax", "tax"), ((tables.Cell("1", 1), tables.Cell("2.5", 2.5)), (tables.Cell("x"),)))
    assert table.records() == [{"tax": 1, "tax (2)": 2.5}, {"tax": "x", "tax (2)": ""}]


@pytest.mark.parametrize(
    ("accept", "csv_wanted"),
    [
        *(("text/csv", True), ("text/csv, */*;q=0.5", True), ("application/json", False), ("*/*", False), ("", False)),
        *(("text/csv;q=0.1, application/json", False), ("text/csv;q=0", False), ("TEXT/CSV; q=1", True)),
        ("text/csv;q=x", False),
    ],
)
def test_accept(accept, csv_wanted) -> None:
    from starlette.requests import Request

    request = Request({"type": "http", "headers": [(b"accept", accept.encode())]})
    assert wants_csv(request) is csv_wanted
