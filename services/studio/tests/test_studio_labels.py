"""Labels: the same in both languages, and nothing on the screens is said without one."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import studio_service
from studio_service import labels

PACKAGE = Path(studio_service.__file__).parent
# Where screens are drawn.
DRAWN = [*(PACKAGE / "pages").rglob("*.py"), *(PACKAGE / "parts").rglob("*.py"), *(PACKAGE / "entry").rglob("*.py")]
# Arguments that a person reads.
SPOKEN = frozenset({"label", "help", "placeholder", "title", "caption", "body", "text", "alt"})
SHOWS = frozenset(
    {
        *(
            "title",
            "header",
            "subheader",
            "markdown",
            "caption",
            "write",
            "text",
            "success",
            "info",
            "warning",
            "error",
        ),
        *("button", "form_submit_button", "download_button", "link_button", "checkbox", "toggle", "radio", "selectbox"),
        *(
            "multiselect",
            "slider",
            "text_input",
            "text_area",
            "number_input",
            "date_input",
            "file_uploader",
            "expander",
        ),
        *("popover", "metric", "badge", "toast", "progress", "spinner", "status", "segmented_control", "pills"),
        *("TextColumn", "NumberColumn", "SelectboxColumn", "CheckboxColumn", "ImageColumn", "dialog", "tabs"),
        "select_slider",
    }
)
WORDS = re.compile(r"[^\W\d_]{3,}")


@pytest.fixture(scope="module")
def tables() -> dict[str, dict[str, str]]:
    return {language: dict(labels.table(language)) for language in labels.LANGUAGES}


def test_both_languages_have_the_same_labels(tables: dict[str, dict[str, str]]) -> None:
    assert tables["en"].keys() == tables["hi"].keys()
    for key, text in tables["en"].items():
        assert text.strip(), key
        assert places(text) == places(tables["hi"][key]), key
        # A label left in English by mistake: names and units alone may be.
        if len(re.findall(r"[A-Za-z]{3,}", bare(text))) >= 3:
            assert re.search(r"[\u0900-\u097f]", tables["hi"][key]), key


def places(text: str) -> set[str]:
    """What a label wants filled in."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_screens_say_nothing_without_a_label(path: Path) -> None:
    found = [f"{path.name}:{line}: {text}" for line, text in literals(ast.parse(path.read_text(encoding="utf-8")))]
    assert not found


@pytest.mark.parametrize("path", [*PACKAGE.rglob("*.py")], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_label_asked_for_is_there(path: Path, tables: dict[str, dict[str, str]]) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "t" and node.args:
            key = node.args[0]
            if isinstance(key, ast.Constant):
                assert key.value in tables["en"], f"{path.name}:{node.lineno}"
                given = {one.arg for one in node.keywords}
                assert places(tables["en"][str(key.value)]) <= given, f"{path.name}:{node.lineno}"
            elif isinstance(key, ast.JoinedStr) and isinstance(key.values[0], ast.Constant):
                start = str(key.values[0].value)
                assert any(name.startswith(start) for name in tables["en"]), f"{path.name}:{node.lineno}"


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Words that a call would show as they are."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in SHOWS:
            continue
        spoken = [*node.args[:1], *(one.value for one in node.keywords if one.arg in SPOKEN)]
        for value in spoken:
            parts = value.values if isinstance(value, ast.JoinedStr) else [value]
            for part in parts:
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and WORDS.search(bare(part.value)):
                    yield part.lineno, part.value


def bare(text: str) -> str:
    """A text without Streamlit's directives for icons and colours, and without addresses."""
    return re.sub(r":[a-z]+/[a-z_]+:|:[a-z-]+\[|https?://\S+", "", text)
