"""Screen 2: products become a marketplace's workbook, and a person has the last word."""

from __future__ import annotations

import streamlit as st

from studio_service.labels import t
from studio_service.parts import choices
from studio_service.parts.catalogue import job, jobs, products, start, where

_VIEWS = ("new", "jobs")


def page() -> None:
    """Draws the screen: a job where the address names one, else a new listing or the list of jobs."""
    st.title(t("catalogue.title"))
    job_id = st.query_params.get("job")
    if job_id:
        job.show(job_id)
        return
    view = choices.switch("catalogue.view", _VIEWS, lambda name: t(f"catalogue.{name}"), t("catalogue.title"))
    if view == "jobs":
        jobs.show()
    else:
        _new()


def _new() -> None:
    st.markdown(t("catalogue.intro"))
    with st.container(border=True, key="step-products"):
        st.subheader(t("catalogue.step_products"), anchor=False)
        drafts = products.choose()
    with st.container(border=True, key="step-where"):
        st.subheader(t("catalogue.step_where"), anchor=False)
        chosen = where.choose()
    with st.container(border=True, key="step-start"):
        st.subheader(t("catalogue.step_start"), anchor=False)
        if drafts and chosen:
            start.offer(drafts, chosen)
        else:
            st.caption(t("catalogue.no_products"))
