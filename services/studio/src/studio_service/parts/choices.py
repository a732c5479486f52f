"""Choices that several screens offer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from studio_service.labels import t

# The first is the gateway's own default.
WEBSITES = ("", "alya", "blysk")


def website(key: str) -> str:
    """Asks for the website."""
    return st.selectbox(
        t("common.website"),
        WEBSITES,
        format_func=lambda name: name.capitalize() or t("common.default_website"),
        key=key,
    )


def switch(key: str, names: Sequence[str], label: Callable[[str], str], title: str) -> str:
    """One of a few views, the first at first; a callback may set it under its key."""
    if st.session_state.get(key) not in names:
        st.session_state[key] = names[0]
    picked = st.segmented_control(title, names, required=True, format_func=label, key=key, label_visibility="collapsed")
    return str(picked or names[0])


def chosen(key: str) -> str:
    """What was chosen under a key."""
    return str(st.session_state.get(key) or "")
