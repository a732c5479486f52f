"""A table as files."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from studio_service import sheets
from studio_service.labels import t


def table(columns: Sequence[str], rows: Sequence[sheets.Row], name: str, key: str) -> None:
    """Buttons for CSV and Excel; `name` of the files without ending."""
    with st.container(horizontal=True):
        st.download_button(
            t("files.csv"),
            sheets.to_csv(columns, rows),
            file_name=f"{name}.csv",
            mime=sheets.CSV,
            icon=":material/download:",
            on_click="ignore",
            key=f"{key}.csv",
        )
        st.download_button(
            t("files.xlsx"),
            sheets.to_xlsx(columns, rows, name),
            file_name=f"{name}.xlsx",
            mime=sheets.XLSX,
            icon=":material/table_view:",
            on_click="ignore",
            key=f"{key}.xlsx",
        )
