"""Times as the browser's clock has them."""

from __future__ import annotations

import streamlit as st

from studio_service import times
from studio_service.labels import current


def moment(iso: object) -> str:
    """A time of the API in the zone of the browser and the session's language."""
    return times.told(str(iso or ""), current(), st.context.timezone)
