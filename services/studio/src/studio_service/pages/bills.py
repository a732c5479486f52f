"""Screen 3: a bill becomes a table that a person mends, narrows down and takes away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import streamlit as st
from jewelry_client import Client, File

from studio_service import bills, describing, state
from studio_service.bills import Bill
from studio_service.labels import t
from studio_service.parts import bill_table, downloads, picture, refinement
from studio_service.parts.problem import shown
from studio_service.parts.text import plain

_BILL = "bills.bill"
_PAGES = "bills.pages"
_TYPES = ("pdf", *describing.PICTURES)
MAX_PAGES = 20


def page() -> None:
    """Draws the screen."""
    st.title(t("bills.title"))
    st.markdown(t("bills.intro"))
    with shown():
        _form()
    bill: Bill | None = st.session_state.get(_BILL)
    if bill is None:
        return
    _pages()
    bill_table.summary(bill)
    if bill.columns:
        bill = bill_table.edit(bill, _BILL)
        downloads.table(bill.columns, bill.rows, t("bills.file"), "bills")
    else:
        st.info(t("bills.no_table"), icon=":material/info:")
    bill_table.facts(bill)
    if bill.columns and bill.rows:
        refinement.show(bill, _BILL)


def _form() -> None:
    with st.form("bills", border=True):
        files = st.file_uploader(
            t("bills.files"),
            type=list(_TYPES),
            accept_multiple_files=True,
            help=t("bills.files_help"),
            key="bills.files",
        )
        prompt = st.text_input(
            t("bills.prompt"), max_chars=500, placeholder=t("bills.prompt_example"), help=t("bills.prompt_help")
        )
        sent = st.form_submit_button(t("bills.go"), type="primary", icon=":material/receipt_long:")
    if not sent:
        return
    if not files:
        st.warning(t("bills.no_files"))
        return
    pages = [File(file.getvalue(), file.name, file.type or "application/octet-stream") for file in files]
    if refused := _refused(pages):
        st.error(plain(refused), icon=":material/error:")
        return
    with st.spinner(t("bills.reading")):
        answer = state.api().ask(_reading(pages, prompt))
    bill_table.forget()
    refinement.forget()
    st.session_state[_BILL] = bills.of(answer)
    st.session_state[_PAGES] = pages


def _reading(pages: list[File], prompt: str) -> Callable[[Client], Awaitable[dict[str, Any]]]:
    async def asked(client: Client) -> dict[str, Any]:
        return await client.read_bill(pages, prompt=prompt)

    return asked


def _refused(pages: list[File]) -> str:
    """Why the pages need not be sent; empty where they may be."""
    if len(pages) > MAX_PAGES:
        return t("bills.too_many", most=MAX_PAGES, count=len(pages))
    for one in pages:
        if not one.content:
            return t("describe.empty", name=one.name)
        if len(one.content) > describing.MAX_PICTURE:
            return t("describe.too_large", name=one.name)
    return ""


def _pages() -> None:
    pages: list[File] = [one for one in st.session_state.get(_PAGES, []) if not one.content.startswith(b"%PDF-")]
    if not pages:
        return
    with st.expander(t("bills.pages", count=len(pages)), icon=":material/image:"):
        for one in pages:
            picture.show(one.content, one.name, side=1400)
