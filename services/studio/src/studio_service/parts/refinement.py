"""Some rows and columns of a bill, asked for in plain words."""

from __future__ import annotations

from typing import Any

import streamlit as st
from jewelry_client import Client

from studio_service import bills, state
from studio_service.bills import Bill
from studio_service.labels import either, t
from studio_service.parts import bill_table, downloads
from studio_service.parts.problem import shown
from studio_service.parts.text import plain

_REFINED = "bills.refined"


def forget() -> None:
    """Begins anew with another bill."""
    st.session_state.pop(_REFINED, None)


def show(bill: Bill, where: str) -> None:
    """Asks for the words and shows what they left; it may take the table's place under `where` in the session."""
    st.subheader(t("bills.refine"), anchor=False)
    with st.form("refine", border=True):
        words = st.text_input(
            t("bills.words"),
            max_chars=500,
            placeholder=t("bills.words_example"),
            key="bills.words",
            help=t("bills.words_help"),
        )
        columns = st.multiselect(
            t("bills.columns"),
            bill.columns,
            format_func=lambda name: either(f"bill_column.{name}", name),
            placeholder=t("bills.all_columns"),
            key="bills.columns",
        )
        sent = st.form_submit_button(t("bills.refine_go"), icon=":material/filter_alt:")
    with shown():
        if sent:
            _ask(bill, words, columns)
        refined = st.session_state.get(_REFINED)
        if refined:
            _result(bill, refined, where)


def _ask(bill: Bill, words: str, columns: list[str]) -> None:
    if not words.strip() and not columns:
        st.warning(t("bills.no_words"))
        return
    forget()
    rows = [{name: row.get(name) for name in bill.columns} for row in bill.rows]

    async def refined(client: Client) -> dict[str, Any]:
        return await client.refine(rows, columns=columns, manual=words)

    with st.spinner(t("common.working")):
        st.session_state[_REFINED] = state.api().ask(refined)


def _result(bill: Bill, refined: dict[str, Any], where: str) -> None:
    rows = refined.get("data") or []
    columns = refined.get("columns") or []
    understood = str(refined.get("understood") or "")
    line = t("bills.left", count=len(rows), total=len(bill.rows))
    st.markdown(f"{line} {t('bills.understood', words=plain(understood))}" if understood else line)
    if not rows:
        return
    labels = {name: either(f"bill_column.{name}", name) for name in columns}
    told = [{labels[name]: row.get(name) for name in columns} for row in rows]
    st.dataframe(told, hide_index=True, width="stretch", alt=t("bills.refine"))
    downloads.table(columns, rows, t("bills.refined_file"), "refined")
    if st.button(t("bills.take"), icon=":material/move_up:", type="tertiary", key="bills.take"):
        st.session_state[where] = bills.narrowed(bill, columns, rows)
        bill_table.forget()
        forget()
        st.rerun()
