"""What one screen hands to another within a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

_KEY = "carried"


@dataclass(frozen=True)
class Carried:
    """A stored picture under a SKU."""

    sku: str
    url: str


def carry(products: Sequence[Carried]) -> None:
    """Adds products to what the Catalogue screen begins with; a SKU that comes again replaces the earlier one."""
    kept = {one.sku: one for one in carried()}
    kept.update({one.sku: one for one in products})
    st.session_state[_KEY] = list(kept.values())


def carried() -> list[Carried]:
    """Products that were handed over."""
    found: list[Carried] = st.session_state.get(_KEY, [])
    return found


def drop() -> None:
    """Forgets them."""
    st.session_state.pop(_KEY, None)
