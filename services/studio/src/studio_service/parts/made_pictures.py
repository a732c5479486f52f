"""Made pictures beside their source, with what the comparison said, and all of them in one file."""

from __future__ import annotations

import streamlit as st

from studio_service import state, verdicts
from studio_service.labels import t
from studio_service.making import Made, Picture
from studio_service.parts import picture
from studio_service.parts.text import plain
from studio_service.problems import Problem

_ZIP = "application/zip"


def show(made: Made) -> None:
    """Every asked picture: made, or why not."""
    with st.container(horizontal=True, vertical_alignment="center"):
        total = len(made.pictures)
        st.subheader(t("pictures.done", count=made.succeeded, total=total), anchor=False, width="content")
        if made.maker:
            st.caption(t("pictures.by", name=plain(made.maker), rupees=f"{made.rupees:.2f}"), width="content")
    _zip(made)
    if not made.is_compared and made.succeeded:
        st.caption(f":material/info: {t('pictures.not_compared')}")
    for one in made.pictures:
        _pair(made, one)


def _pair(made: Made, one: Picture) -> None:
    with st.container(border=True, key=f"made-{one.number}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{t('pictures.number', number=one.number)}**", width="content")
            _badge(made, one)
        if one.error:
            st.error(plain(one.error), icon=":material/error:")
            return
        source, shown = st.columns(2, wrap=False)
        with source:
            picture.show(made.order.urls[0], t("pictures.source"))
        with shown:
            picture.show(one.url, t("pictures.made"))
        if one.doubt:
            st.warning(
                f"{plain(one.doubt[:1].upper() + one.doubt[1:])}. {t('pictures.doubt_help')}", icon=":material/compare:"
            )


def _badge(made: Made, one: Picture) -> None:
    if one.error:
        st.badge(t("verdict.failed"), icon=":material/error:", color="red")
    elif one.doubt:
        st.badge(t("pictures.doubt"), icon=":material/compare:", color="orange")
    elif made.is_compared:
        st.badge(t("pictures.alike"), icon=":material/check_circle:", color="green")


def _zip(made: Made) -> None:
    if not made.zip_url:
        return
    try:
        content = state.stored_file(made.zip_url)
    except Problem:
        # An object store of its own may want the seller's own login.
        st.link_button(t("pictures.zip"), made.zip_url, icon=":material/folder_zip:")
        return
    st.download_button(
        t("pictures.zip"),
        content,
        file_name=verdicts.file_name(made.zip_url) or "pictures.zip",
        mime=_ZIP,
        icon=":material/folder_zip:",
        on_click="ignore",
        key="pictures.zip",
    )
