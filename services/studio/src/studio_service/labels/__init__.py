"""What the screens say, in English and Hindi: `t("describe.title")`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from studio_service import settings
from studio_service.settings import Language

LANGUAGES: dict[Language, str] = {"en": "English", "hi": "हिन्दी"}
# Where the chosen language is kept in the session.
KEY = "language"
_FOLDER = Path(__file__).parent


@cache
def table(language: Language) -> Mapping[str, str]:
    """Every label of a language by its dotted key."""
    content = tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return dict(_flat(content))


def text(key: str, language: Language, **values: object) -> str:
    """A label with its values filled in. Raises KeyError for a key that no file has."""
    return table(language)[key].format(**values)


def t(key: str, **values: object) -> str:
    """A label in the language of the session that asks."""
    return text(key, current(), **values)


def either(key: str, fallback: str) -> str:
    """The label where there is one, such as for a code of the API; else the fallback."""
    return table(current()).get(key, fallback)


def current() -> Language:
    """The language of the session that asks."""
    chosen = st.session_state.get(KEY)
    return chosen if chosen in LANGUAGES else settings.load().studio_language


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)
