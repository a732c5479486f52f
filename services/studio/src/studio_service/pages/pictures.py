"""Screen 6: mock-ups and variations of a product, each beside its source."""

from __future__ import annotations

import streamlit as st

from studio_service import describing, making, state
from studio_service.carrying import carried
from studio_service.describing import Photo
from studio_service.labels import t
from studio_service.making import Made, Order
from studio_service.parts import choices, made_pictures
from studio_service.parts.problem import shown
from studio_service.parts.text import plain
from studio_service.problems import Problem

_MADE = "pictures.made"


def page() -> None:
    """Draws the screen."""
    st.title(t("pictures.title"))
    st.markdown(t("pictures.intro"))
    maker = choices.switch(
        "pictures.maker", tuple(making.MAKERS), lambda name: t(f"pictures.{name}"), t("pictures.title")
    )
    st.caption(t(f"pictures.{maker}_help"))
    _lacking(maker)
    with shown():
        _form(maker)
    done: Made | None = st.session_state.get(_MADE)
    if done is not None:
        made_pictures.show(done)


def _lacking(maker: str) -> None:
    """Says in advance what the gateway would refuse for want of a key."""
    try:
        lack = making.lacking(state.readiness(), maker)
    except Problem:
        return
    if lack:
        st.info(f"{plain(lack[:1].upper() + lack[1:])}. {t('pictures.lacking')}", icon=":material/key:")


def _form(maker: str) -> None:
    with st.form("pictures", border=True):
        files = st.file_uploader(
            t("pictures.files"),
            type=list(describing.PICTURES),
            accept_multiple_files=True,
            help=t("pictures.files_help", most=making.MAX_VIEWS),
            key="pictures.files",
        )
        known = {one.sku: one.url for one in carried()}
        sku = st.selectbox(t("pictures.carried"), ["", *known], key="pictures.carried") if known else ""
        address = st.text_input(
            t("pictures.address"), max_chars=2000, help=t("pictures.address_help"), key="pictures.address"
        )
        first, second, third = st.columns(3, vertical_alignment="bottom")
        with first:
            kind = st.selectbox(
                t("describe.type"),
                making.KINDS,
                format_func=lambda name: t(f"pictures.kind_{name}"),
                key="pictures.kind",
            )
        with second:
            count = st.number_input(
                t("pictures.count"),
                min_value=1,
                max_value=8,
                value=4,
                help=t("pictures.count_help"),
                key="pictures.count",
            )
        with third:
            website = choices.website("pictures.website")
        description = st.text_input(
            t("pictures.description"),
            max_chars=500,
            placeholder=t("pictures.description_example"),
            key="pictures.description",
        )
        sent = st.form_submit_button(t("pictures.go"), type="primary", icon=":material/photo_camera:")
    if not sent:
        return
    st.session_state.pop(_MADE, None)
    photos = [Photo(file.name, file.getvalue()) for file in files]
    if refused := _refused(photos):
        st.error(plain(refused), icon=":material/error:")
        return
    given = [url for url in (known.get(sku, ""), address.strip()) if url]
    if not photos and not given:
        st.warning(t("pictures.no_files"))
        return
    with st.spinner(t("pictures.making")):
        urls = tuple(dict.fromkeys([*making.store(state.api(), photos, website), *given]))
        order = Order(urls, kind, maker, description.strip(), int(count), website)
        st.session_state[_MADE] = making.make(state.api(), order)


def _refused(photos: list[Photo]) -> str:
    if len(photos) > making.MAX_VIEWS:
        return t("pictures.too_many", most=making.MAX_VIEWS, count=len(photos))
    for photo in photos:
        if not photo.content:
            return t("describe.empty", name=photo.name)
        if len(photo.content) > describing.MAX_PICTURE:
            return t("describe.too_large", name=photo.name)
    return ""
