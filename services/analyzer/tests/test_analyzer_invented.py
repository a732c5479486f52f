"""A marketplace and its fields are added as data: no code knows them, and every field is asked and answered."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jewelry.analyzer.v1 import analyzer_pb2 as pb
from jewelry.analyzer.v1.analyzer_pb2_grpc import AnalyzerServiceStub
from jewelry.type.v1 import type_pb2
from pydantic import SecretStr

import marketplaces
from analyzer_service.__main__ import service
from analyzer_service.settings import Settings
from analyzer_service.wiring import wire
from servicekit import client, errors
from servicekit.testing import serve_locally
from tests import emulators

PHOTO = Path(__file__).resolve().parents[3] / "samples" / "photos" / "ALY-EAR-011.jpg"
TOML = """
name = "Bazaar"
marketplace = "bazaar"
code_prefix = "baz"
separator = "/"
sku_field = "Code"
price_field = "Price"
mrp_field = "List price"
[categories]
ear = "earrings"
[copy]
title_max = 60
bullet_max = 0
description_max = 0
[images]
columns = ["Photo"]
[images.rules]
least_side = 2000
[layout]
sheet = "Wares"
data_row = 2
last_list_row = 50
lists_sheet = "Lists"
lists_hidden = true
[[layout.rows]]
row = 1
content = "label"
"""
HEADER = (
    "name,label,group,required,fixed,kind,max_length,length_unit,max_values,options,default,profile,concept,question,"
    "source,confidence,label_confidence,required_confidence,notes"
)
SHADES = "|".join(["Rose Gold", "Gold", *(f"Shade {n}" for n in range(150))])
SEEN = "test,seen,seen,seen,"
ROWS = [
    f"Code,Code,seller_input,yes,no,text,,characters,1,,,,,,{SEEN}",
    f"Price,Price,offer,yes,no,number,,characters,1,,,price,,,{SEEN}",
    f"List price,List price,offer,yes,no,number,,characters,1,,,mrp,,,{SEEN}",
    f"Photo,Photo,image,yes,no,url,,characters,1,,,,,,{SEEN}",
    f"Hue (metal),Hue,ai,yes,no,text,,characters,1,{SHADES},,,metal_color,Which shade has the metal?,{SEEN}",
    f"Gem tint,Tint,ai,no,no,text,,characters,2,Red|Green|Blue,,,stone_color,Which tints have the gems?,{SEEN}",
    f"Links,Links,ai,no,no,integer,,characters,1,,,,,How many links?,{SEEN}",
    f"Mood,Mood,ai,no,no,text,20,characters,1,,,,mood,Which mood?,{SEEN}",
    *(
        f"Quirk {n},Quirk,ai,no,no,text,,characters,1,a{n}|b{n}|c{n},,,,Which quirk {n}?,{SEEN}"
        for n in range(30)
    ),
]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "bazaar"
    folder.mkdir()
    (folder / "marketplace.toml").write_text(TOML, encoding="utf-8")
    (folder / "earrings.csv").write_text("\n".join([HEADER, *ROWS]) + "\n", encoding="utf-8")
    shutil.copy(marketplaces.DATA / "copy_rules.toml", tmp_path)
    return tmp_path


@asynccontextmanager
async def serving(root: Path, **values: Any) -> AsyncIterator[AnalyzerServiceStub]:
    defaults: dict[str, Any] = {"google_api_key": None, "google_api_keys": None, "clip_model": ""}
    wired = wire(Settings(_env_file=None, **{**defaults, **values}))
    wired.analyzer.load = partial(marketplaces.load, root=root)
    async with serve_locally(service(wired)) as channel:
        yield AnalyzerServiceStub(channel)


def request(code: str = "baz_ear") -> pb.AnalyzeRequest:
    return pb.AnalyzeRequest(pictures=[type_pb2.Picture(content=PHOTO.read_bytes())], marketplace_code=code)


async def test_every_field_is_asked_and_answered(root: Path) -> None:
    listing = marketplaces.load("baz_ear", root)
    with emulators.gemini() as gemini:
        async with serving(root, google_api_key=SecretStr("a-key"), google_gemini_base_url=gemini.url) as stub:
            reply = await client.call(stub.Analyze, request(), timeout=60)
            with pytest.raises(errors.InvalidArgument, match="baz_ear"):
                await client.call(stub.Analyze, request("ama_ear"), timeout=60)
        calls = gemini.count("generateContent", 200)
    assert [value.field for value in reply.fields] == [entry.name for entry in listing.vision_fields]
    assert len(reply.fields) == 34
    assert calls > 1  # more questions than one schema takes
    for entry, value in zip(listing.vision_fields, reply.fields, strict=True):
        assert value.values or value.review_reason
        assert all(item in entry.options for item in value.values) or not entry.options
        assert len(value.values) <= entry.max_values
    assert sum(bool(value.values) for value in reply.fields) > 20
    assert "Bazaar takes no picture below 2000 pixels; this one has 1000" in reply.warnings


async def test_what_pixels_tell_is_known_by_its_meaning(root: Path) -> None:
    async with serving(root) as stub:
        reply = await client.call(stub.Analyze, request(), timeout=60)
    values = {value.field: list(value.values) for value in reply.fields}
    assert values["Hue (metal)"] == ["Gold"]
    assert values["Gem tint"] == ["Red"]
    assert not any(found for name, found in values.items() if name not in ("Hue (metal)", "Gem tint"))
