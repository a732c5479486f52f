"""Loading: an invented marketplace is data only, and data that contradicts itself is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import marketplaces

TOML = """
name = "Invented"
marketplace = "invented"
code_prefix = "inv"
separator = ";"
sku_field = "sku"
price_field = "price"
mrp_field = "mrp"
[categories]
ear = "earrings"
[copy]
title_field = "title"
bullet_prefix = "point"
description_field = "text"
title_max = 80
bullet_max = 100
description_max = 500
bullets_without_template = 5
promotional = ["wow"]
[images]
columns = ["picture"]
[layout]
sheet = "Products"
data_row = 2
last_list_row = 100
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
ROWS = [
    "sku,SKU,seller_input,yes,no,text,,characters,1,,,,,,test,seen,seen,seen,",
    "price,Price,offer,yes,no,number,,characters,1,,,price,,,test,seen,seen,seen,",
    "mrp,MRP,offer,yes,no,number,,characters,1,,,mrp,,,test,seen,seen,seen,",
    "title,Title,copy,yes,no,text,80,characters,1,,,,,,test,seen,seen,seen,",
    "point1,Point,copy,unknown,no,text,100,bytes,1,,,,,,test,seen,seen,seen,",
    "text,Text,copy,unknown,no,text,,characters,1,,,,,,test,seen,seen,seen,",
    "picture,Picture,image,yes,no,url,,characters,1,,,,,,test,seen,seen,seen,",
    "colour,Colour,ai,yes,no,text,,characters,3,Gold|Silver,Gold,,color,Which colour?,test,seen,seen,seen,",
]


def write(root: Path, rows: list[str], toml: str = TOML) -> None:
    folder = root / "invented"
    folder.mkdir(parents=True)
    (folder / "marketplace.toml").write_text(toml, encoding="utf-8")
    (folder / "earrings.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    shutil.copy(marketplaces.DATA / "copy_rules.toml", root)


def test_a_marketplace_is_added_by_data(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    assert marketplaces.codes(tmp_path) == ("inv_ear",)
    listing = marketplaces.load("inv_ear", tmp_path)
    assert [f.name for f in listing.vision_fields] == ["colour"]
    assert [f.name for f in listing.copy_fields] == ["title", "point1", "text"]
    assert listing.field("colour").multi
    assert listing.field("colour").max_values == 3
    assert listing.field("point1").length("é") == 2
    assert listing.field("title").length("é") == 1
    assert listing.copy.bullets_wanted == 1
    assert "wow" in listing.copy.promotional


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Gold|Silver,Gold,", "Gold|Silver,Green,", "'Green' is not among the options"),
        ("Gold|Silver", "Gold|gold", "listed twice"),
        ("price,Price", "mrp,Price", "listed twice"),
        ("Which colour?", "", "needs a question"),
        ("sku,SKU,seller_input", "sku,SKU,somebody", "group"),
        ("picture,Picture", "photo,Picture", "no such field: picture"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    write(tmp_path, [row.replace(old, new) for row in ROWS])
    with pytest.raises(ValueError, match=message):
        marketplaces.load("inv_ear", tmp_path)


def test_several_values_need_a_separator(tmp_path: Path) -> None:
    write(tmp_path, ROWS, TOML.replace('separator = ";"', 'separator = ""'))
    with pytest.raises(ValueError, match="no separator"):
        marketplaces.load("inv_ear", tmp_path)


def test_an_unknown_code_lists_the_ten() -> None:
    with pytest.raises(marketplaces.UnknownCode) as caught:
        marketplaces.load("ama_rin")
    assert isinstance(caught.value, KeyError)
    assert all(code in str(caught.value) for code in marketplaces.CODES)


def test_an_unknown_field_says_so() -> None:
    with pytest.raises(KeyError, match="no field named 'nothing'"):
        marketplaces.load("mee_ear").field("nothing")


def test_loaded_once() -> None:
    assert marketplaces.load("ama_ear") is marketplaces.load("ama_ear")


def test_rules_for_main_pictures(tmp_path: Path) -> None:
    assert marketplaces.load("ama_ear").image_rules.white_background
    assert all(marketplaces.load(code).image_rules.source for code in marketplaces.CODES)
    write(tmp_path / "silent", ROWS)
    silent = marketplaces.load("inv_ear", tmp_path / "silent").image_rules
    assert (silent.least_side, silent.white_background, silent.least_span) == (500, False, 0.0)
    write(tmp_path / "strict", ROWS, TOML.replace("[layout]\n", "[images.rules]\nleast_side = 1500\n[layout]\n"))
    assert marketplaces.load("inv_ear", tmp_path / "strict").image_rules.least_side == 1500
    write(tmp_path / "wrong", ROWS, TOML.replace("[layout]\n", "[images.rules]\nleast_sides = 1500\n[layout]\n"))
    with pytest.raises(ValueError, match="least_sides"):
        marketplaces.load("inv_ear", tmp_path / "wrong")
