"""A job's review in this session: read once, kept up to date by every edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from jewelry_client import Client, Job

from studio_service import review, state
from studio_service.labels import t
from studio_service.review import Column, Product

_KEY = "review"


class Reviewing:
    """Products of a job as they stand, edits of this session included."""

    def __init__(self, job: Job, columns: Mapping[str, Column], products: Sequence[Product], bound: float) -> None:
        self.job_id = job.id
        self.columns = columns
        self.products = list(products)
        self.bound = bound
        # Counts edits, so that widgets that were drawn before one begin anew.
        self.version = 0
        self.is_edited = False

    @classmethod
    def of(cls, job: Job) -> Reviewing:
        """The review of a job that has ended. Raises Problem."""
        # Another attempt or another workbook has other findings.
        signature = (job.id, job.raw.get("attempt"), job.excel_file_url)
        kept = st.session_state.get(_KEY)
        if kept is None or kept[0] != signature:
            kept = (signature, cls._read(job))
            st.session_state[_KEY] = kept
        found: Reviewing = kept[1]
        return found

    @staticmethod
    def forget(job_id: str) -> None:
        """Has the review read again."""
        kept = st.session_state.get(_KEY)
        if kept is not None and kept[0][0] == job_id:
            del st.session_state[_KEY]

    @classmethod
    def _read(cls, job: Job) -> Reviewing:
        full = state.api().ask(lambda client: client.job(job.id))
        told = state.api().ask(lambda client: client.review(job.id))
        code = str(job.raw.get("marketplace_type") or "")
        template_id = str(job.raw.get("template_id") or f"builtin-{code}")
        columns = review.columns(state.template(template_id))
        bound = float(told.get("confidence") or 0.0)
        products = review.in_order(review.product(one, columns, bound) for one in full.results)
        return cls(job, columns, products, bound)

    def save(self, edits: Mapping[str, Mapping[str, Any]], **copy: Any) -> None:
        """Sends a person's values by SKU and field; `copy` for a single product. Raises Problem."""
        for sku, fields in edits.items():

            async def correct(client: Client, sku: str = sku, fields: Mapping[str, Any] = fields) -> dict[str, Any]:
                return await client.correct(sku=sku, job_id=self.job_id, fields=fields, **copy)

            answered = review.product(state.api().read(correct), self.columns, self.bound)
            self.products = [review.settled(one, answered) if one.sku == sku else one for one in self.products]
            self.is_edited = True
        self.version += 1

    def summary(self) -> None:
        """What is left to do, in one line."""
        errors = sum(one.errors for one in self.products)
        cells = sum(len(one.open_cells) for one in self.products)
        with st.container(horizontal=True, vertical_alignment="center"):
            if errors:
                st.badge(t("review.errors", count=errors), icon=":material/error:", color="red")
            if cells - errors:
                st.badge(t("review.doubtful", count=cells - errors), icon=":material/help:", color="orange")
            if not cells:
                st.badge(t("review.done"), icon=":material/check_circle:", color="green")
            if self.is_edited:
                st.caption(t("review.edited"), width="content")
