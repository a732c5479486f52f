"""The review product by product: the photo beside the fields, what is most doubtful first."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from studio_service import review
from studio_service.labels import either, t
from studio_service.parts import picture
from studio_service.parts.catalogue.reviewing import Reviewing
from studio_service.parts.problem import shown
from studio_service.parts.text import plain
from studio_service.review import Cell, Product

_CHOSEN = "review.sku"
# Set before a rerun: the next product is to be shown.
_MOVE = "review.move"
_ICONS = {"error": ":red[:material/error:]", "warning": ":orange[:material/warning:]"}


def show(reviewing: Reviewing) -> None:
    """The chosen product."""
    products = reviewing.products
    skus = [one.sku for one in products]
    if st.session_state.pop(_MOVE, False):
        _step(skus, 1)
    if st.session_state.get(_CHOSEN) not in skus:
        st.session_state[_CHOSEN] = skus[0]
    by_sku = {one.sku: one for one in products}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            t("common.product"), skus, format_func=lambda sku: _label(skus, by_sku[sku]), key=_CHOSEN, width=420
        )
        _steps(skus)
    _product(reviewing, by_sku[chosen], skus)


def _steps(skus: Sequence[str]) -> None:
    st.button(
        t("review.back"),
        icon=":material/chevron_left:",
        on_click=_step,
        args=(skus, -1),
        shortcut="Alt+Left",
        key="review.back",
    )
    st.button(
        t("review.next"),
        icon=":material/chevron_right:",
        on_click=_step,
        args=(skus, 1),
        shortcut="Alt+Right",
        key="review.next",
    )


def _label(skus: Sequence[str], one: Product) -> str:
    count = len(one.open_cells)
    state = t("review.to_check", count=count) if count else t("review.checked")
    return f"{skus.index(one.sku) + 1}/{len(skus)} · {one.sku} · {state}"


def _step(skus: Sequence[str], by: int) -> None:
    at = skus.index(st.session_state[_CHOSEN]) if st.session_state.get(_CHOSEN) in skus else 0
    st.session_state[_CHOSEN] = skus[(at + by) % len(skus)]


def _product(reviewing: Reviewing, one: Product, skus: Sequence[str]) -> None:
    photos, fields = st.columns([2, 3], gap="medium")
    with photos, st.container(key="review-photos"):
        for url in one.image_urls[:1]:
            picture.show(url)
        others = one.image_urls[1:4]
        if others:
            for place, url in zip(st.columns(3, wrap=False), others, strict=False):
                with place:
                    picture.show(url, side=240)
        st.markdown(f"**{plain(one.name)}**")
        for finding in one.findings:
            st.caption(f"{_ICONS.get(finding.severity, '')} {plain(finding.message)}")
    with fields, st.container(key="review-fields"):
        everything = st.toggle(t("review.all_fields"), key="review.all", help=t("review.all_fields_help"))
        cells = one.cells if everything else one.open_cells
        _form(reviewing, one, cells, skus)
        _copy(reviewing, one)


def _form(reviewing: Reviewing, one: Product, cells: Sequence[Cell], skus: Sequence[str]) -> None:
    with st.form(f"review.{one.sku}", border=False):
        if not cells:
            st.success(t("review.nothing"), icon=":material/check_circle:")
        given: dict[str, list[str]] = {}
        for cell in cells:
            given[cell.column.field] = _field(cell, f"cell.{one.sku}.{cell.column.field}.{reviewing.version}")
        pressed = st.form_submit_button(
            t("review.accept"),
            type="primary",
            icon=":material/done_all:",
            shortcut="Ctrl+Enter",
            help=t("review.accept_help"),
            key="review.accept",
        )
    if not pressed:
        return
    with shown():
        edits = review.accepted(cells, given)
        if edits:
            with st.spinner(t("common.working")):
                reviewing.save({one.sku: edits})
            st.toast(t("review.saved", count=len(edits)), icon=":material/check:")
        st.session_state[_MOVE] = True
        st.rerun()


def _field(cell: Cell, key: str) -> list[str]:
    """The widget of a cell, its findings below it; gives the values."""
    star = " \\*" if cell.column.required else ""
    label = f"{plain(cell.column.label)}{star} {_confidence(cell)}"
    tip = _tip(cell)
    options = list(dict.fromkeys([*cell.column.options, *(cell.values if cell.column.options else ())]))
    values: list[str]
    if len(cell.values) > 1:
        free = not cell.column.options
        choices = options or list(dict.fromkeys([*cell.values, *cell.suggestions]))
        values = st.multiselect(label, choices, default=list(cell.values), help=tip, key=key, accept_new_options=free)
    elif options or cell.suggestions:
        choices = options or list(dict.fromkeys([*cell.values, *cell.suggestions]))
        at = choices.index(cell.values[0]) if cell.values else None
        chosen = st.selectbox(
            label,
            choices,
            index=at,
            placeholder=t("review.choose"),
            help=tip,
            key=key,
            accept_new_options=not options,
        )
        values = [chosen] if chosen else []
    else:
        most = cell.column.max_length or None
        text = st.text_input(label, value=", ".join(cell.values), max_chars=most, help=tip, key=key)
        values = [text] if text else []
    for finding in cell.findings:
        st.caption(f"{_ICONS.get(finding.severity, '')} {plain(finding.message)}")
    if cell.suggestions and not cell.values:
        st.caption(t("review.suggested", values=plain(", ".join(cell.suggestions))))
    return values


def _confidence(cell: Cell) -> str:
    if cell.source == "person":
        return f":green-badge[{t('review.by_you')}]"
    if not cell.values:
        return f":gray-badge[{t('review.empty')}]"
    color = "green" if cell.confidence >= 0.7 else "orange" if cell.confidence >= 0.4 else "red"
    return f":{color}-badge[{cell.confidence:.0%}]"


def _tip(cell: Cell) -> str | None:
    """Evidence, reason and source, shown on hover."""
    lines = []
    if cell.evidence:
        lines.append(t("review.evidence", text=plain(cell.evidence)))
    if cell.reason:
        lines.append(t("review.reason", text=plain(cell.reason)))
    if cell.source and cell.source != "person":
        lines.append(t("review.source", text=either(f"source.{cell.source}", cell.source)))
    return "\n\n".join(lines) or None


def _copy(reviewing: Reviewing, one: Product) -> None:
    with (
        st.expander(t("review.copy"), icon=":material/article:"),
        st.form(f"copy.{one.sku}.{reviewing.version}", border=False),
    ):
        title = st.text_input(t("review.copy_title"), value=one.copy.title)
        bullets = st.text_area(t("review.copy_bullets"), value="\n".join(one.copy.bullet_points), height=150)
        description = st.text_area(t("review.copy_description"), value=one.copy.description, height=170)
        if st.form_submit_button(t("common.save"), icon=":material/save:"):
            with shown():
                points = [line.strip() for line in bullets.splitlines() if line.strip()]
                reviewing.save({one.sku: {}}, title=title, bullet_points=points, description=description)
                st.toast(t("review.copy_saved"), icon=":material/check:")
                st.rerun()
