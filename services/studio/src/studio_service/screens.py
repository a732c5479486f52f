"""The screens in the order of the menu, and the way from one to another."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import streamlit as st

from studio_service.labels import t


@dataclass(frozen=True)
class Screen:
    """A screen: module `pages/<name>.py` with `page()`, label `nav.<name>`, path `/<name>`; of the first: `/`."""

    name: str
    icon: str


SCREENS = (
    Screen("describe", ":material/auto_awesome:"),
    Screen("catalogue", ":material/table_view:"),
    Screen("bills", ":material/receipt_long:"),
    Screen("similar", ":material/image_search:"),
    Screen("collections", ":material/auto_awesome_mosaic:"),
    Screen("pictures", ":material/photo_camera:"),
    Screen("system", ":material/monitor_heart:"),
)


def pages() -> list[Any]:
    """Every screen as Streamlit wants it, in the session's language."""
    return [_page(screen) for screen in SCREENS]


def go(name: str, **query: str) -> None:
    """Leaves for another screen; what follows in the caller is not run."""
    screen = next(screen for screen in SCREENS if screen.name == name)
    st.switch_page(_page(screen), query_params=query)


def _page(screen: Screen) -> Any:
    module = importlib.import_module(f"studio_service.pages.{screen.name}")
    return st.Page(
        module.page,
        title=t(f"nav.{screen.name}"),
        icon=screen.icon,
        url_path=screen.name,
        default=screen is SCREENS[0],
    )
