"""Screen 4: stored pictures near a photo, or for words; what is told apart, and what goes."""

from __future__ import annotations

import streamlit as st

from studio_service import describing, neighbours, state
from studio_service.describing import Photo
from studio_service.labels import t
from studio_service.neighbours import Calibration, Found, Search
from studio_service.parts import choices, curve, neighbour_cards, picture
from studio_service.parts.problem import show as show_problem
from studio_service.parts.problem import shown
from studio_service.parts.text import plain
from studio_service.problems import Problem

FOUND = "similar.found"
_WAYS = ("photo", "words")
_COUNTS = (12, 24, 48, 96)


def page() -> None:
    """Draws the screen."""
    st.title(t("similar.title"))
    st.markdown(t("similar.intro"))
    way = choices.switch("similar.way", _WAYS, lambda name: t(f"similar.{name}"), t("similar.title"))
    with shown():
        _form(way)
    found: Found | None = st.session_state.get(FOUND)
    known = _calibration()
    if found is None:
        if known is not None:
            _bounds(known)
        return
    _results(found, known)


def _form(way: str) -> None:
    with st.form("similar", border=True):
        if way == "photo":
            file = st.file_uploader(t("similar.file"), type=list(describing.PICTURES), key="similar.file")
            words = ""
        else:
            file = None
            words = st.text_input(
                t("similar.text"), max_chars=300, placeholder=t("similar.text_example"), key="similar.words"
            )
        left, right = st.columns(2)
        with left:
            website = choices.website("similar.website")
        with right:
            top_k = st.selectbox(t("similar.count"), _COUNTS, index=1, key="similar.count")
        sent = st.form_submit_button(t("similar.go"), type="primary", icon=":material/image_search:")
    if not sent:
        return
    st.session_state.pop(FOUND, None)
    if file is None and not words.strip():
        st.warning(t(f"similar.no_{way}"))
        return
    photo = None if file is None else Photo(file.name, file.getvalue())
    if photo is not None and (refused := _refused(photo)):
        st.error(plain(refused), icon=":material/error:")
        return
    with st.spinner(t("similar.searching")):
        st.session_state[FOUND] = neighbours.search(state.api(), Search(photo, words.strip(), website, top_k))


def _refused(photo: Photo) -> str:
    if not photo.content:
        return t("describe.empty", name=photo.name)
    if len(photo.content) > describing.MAX_PICTURE:
        return t("describe.too_large", name=photo.name)
    return ""


def _calibration() -> Calibration | None:
    try:
        return state.calibration()
    except Problem as problem:
        show_problem(problem)
        return None


def _bounds(known: Calibration) -> None:
    """The plot alone, before anything was searched."""
    with st.expander(t("similar.curve"), icon=":material/monitoring:", expanded=True):
        curve.show(known, known.similar)


def _results(found: Found, known: Calibration | None) -> None:
    distance = float("inf")
    if found.search.photo is not None:
        aside, figures = st.columns([1, 3], gap="medium")
        with aside:
            picture.show(found.search.photo.content, t("verdict.your_picture"), side=420)
        with figures:
            if known is not None:
                distance = curve.slider(known)
                curve.show(known, distance)
    matches = found.within(distance)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(t("similar.found", count=len(matches), total=len(found.matches)), anchor=False, width="content")
        if found.search.photo is not None:
            told = neighbours.counts(matches)
            st.caption(" · ".join(f"{t(f'verdict.{name}')} {count}" for name, count in told.items()), width="content")
    if not matches:
        st.info(t("similar.nothing"), icon=":material/search_off:")
        return
    neighbour_cards.show(found, matches, FOUND)
