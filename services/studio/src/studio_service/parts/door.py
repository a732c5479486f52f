"""The password in front of the screens, where one is configured."""

from __future__ import annotations

import hmac

import streamlit as st

from studio_service import settings
from studio_service.labels import t

_KEY = "door.open"


def is_open() -> bool:
    """True where no password is configured, or this session has given it."""
    return settings.load().studio_password is None or bool(st.session_state.get(_KEY))


def show() -> None:
    """Asks for the password."""
    password = settings.load().studio_password
    assert password is not None
    st.title(t("app.title"))
    with st.form("door", width=380):
        given = st.text_input(t("door.password"), type="password")
        if st.form_submit_button(t("door.enter"), type="primary"):
            if hmac.compare_digest(given.encode(), password.get_secret_value().encode()):
                st.session_state[_KEY] = True
                st.rerun()
            st.error(t("door.wrong"))
