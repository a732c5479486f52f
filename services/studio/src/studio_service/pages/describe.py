"""Screen 1: photos get a verdict, a name and a description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from studio_service import describing, screens, state, verdicts
from studio_service.carrying import Carried, carry
from studio_service.describing import Described, Photo, Wish
from studio_service.labels import either, t
from studio_service.parts import choices, matches, notice, picture, problem
from studio_service.parts.text import copyable, plain
from studio_service.problems import Problem

_RESULTS = "describe.results"


def page() -> None:
    """Draws the screen."""
    st.title(t("describe.title"))
    st.markdown(t("describe.intro"))
    notice.first_use()
    _form()
    results: list[Described] = st.session_state.get(_RESULTS, [])
    if results:
        _above(results)
    for number, one in enumerate(results):
        _card(number, one)


def _form() -> None:
    with st.form("describe", border=True):
        files = st.file_uploader(
            t("describe.photos"),
            type=list(describing.PICTURES),
            accept_multiple_files=True,
            help=t("describe.photos_help"),
            max_upload_size=describing.MAX_PICTURE >> 20,
            key="describe.files",
        )
        left, middle, right = st.columns([2, 2, 3], vertical_alignment="bottom")
        with left:
            website = choices.website("describe.website")
        with middle:
            product_type = st.selectbox(
                t("describe.type"), describing.TYPES, format_func=lambda name: t(f"type.{name}"), key="describe.type"
            )
        with right:
            check = st.toggle(t("describe.check"), value=True, help=t("describe.check_help"), key="describe.check")
        sent = st.form_submit_button(t("describe.go"), type="primary", icon=":material/auto_awesome:")
    if not sent:
        return
    if not files:
        st.warning(t("describe.no_photos"))
        return
    photos = [Photo(file.name, file.getvalue()) for file in files]
    st.session_state[_RESULTS] = _work(photos, Wish(website, product_type, check))


def _work(photos: list[Photo], wish: Wish) -> list[Described]:
    results = []
    bar = st.progress(0.0)
    for done, photo in enumerate(photos):
        bar.progress(
            done / len(photos), t("describe.progress", name=plain(photo.name), done=done + 1, total=len(photos))
        )
        results.append(_described(photo, wish))
    bar.empty()
    return results


def _described(photo: Photo, wish: Wish) -> Described:
    if not photo.content:
        return Described(photo, problem=Problem(t("describe.empty", name=photo.name)))
    if len(photo.content) > describing.MAX_PICTURE:
        return Described(photo, problem=Problem(t("describe.too_large", name=photo.name)))
    return describing.describe(state.api(), photo, wish)


def _above(results: list[Described]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{t('describe.finished', count=len(results))}**", width="content")
        stored = [one for one in results if one.url]
        if len(stored) > 1 and st.button(
            t("describe.next_all", count=len(stored)), icon=":material/arrow_forward:", key="describe.all"
        ):
            _continue([Carried(_sku(number, one), one.url) for number, one in enumerate(results) if one.url])
        if st.button(t("describe.clear"), type="tertiary", key="describe.clear"):
            st.session_state.pop(_RESULTS)
            st.rerun()


def _card(number: int, one: Described) -> None:
    with st.container(border=True, key=f"card-{number}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            picture.verdict(one.verdict)
            st.markdown(f"**{plain(one.photo.name)}**", width="content")
        if one.problem is not None:
            problem.show(one.problem)
            return
        assert one.answer is not None
        if one.is_described:
            photo, words = st.columns([2, 3], gap="medium")
            with photo:
                picture.show(one.photo.content)
            with words:
                _words(one)
        _reasons(number, one)
        _onward(number, one)


def _words(one: Described) -> None:
    answer = one.answer or {}
    copyable(t("describe.name"), str(answer.get("name") or ""))
    copyable(t("describe.description"), str(answer.get("description") or ""))
    attributes = answer.get("attributes_list") or []
    copyable(t("describe.attributes"), ", ".join(attributes) or t("describe.unknown"))
    reasons = "; ".join(answer.get("quality_reasons") or [])
    grade = str(answer.get("quality") or t("describe.not_judged"))
    with st.container(horizontal=True, gap="medium"):
        st.metric(t("describe.colour"), str(answer.get("color") or t("describe.unknown")), width="content")
        kind = either(f"type.{answer.get('product_type')}", t("describe.unknown"))
        st.metric(t("describe.kind"), kind, width="content")
        st.metric(t("describe.quality"), grade, help=reasons or None, width="content")
    for warning in answer.get("warnings") or []:
        st.caption(f":material/info: {plain(warning)}")
    _provenance(answer)


def _provenance(answer: Mapping[str, Any]) -> None:
    for adapter in answer.get("adapters") or []:
        name = " ".join(part for part in (adapter.get("name"), adapter.get("model_id")) if part)
        st.caption(t("describe.by", name=plain(name)), help=plain(str(adapter.get("detail") or "")) or None)


def _reasons(number: int, one: Described) -> None:
    answer = one.answer or {}
    found = verdicts.nears(answer)
    close = verdicts.alike(found)
    if not one.is_described:
        st.info(t("describe.stored"), icon=":material/inventory_2:")
        sides, figures = st.columns([3, 2], gap="medium")
        with sides:
            if close:
                matches.pair(one.photo.content, close[0])
        with figures:
            matches.chart(found, state.thresholds())
        return
    if not found:
        return
    with st.expander(t("describe.matches"), icon=":material/join_inner:", expanded=bool(close)):
        st.caption(plain(str(answer.get("explanation") or "")))
        sides, figures = st.columns([3, 2], gap="medium")
        with sides:
            matches.pair(one.photo.content, found[0])
        with figures:
            matches.chart(found, state.thresholds())


def _onward(number: int, one: Described) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(t("common.sku"), value=one.photo.sku, max_chars=40, key=f"describe.sku.{number}", width=220)
        if st.button(
            t("describe.next"),
            type="primary",
            icon=":material/arrow_forward:",
            key=f"describe.next.{number}",
            help=t("describe.next_help"),
        ):
            _continue([Carried(_sku(number, one), one.url)])
        if not one.is_described and st.button(t("describe.anyway"), key=f"describe.anyway.{number}"):
            wish = Wish(choices.chosen("describe.website"), st.session_state.get("describe.type", "auto"), check=False)
            with st.spinner(t("common.working")):
                results = list(st.session_state[_RESULTS])
                results[number] = _described(one.photo, wish)
            st.session_state[_RESULTS] = results
            st.rerun()


def _sku(number: int, one: Described) -> str:
    return str(st.session_state.get(f"describe.sku.{number}") or one.photo.sku)


def _continue(carried: list[Carried]) -> None:
    carry(carried)
    screens.go("catalogue")
