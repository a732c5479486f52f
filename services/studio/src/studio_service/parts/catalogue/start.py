"""Step 3: what it would cost, and the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from studio_service import carrying, gathering, listing, state
from studio_service.gathering import Draft
from studio_service.labels import t
from studio_service.listing import LeftOut, Where
from studio_service.parts.problem import shown

LEFT_OUT = "catalogue.left_out"


def offer(drafts: Sequence[Draft], where: Where) -> None:
    """Shows the estimate and starts the job when told to; then the page is the job's."""
    with shown():
        _estimate(where, tuple(len(draft.pictures) for draft in drafts))
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    with left:
        limit = st.number_input(
            t("start.max_cost"),
            min_value=0.0,
            value=None,
            step=10.0,
            placeholder=t("start.no_limit"),
            help=t("start.max_cost_help"),
            key="catalogue.max_cost",
        )
    with right:
        label = t("start.go", count=len(drafts)) if len(drafts) > 1 else t("start.go_one")
        pressed = st.button(label, type="primary", icon=":material/play_arrow:", key="catalogue.start")
    if not pressed:
        return
    with shown():
        _start(drafts, Where(where.code, where.website, where.template_id, where.seller, limit))


def _estimate(where: Where, pictures: tuple[int, ...]) -> None:
    told = _told(where.code, where.website, pictures)
    minutes = float(told.get("minutes") or 0)
    figures = {
        "products": str(told.get("products", len(pictures))),
        "calls": str(told.get("calls", 0)),
        "cost": f"₹ {float(told.get('inr') or 0):.2f}",
        "time": t("start.minutes", minutes=f"{minutes:.1f}") if minutes >= 1 else t("start.soon"),
    }
    with st.container(horizontal=True, key="estimate"):
        for name, value in figures.items():
            st.metric(t(f"start.{name}"), value, width=130)
    st.caption(t(f"start.basis_{told.get('basis') or 'defaults'}"))


@st.cache_data(ttl=60, max_entries=50, show_spinner=False)
def _told(code: str, website: str, pictures: tuple[int, ...]) -> dict[str, Any]:
    return listing.estimate(state.api(), code, website, pictures)


def _start(drafts: Sequence[Draft], where: Where) -> None:
    bar = st.progress(0.0, t("start.storing", done=0, total=len(drafts)))

    def told(done: int, total: int) -> None:
        bar.progress(done / total, t("start.storing", done=done, total=total))

    stored, left_out = list(drafts), list[LeftOut]()
    if gathering.photo_count(drafts):
        stored, left_out = listing.store(
            state.api(),
            drafts,
            where.website,
            told,
        )
    if not stored:
        bar.empty()
        for one in left_out:
            st.error(f"{one.sku}: {one.problem.sentence}")
        return
    job_id = listing.start(state.api(), stored, where)
    st.session_state[LEFT_OUT] = {job_id: left_out}
    carrying.drop()
    st.query_params["job"] = job_id
    st.rerun()
