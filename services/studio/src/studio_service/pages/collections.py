"""Screen 5: products for a collection, with counts while the filters are chosen."""

from __future__ import annotations

from typing import Any

import altair as alt
import streamlit as st
from jewelry_client import Client

from studio_service import collecting, state
from studio_service.collecting import Wish
from studio_service.labels import either, t
from studio_service.parts import charts, downloads
from studio_service.parts.problem import show as show_problem
from studio_service.parts.problem import shown
from studio_service.parts.text import copyable, plain
from studio_service.problems import Problem

_RESULT = "collections.result"
_BESIDE = 3
_MOST = 100


def page() -> None:
    """Draws the screen."""
    st.title(t("collections.title"))
    st.markdown(t("collections.intro"))
    with st.container(border=True, key="collection-filters"):
        wish = _filters()
        fits = _count(wish)
    with st.container(border=True, key="collection-wishes"):
        wish = _wishes(wish)
        pressed = st.button(
            t("collections.go"), type="primary", icon=":material/auto_awesome_mosaic:", key="collections.go"
        )
    with shown():
        if pressed and fits:
            st.session_state.pop(_RESULT, None)
            with st.spinner(t("common.working")):
                st.session_state[_RESULT] = state.api().ask(_finding(wish))
        result = st.session_state.get(_RESULT)
        if result is not None:
            _show(result)


def _finding(wish: Wish) -> Any:
    async def found(client: Client) -> dict[str, Any]:
        return await client.collection(**wish.needs)

    return found


def _filters() -> Wish:
    st.subheader(t("collections.filters"), anchor=False)
    first, second, third = st.columns(3, vertical_alignment="bottom")
    with first:
        category = st.selectbox(
            t("collections.category"),
            collecting.CATEGORIES,
            format_func=lambda name: t(f"type.{name}") if name else t("collections.any"),
            key="collections.category",
        )
    with second:
        low = st.number_input(
            t("collections.min_price"), min_value=0, value=None, step=100, placeholder="₹", key="collections.min_price"
        )
    with third:
        high = st.number_input(
            t("collections.max_price"), min_value=0, value=None, step=100, placeholder="₹", key="collections.max_price"
        )
    first, second, third = st.columns(3, vertical_alignment="bottom")
    with first:
        start = st.date_input(t("collections.start"), value=None, format="DD/MM/YYYY", key="collections.start")
    with second:
        end = st.date_input(t("collections.end"), value=None, format="DD/MM/YYYY", key="collections.end")
    with third:
        in_stock = st.toggle(t("collections.in_stock"), key="collections.in_stock")
    with st.expander(t("collections.leave_out"), icon=":material/visibility_off:"):
        hidden = st.text_area(
            t("collections.hidden"), max_chars=4000, height=80, help=t("collections.ids_help"), key="collections.hidden"
        )
    return Wish(
        category=category, min_price=low, max_price=high, start=start, end=end, in_stock=in_stock, hidden=hidden
    )


def _count(wish: Wish) -> bool:
    """Says how many products pass; False where the filters cannot be used."""
    try:
        told = state.collection_counts(wish.counted)
    except Problem as problem:
        show_problem(problem)
        return False
    passing, products = int(told.get("passing") or 0), int(told.get("products") or 0)
    if not products:
        st.info(t("collections.empty"), icon=":material/inventory_2:")
        return False
    st.progress(passing / products, text=t("collections.passing", passing=passing, products=products))
    if told.get("stale"):
        st.caption(t("collections.stale"))
    return True


def _wishes(filters: Wish) -> Wish:
    st.subheader(t("collections.wishes"), anchor=False, help=t("collections.wishes_help"))
    words = st.text_input(
        t("collections.words"), max_chars=1000, placeholder=t("collections.words_example"), key="collections.words"
    )
    first, second, third = st.columns(3, vertical_alignment="bottom")
    with first:
        color = st.text_input(t("collections.color"), max_chars=100, key="collections.color")
    with second:
        audience = st.selectbox(
            t("collections.audience"),
            collecting.AUDIENCES,
            format_func=lambda name: either(f"audience.{name}", name) if name else t("collections.any"),
            key="collections.audience",
        )
    with third:
        size = st.number_input(t("collections.size"), min_value=1, max_value=_MOST, value=20, key="collections.size")
    left, right = st.columns(2)
    with left:
        styles = st.text_input(
            t("collections.styles"),
            max_chars=1000,
            placeholder=t("collections.styles_example"),
            key="collections.styles",
        )
    with right:
        pinned = st.text_input(
            t("collections.pinned"), max_chars=2000, help=t("collections.ids_help"), key="collections.pinned"
        )
    return Wish(
        **{**vars(filters), "words": words, "color": color, "audience": audience, "size": int(size)}
        | {"styles": styles, "pinned": pinned}
    )


def _show(result: dict[str, Any]) -> None:
    rows = collecting.rows(result)
    if not rows:
        st.info(plain(str(result.get("relaxation") or "")) or t("collections.nothing"), icon=":material/search_off:")
        _removed(result)
        return
    st.subheader(t("collections.result", count=len(rows)), anchor=False)
    copyable(t("collections.name"), str(result.get("collection_title") or ""))
    copyable(t("collections.description"), str(result.get("collection_description") or ""))
    writer = (result.get("provenance") or {}).get("collection_title")
    if writer:
        st.caption(t("collections.by", name=either(f"collections.by_{writer}", str(writer))))
    with st.container(key="collection"):
        for start in range(0, len(rows), _BESIDE):
            for place, row in zip(st.columns(_BESIDE), rows[start : start + _BESIDE], strict=False):
                with place:
                    _card(row)
    downloads.table(collecting.COLUMNS, rows, t("collections.file"), "collections")
    _removed(result)


def _card(row: dict[str, object]) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{row['place']}. {plain(str(row['id']))}**", width="content")
            if row["pinned"]:
                st.badge(t("collections.is_pinned"), icon=":material/keep:", color="violet")
        if row["style"]:
            st.badge(plain(str(row["style"])), color="orange")
        st.progress(
            min(max(float(str(row["score"])), 0.0), 1.0),
            text=t("collections.score", score=f"{float(str(row['score'])):.2f}"),
        )
        st.caption(plain(str(row["why"])))


def _removed(result: dict[str, Any]) -> None:
    removed = {name: int(count) for name, count in (result.get("removed_by") or {}).items() if count}
    if not removed:
        return
    st.markdown(f"**{t('collections.removed')}**", help=t("collections.removed_help"))
    rows = [{"name": either(f"collections.{name}", name), "count": count} for name, count in removed.items()]
    bars = (
        charts.of(rows)
        .mark_bar(height=16, cornerRadiusEnd=3)
        .encode(
            x=alt.X("count:Q", title=t("collections.products"), axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("name:N", title=None, sort="-x"),
        )
    )
    st.altair_chart(bars.properties(height=36 * len(rows) + 50), width="stretch", alt=t("collections.removed"))
