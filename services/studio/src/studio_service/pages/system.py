"""Screen 7: who answers, with which model and until when, what is left of the quotas, what was paid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from studio_service import state
from studio_service.costs import costs
from studio_service.labels import either, t
from studio_service.parts import cost_chart
from studio_service.parts.moment import moment
from studio_service.parts.problem import shown
from studio_service.parts.text import plain

_SPANS = (7, 30, 90)
_STATES = {
    "ready": ("green", ":material/check_circle:"),
    "not_ready": ("orange", ":material/hourglass_top:"),
    "down": ("red", ":material/cloud_off:"),
    "free": ("green", ":material/check_circle:"),
    "waiting": ("orange", ":material/hourglass_top:"),
    "parked": ("orange", ":material/bedtime:"),
    "refused": ("red", ":material/block:"),
}
# Days before the end of a model from which on it is said aloud.
_SOON = 60
_INDIA = timedelta(hours=5, minutes=30)


def page() -> None:
    """Draws the screen."""
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.title(t("system.title"))
        if st.button(t("system.refresh"), icon=":material/refresh:", key="system.refresh"):
            state.system.clear()
            state.look_again()
    with shown():
        days = int(st.session_state.get("system.days") or _SPANS[1])
        told = state.system(days)
        _services(told.get("services") or {})
        _shutdowns(told.get("shutdowns") or [])
        _keys(told.get("key_pool") or [])
        _costs(told, days)


def _badge(name: str) -> None:
    color, icon = _STATES.get(name, ("gray", ":material/help:"))
    st.badge(either(f"system.{name}", name), color=color, icon=icon)  # type: ignore[arg-type]


def _services(services: Mapping[str, Any]) -> None:
    st.subheader(t("system.services"), anchor=False)
    with st.container(key="services"):
        columns = st.columns(2)
        for number, (name, service) in enumerate(services.items()):
            with columns[number % len(columns)]:
                _service(name, service)


def _service(name: str, service: Mapping[str, Any]) -> None:
    with st.container(border=True, key=f"service-{name}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plain(either(f'service.{name}', name))}**", width="content")
            _badge(str(service.get("status") or ""))
        if service.get("detail"):
            st.caption(plain(str(service["detail"])))
        for adapter in service.get("adapters") or ():
            _adapter(adapter)


def _adapter(adapter: Mapping[str, Any]) -> None:
    role = either(f"role.{adapter.get('role')}", str(adapter.get("role") or ""))
    name, model = str(adapter.get("name") or ""), str(adapter.get("model_id") or "")
    is_there = name != "none"
    # A model may have the adapter's name within its own.
    parts = (model,) if model.startswith(name) else (name, model)
    who = plain(" ".join(part for part in parts if part)) if is_there else t("system.nobody")
    embedded = f" :gray-badge[{t('system.embedded')}]" if is_there and adapter.get("embedded") else ""
    st.markdown(f"{plain(role)}: **{who}**{embedded}", help=plain(str(adapter.get("detail") or "")) or None)


def _shutdowns(shutdowns: list[Mapping[str, Any]]) -> None:
    st.subheader(t("system.shutdowns"), anchor=False)
    if not shutdowns:
        st.caption(t("system.no_shutdowns"))
    for one in shutdowns:
        days = int(one.get("days_left") or 0)
        model = plain(str(one.get("model_id") or ""))
        role = either(f"role.{one.get('role')}", str(one.get("role") or ""))
        key = "system.ended" if days < 0 else "system.ends"
        line = t(key, model=model, role=plain(role), date=one.get("shutdown_date"), days=abs(days))
        if days < 0:
            st.error(line, icon=":material/event_busy:")
        elif days <= _SOON:
            st.warning(line, icon=":material/event_upcoming:")
        else:
            st.markdown(f":material/event: {line}")


def _keys(groups: list[Mapping[str, Any]]) -> None:
    st.subheader(t("system.keys"), anchor=False, help=t("system.keys_help"))
    if not groups:
        st.caption(t("system.no_keys"))
        return
    with st.container(horizontal=True, gap="small", key="keys"):
        for group in groups:
            with st.container(border=True, width=260):
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.markdown(f"**{plain(str(group.get('label') or ''))}**", width="content")
                    _badge(str(group.get("state") or ""))
                st.caption(t("system.group", keys=group.get("keys"), used=group.get("used")))
                if group.get("refused"):
                    st.caption(t("system.group_refused", count=group["refused"]))
                if group.get("free_at"):
                    st.caption(t("system.free_at", when=moment(group["free_at"])))


def _costs(told: Mapping[str, Any], days: int) -> None:
    st.subheader(t("system.costs"), anchor=False, help=t("system.costs_help"))
    st.segmented_control(
        t("system.span"),
        _SPANS,
        default=days,
        required=True,
        format_func=lambda count: t("system.days", count=count),
        key="system.days",
        label_visibility="collapsed",
    )
    found = costs(told.get("costs") or [])
    if not found.rows:
        st.caption(t("system.no_costs"))
        return
    cost_chart.show(found, (datetime.now(UTC) + _INDIA).date(), days)
