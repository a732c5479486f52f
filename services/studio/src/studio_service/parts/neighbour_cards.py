"""Pictures that a search found, each with what may be done about it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from studio_service import neighbours, state, verdicts
from studio_service.labels import either, t
from studio_service.neighbours import Found
from studio_service.parts import picture
from studio_service.parts.problem import shown
from studio_service.parts.text import plain
from studio_service.verdicts import Near

# Two beside one another on a phone; pixels.
_CARD = 168


def show(found: Found, matches: Sequence[Near], where: str) -> None:
    """The grid; what a person does changes what lies under `where` in the session."""
    with st.container(horizontal=True, gap="small", key="neighbours"):
        for number, one in enumerate(matches):
            _card(number, one, found, where)


def _card(number: int, one: Near, found: Found, where: str) -> None:
    with st.container(border=True, width=_CARD, key=f"neighbour-{number}"):
        picture.show(one.url, side=320)
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            if found.search.photo is not None:
                picture.verdict(one.verdict)
            else:
                st.badge(t("similar.fits", cosine=f"{one.cosine:.2f}"), color="gray")
        st.caption(f"{plain(one.name)}  \n{_figures(one, found)}", help=either(f"why.{one.reason}", one.reason))
        with st.container(horizontal=True, gap="xsmall"):
            photo = found.search.photo
            may_differ = photo is not None and one.verdict == "duplicate"
            if may_differ and st.button(
                t("similar.apart"), type="tertiary", key=f"similar.apart.{number}", help=t("similar.apart_help")
            ):
                _apart(one, found, where)
            if st.button(
                t("similar.delete"), icon=":material/delete:", type="tertiary", key=f"similar.delete.{number}"
            ):
                _delete(one, found, where)


def _figures(one: Near, found: Found) -> str:
    if found.search.photo is None:
        return plain(one.website)
    return t("similar.figures", distance=verdicts.number(one.distance), website=plain(one.website))


def _apart(one: Near, found: Found, where: str) -> None:
    @st.dialog(t("similar.apart_title"), icon=":material/call_split:")
    def ask() -> None:
        photo = found.search.photo
        assert photo is not None
        left, right = st.columns(2, wrap=False)
        with left:
            picture.show(photo.content, t("verdict.your_picture"), side=320)
        with right:
            picture.show(one.url, t("verdict.stored_picture", name=one.name), side=320)
        st.markdown(t("similar.apart_text"))
        with shown():
            if _confirmed(t("similar.apart_yes"), "similar.apart.yes"):
                neighbours.keep_apart(state.api(), photo, one)
                st.session_state[where] = neighbours.search(state.api(), found.search)
                st.toast(t("similar.apart_done", name=plain(one.name)), icon=":material/check_circle:")
                st.rerun()

    ask()


def _delete(one: Near, found: Found, where: str) -> None:
    @st.dialog(t("similar.delete_title"), icon=":material/delete:")
    def ask() -> None:
        picture.show(one.url, side=200, fill=False)
        st.markdown(t("similar.delete_text", name=plain(one.name), website=plain(one.website)))
        with shown():
            if _confirmed(t("similar.delete_yes"), "similar.delete.yes"):
                status, detail = neighbours.delete(state.api(), one.url)
                if status not in ("deleted", "not_found"):
                    st.error(plain(detail) or t("similar.delete_failed"), icon=":material/error:")
                    return
                st.session_state[where] = found.without(one.url)
                st.toast(t(f"similar.{status}", name=plain(one.name)), icon=":material/delete:")
                st.rerun()

    ask()


def _confirmed(label: str, key: str) -> bool:
    with st.container(horizontal=True):
        sure = st.button(label, type="primary", key=key)
        if st.button(t("common.cancel"), key=f"{key}.cancel"):
            st.rerun()
    return sure
