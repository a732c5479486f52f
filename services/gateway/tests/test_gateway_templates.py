"""/templates: a seller's own workbook, and the list of those that are known."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from jewelry.exporter.v1 import exporter_pb2 as ex

from servicekit import errors


def template(*, columns: bool = True) -> ex.Template:
    made = ex.Template(
        id="t1",
        marketplace_code="ama_ear",
        version=2,
        original_name="mine.xlsx",
        sheet="Template",
        data_row=4,
        create_time=Timestamp(seconds=1_700_000_000),
        warnings=["Gift wrap was not understood"],
    )
    if columns:
        made.columns.extend(
            [
                ex.Column(letters="A", label="SKU", name="item_sku", field="sku", required=True),
                ex.Column(letters="B", label="Metal", name="metal_type", allowed_values=["Brass", "Copper"]),
            ]
        )
    return made


@pytest.fixture(autouse=True)
def scripted(request) -> None:
    if "http" in request.fixturenames:
        script = request.getfixturevalue("system")["exporter"].script
        script["RegisterTemplate"] = ex.RegisterTemplateResponse(template=template())
        script["DescribeTemplate"] = ex.DescribeTemplateResponse(template=template())
        script["ListTemplates"] = ex.ListTemplatesResponse(
            templates=[
                template(columns=False),
                ex.Template(id="builtin-ama_ear", marketplace_code="ama_ear", built_in=True),
            ]
        )


@pytest.mark.parametrize(
    "form", [{"marketplace_type": "ama_ear"}, {"marketplace": "amazon", "product_type": "earrings", "website": "alya"}]
)
async def test_a_workbook_is_registered(http, system, form) -> None:
    answer = await http.post("/templates", files={"file": ("mine.xlsx", b"PK\x03\x04")}, data=form)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["template_id"], body["required"]) == ("t1", ["item_sku"])
    assert body["allowed_values"] == {"metal_type": ["Brass", "Copper"]}
    assert body["warnings"] == ["Gift wrap was not understood"]
    assert body["columns"][0]["letters"] == "A"
    assert body["created"] == "2023-11-14T22:13:20Z"
    [call] = system["exporter"].calls["RegisterTemplate"]
    assert (call.marketplace_code, call.content, call.original_name) == ("ama_ear", b"PK\x03\x04", "mine.xlsx")
    assert call.website == form.get("website", "")


async def test_the_list_and_one_of_it(http, system) -> None:
    body = (await http.get("/templates/", params={"marketplace_type": "ama_ear", "website": "alya"})).json()
    assert [one["template_id"] for one in body["templates"]] == ["t1", "builtin-ama_ear"]
    assert [one["built_in"] for one in body["templates"]] == [False, True]
    assert (await http.get("/templates")).status_code == 200
    calls = system["exporter"].calls["ListTemplates"]
    assert [(call.marketplace_code, call.website) for call in calls] == [("ama_ear", "alya"), ("", "")]
    one = (await http.get("/templates/t1")).json()
    assert (one["template_id"], one["data_row"]) == ("t1", 4)


@pytest.mark.parametrize(
    ("files", "form", "status", "code"),
    [
        ({"file": ("a.xlsx", b"PK")}, {"marketplace_type": "ebay"}, 422, "MARKETPLACE_UNKNOWN"),
        ({"file": ("a.xlsx", b"PK")}, {}, 422, "MARKETPLACE_UNKNOWN"),
        ({"file": ("a.xlsx", b"")}, {"marketplace_type": "ama_ear"}, 422, "INVALID_ARGUMENT"),
        ({"other": ("a.xlsx", b"PK")}, {"marketplace_type": "ama_ear"}, 422, "INVALID_ARGUMENT"),
        ({"file": ("a.xlsx", b"PK")}, {"marketplace_type": "ama_ear", "website": "x"}, 422, None),
    ],
)
async def test_what_cannot_be_registered(door, files, form, status, code) -> None:
    answer = await door.post("/templates", files=files, data=form)
    assert answer.status_code == status, answer.text
    assert code in (None, answer.json()["code"])


async def test_lists_of_what_is_not_there(door) -> None:
    assert (await door.get("/templates", params={"marketplace_type": "ebay"})).status_code == 422
    assert (await door.get("/templates", params={"website": "x"})).status_code == 422


async def test_a_workbook_that_the_exporter_does_not_understand(http, system) -> None:
    refused = errors.InvalidArgument("no header row", reason="TEMPLATE_UNREADABLE")
    system["exporter"].script["RegisterTemplate"] = refused
    answer = await http.post("/templates", files={"file": ("a.xlsx", b"PK")}, data={"marketplace_type": "ama_ear"})
    assert (answer.status_code, answer.json()["code"]) == (422, "TEMPLATE_UNREADABLE")
    system["exporter"].script["DescribeTemplate"] = errors.NotFound("there is no such template")
    assert (await http.get("/templates/none")).status_code == 404
