"""The data files: styles, vocabulary, mapping."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from semantic_service import mapping, styles, vocabulary
from servicekit import errors

WORDS = vocabulary.load()
BOOK = styles.load(WORDS)


def test_there_are_a_hundred_styles_and_none_is_told_twice() -> None:
    assert len(BOOK) >= 100
    assert len({style.name.lower() for style in BOOK.styles}) == len(BOOK)
    assert len({style.description for style in BOOK.styles}) == len(BOOK)
    assert len({frozenset(style.cues) for style in BOOK.styles}) == len(BOOK)


def test_every_style_has_cues_of_each_kind_and_none_is_empty() -> None:
    for style in BOOK.styles:
        assert len(style.description) >= 40, style.name
        assert style.materials, style.name
        assert style.motifs, style.name
        assert style.occasions, style.name
        assert all(cue.strip() == cue != "" for cue in style.cues), style.name
        assert len(set(style.cues)) == len(style.cues), style.name
        # A cue of stop words only would never be found.
        assert all(WORDS.tokens(cue) for cue in style.cues), style.name


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("Lakshmi coin temple necklace in matte gold with ruby", "Temple"),
        ("Polki bridal choker with uncut diamond and emerald drop", "Polki"),
        ("Onyx baguette ring with chevron fan, geometric symmetry", "Art Deco"),
        ("Evil eye bracelet, nazar bead in blue glass", "Evil Eye Protection"),
        ("Oxidised german silver jhumka with ghungroo", "Oxidised Silver"),
        ("Plain thin chain with a bar, minimal, for the office", "Minimalist"),
    ],
)
def test_a_product_speaks_for_its_style(text: str, style: str) -> None:
    evidence = BOOK.evidence(WORDS.names(text))
    assert BOOK.styles[int(evidence.argmax())].name == style


def test_a_style_without_a_cue_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "styles.toml"
    broken.write_text('[[style]]\nname="A"\ndescription="b"\nmaterials=[""]\nmotifs=["c"]\noccasions=["d"]\n')
    with pytest.raises(ValueError, match="empty part"):
        styles.load(WORDS, broken)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("golden", "yellow gold"),
        ("jhumkis", "jhumka"),
        ("ladies", "women"),
        ("शादी के लिए सोने के झुमके", "wedding gold jhumka"),
        ("shaadi ke liye moti ka haar", "wedding pearl necklace"),
        ("ear rings", "earrings"),
        ("colorful", "multicolour"),
    ],
)
def test_words_that_mean_the_same(one: str, other: str) -> None:
    assert {token.name for token in WORDS.tokens(one)} == {token.name for token in WORDS.tokens(other)}


@pytest.mark.parametrize(("one", "other"), [("rose gold", "gold"), ("nose ring", "ring"), ("toe rings", "rings")])
def test_words_that_do_not(one: str, other: str) -> None:
    assert not {token.name for token in WORDS.tokens(one)} & {token.name for token in WORDS.tokens(other)}


def test_what_is_not_wished_for_is_not_embedded() -> None:
    text = WORDS.wish_text("gold earrings without pearls for a party")
    assert "pearl" not in text
    assert "gold earrings" in text


def test_a_jhumka_is_an_earring_but_not_the_reverse() -> None:
    assert WORDS.facets("category", "Jhumkas") == {"jhumka", "earrings"}
    assert WORDS.asked("category", "jhumkas") == {"jhumka"}
    assert WORDS.asked("category", "earrings") == {"earrings"}
    assert WORDS.asked("category", "All") == frozenset()


def test_a_term_never_stands_for_two_concepts(tmp_path: Path) -> None:
    content = vocabulary.BUILT_IN.read_text(encoding="utf-8")
    assert tomllib.loads(content)
    broken = tmp_path / "vocabulary.toml"
    broken.write_text(content.replace('terms = ["copper",', 'terms = ["golden", "copper",'), encoding="utf-8")
    with pytest.raises(ValueError, match="golden"):
        vocabulary.load(broken)


def test_a_mapping_is_laid_over_the_built_in_one(tmp_path: Path) -> None:
    own = tmp_path / "mapping.toml"
    own.write_text('[first]\nid = ["key.code"]\n[source]\nday_first = false\n')
    loaded = mapping.load(own)
    assert loaded.first["id"] == ["key.code"]
    assert loaded.first["title"] == mapping.load().first["title"]
    assert not loaded.source.day_first


@pytest.mark.parametrize(
    "text", ['[first]\nid = ["a[b"]', '[first]\nnmae = ["a"]', "[paging]\nstyle = 'sideways'", "not toml", ""]
)
def test_a_broken_mapping_is_named(tmp_path: Path, text: str) -> None:
    own = tmp_path / "mapping.toml"
    own.write_text(text)
    if not text:
        assert mapping.load(own) == mapping.load()
        return
    with pytest.raises(errors.FailedPrecondition, match="PRODUCTS_MAPPING"):
        mapping.load(own)


def test_paths_walk_into_anything() -> None:
    record = mapping.folded(
        {
            "Price": {"Selling": "1299"},
            "variants": [{"sku": ""}, {"sku": "B"}],
            "attributes": [{"name": "Color", "value": "Gold"}, {"name": "Stone", "value": None}],
        }
    )
    assert mapping.first_value(record, ["price.selling"]) == "1299"
    assert mapping.first_value(record, ["variants[].sku"]) == "B"
    assert mapping.first_value(record, ["variants[1].sku"]) == "B"
    assert mapping.first_value(record, ["attributes[name=color].value"]) == "Gold"
    assert mapping.first_value(record, ["attributes[name=stone].value", "nowhere.at[7].all"]) is None
