"""The list of jobs: closing the browser loses nothing."""

from __future__ import annotations

import streamlit as st
from jewelry_client import Job

from studio_service import state
from studio_service.labels import either, t
from studio_service.parts.catalogue.where import code_label
from studio_service.parts.moment import moment
from studio_service.parts.problem import shown

COLORS = {
    "queued": "gray",
    "running": "blue",
    "succeeded": "green",
    "partial": "orange",
    "failed": "red",
    "cancelled": "gray",
}
_MOST = 30


def show() -> None:
    """Jobs, newest first."""
    with shown():
        found = state.api().read(lambda client: client.jobs())
        if not found:
            st.info(t("jobs.none"), icon=":material/inbox:")
        for job in found[:_MOST]:
            _row(job)


def badge(status: str) -> None:
    """A job's status."""
    color = COLORS.get(status, "gray")
    st.badge(either(f"job_status.{status}", status), color=color)  # type: ignore[arg-type]  # one of its colours


def _row(job: Job) -> None:
    with st.container(border=True, key=f"job-{job.id}"):
        words, actions = st.columns([3, 2], vertical_alignment="center")
        with words:
            with st.container(horizontal=True, vertical_alignment="center"):
                badge(job.status)
                st.markdown(f"**{code_label(str(job.raw.get('marketplace_type') or ''))}**", width="content")
            when = moment(job.raw.get("created"))
            st.caption(t("jobs.line", done=job.done, total=job.total, failed=job.failed, when=when, id=job.id[:8]))
        with actions, st.container(horizontal=True, horizontal_alignment="right"):
            if not job.ended:
                st.button(t("jobs.cancel"), key=f"jobs.cancel.{job.id}", on_click=cancel, args=(job.id,))
            elif job.status in ("partial", "failed", "cancelled"):
                st.button(t("jobs.resume"), key=f"jobs.resume.{job.id}", on_click=resume, args=(job.id,))
            st.button(
                t("jobs.open"),
                type="primary",
                icon=":material/open_in_new:",
                key=f"jobs.open.{job.id}",
                on_click=open_job,
                args=(job.id,),
            )


def open_job(job_id: str) -> None:
    """Makes the page the job's; its id is in the address, so that a reload comes back to it."""
    st.query_params["job"] = job_id


def cancel(job_id: str) -> None:
    """Begins no further product of the job."""
    with shown():
        state.api().read(lambda client: client.cancel(job_id))


def resume(job_id: str) -> None:
    """Works again on what failed or was cancelled, and shows it."""
    with shown():
        state.api().read(lambda client: client.resume(job_id))
        open_job(job_id)
