"""What Streamlit runs for every session and every interaction: the menu, the language, and the chosen screen."""

from __future__ import annotations

import streamlit as st

from studio_service import labels, screens
from studio_service.labels import t
from studio_service.parts import door, notice, theme
from studio_service.parts.problem import shown


def main() -> None:
    """Draws the frame, then the screen."""
    asked = st.query_params.get("lang")
    if labels.KEY not in st.session_state and asked in labels.LANGUAGES:
        st.session_state[labels.KEY] = asked
    st.set_page_config(page_title=t("app.title"), page_icon="💎", layout="wide")
    theme.apply()
    if not door.is_open():
        door.show()
        return
    page = st.navigation(screens.pages())
    with st.sidebar:
        _language()
        notice.sidebar()
    with shown():
        page.run()


def _language() -> None:
    names = list(labels.LANGUAGES)
    chosen = st.segmented_control(
        t("app.language"),
        names,
        default=labels.current(),
        format_func=lambda name: labels.LANGUAGES[name],
        required=True,
        key="language_choice",
        label_visibility="collapsed",
    )
    if chosen and chosen != labels.current():
        st.session_state[labels.KEY] = chosen
        st.query_params["lang"] = chosen
        _tell_choices_anew()
        st.rerun()


def _tell_choices_anew() -> None:
    """The browser knows a choice by its words; told by its value, it shows it in the other language."""
    for key in [str(key) for key in st.session_state if key != "language_choice"]:
        value = st.session_state[key]
        if isinstance(value, str):
            st.session_state[key] = value


main()
