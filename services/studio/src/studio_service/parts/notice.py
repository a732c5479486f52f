"""What works and what needs a key, from what the services say about themselves."""

from __future__ import annotations

import streamlit as st

from studio_service import capabilities, state
from studio_service.labels import t
from studio_service.parts.problem import show
from studio_service.problems import Problem

_DISMISSED = "notice.dismissed"


def sidebar() -> None:
    """One line: the system is ready, starts, or is not there."""
    try:
        ready = state.readiness()
    except Problem:
        st.badge(t("notice.down"), icon=":material/cloud_off:", color="red")
        return
    missing = capabilities.not_ready(ready)
    if missing:
        st.badge(t("notice.starting"), icon=":material/hourglass_top:", color="orange", help=", ".join(missing))
    else:
        st.badge(t("notice.ready"), icon=":material/check_circle:", color="green")
    without = capabilities.without_keys(ready)
    if without:
        st.caption(t("notice.without", count=len(without)))


def first_use() -> None:
    """What works without keys and how to add them; until it is sent away."""
    if st.session_state.get(_DISMISSED):
        return
    try:
        without = capabilities.without_keys(state.readiness())
    except Problem as problem:
        show(problem)
        return
    if not without:
        return
    with st.expander(t("notice.title"), icon=":material/key:", expanded=False):
        st.markdown(t("notice.intro"))
        for one in without:
            sign = ":material/check:" if one.works else ":material/block:"
            st.markdown(f"{sign} **{t(f'capability.{one.name}.name')}** — {t(f'capability.{one.name}.{one.state}')}")
        st.markdown(t("notice.how"))
        st.code(capabilities.env_lines(without), language="ini")
        if st.button(t("notice.dismiss"), key="notice.dismiss"):
            st.session_state[_DISMISSED] = True
            st.rerun()
