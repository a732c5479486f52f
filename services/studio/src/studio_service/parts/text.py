"""Text that a seller takes elsewhere."""

from __future__ import annotations

import streamlit as st


def copyable(label: str, text: str) -> None:
    """A text under its label with a button that copies it."""
    st.caption(label)
    st.code(text, language=None, wrap_lines=True)


def plain(text: str) -> str:
    """Text that came from elsewhere, safe inside Markdown."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()#+-!|<>$:~" else sign for sign in text)
