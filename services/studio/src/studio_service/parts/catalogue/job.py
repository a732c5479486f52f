"""A job: its progress while it runs, its workbook and its review when it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from jewelry_client import Job

from studio_service import state, times, verdicts
from studio_service.labels import either, t
from studio_service.listing import LeftOut
from studio_service.parts import choices
from studio_service.parts.catalogue import jobs, review_form, review_table
from studio_service.parts.catalogue.reviewing import Reviewing
from studio_service.parts.catalogue.start import LEFT_OUT
from studio_service.parts.catalogue.where import code_label
from studio_service.parts.moment import moment
from studio_service.parts.problem import show as show_problem
from studio_service.parts.problem import shown
from studio_service.parts.text import plain
from studio_service.problems import Problem

LOOK_SECONDS = 1.0
_ICONS = {
    "queued": ":material/schedule:",
    "running": ":material/progress_activity:",
    "success": ":material/check_circle:",
    "failed": ":material/error:",
    "cancelled": ":material/block:",
}
_SPREADSHEETS = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    "xls": "application/vnd.ms-excel",
    "csv": "text/csv",
}


def show(job_id: str) -> None:
    """The job of the page."""
    st.button(t("job.back"), icon=":material/arrow_back:", type="tertiary", on_click=_leave, key="job.back")
    try:
        job = _short(job_id)
    except Problem as problem:
        show_problem(problem)
        return
    _head(job)
    _left_out(job_id)
    if not job.ended:
        _progress(job_id)
        return
    with shown():
        _ended(job)


def _leave() -> None:
    st.query_params.pop("job", None)
    st.session_state["catalogue.view"] = "jobs"


def _short(job_id: str) -> Job:
    return state.api().read(lambda client: client.job(job_id, results=False))


def _head(job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(code_label(str(job.raw.get("marketplace_type") or "")), width="content", anchor=False)
        jobs.badge(job.status)
    when = moment(job.raw.get("created"))
    st.caption(t("job.line", id=job.id[:8], when=when))
    error = job.raw.get("error")
    if error:
        st.error(plain(str(error)), icon=":material/error:")


def _left_out(job_id: str) -> None:
    left_out: list[LeftOut] = st.session_state.get(LEFT_OUT, {}).get(job_id, [])
    if left_out:
        lines = [f"- **{plain(one.sku)}**: {plain(one.problem.sentence)}" for one in left_out]
        st.warning("\n".join([t("job.left_out", count=len(left_out)), "", *lines]), icon=":material/warning:")


@st.fragment(run_every=LOOK_SECONDS)
def _progress(job_id: str) -> None:
    """Looks at the job every second; the rest of the page stays as it is."""
    try:
        job = _short(job_id)
    except Problem as problem:
        show_problem(problem)
        return
    if job.ended:
        st.rerun()
    share = job.done / job.total if job.total else 0.0
    st.progress(share, t("job.progress", done=job.done, total=job.total))
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.time_left is not None:
            st.caption(t("job.left", time=times.span(job.time_left)), width="content")
        st.caption(t("job.cost", inr=f"{job.cost_inr:.2f}"), width="content")
        st.button(t("jobs.cancel"), key="job.cancel", on_click=jobs.cancel, args=(job_id,), icon=":material/stop:")
    _states(job)


def _states(job: Job) -> None:
    products: Sequence[Mapping[str, Any]] = job.raw.get("products") or ()
    lines = []
    for one in products:
        status = str(one.get("status") or "")
        name = str(one.get("name") or "")
        words = str(one.get("error") or "") or (name if name != one.get("sku") else "")
        label = either(f"product_status.{status}", status)
        lines.append(f"{_ICONS.get(status, '')} **{plain(str(one.get('sku')))}** :gray[{label}] {plain(words)}")
    st.markdown("\n\n".join(lines))


def _ended(job: Job) -> None:
    _workbook(job)
    for issue in job.raw.get("issues") or ():
        st.caption(f":material/info: {plain(str(issue.get('message') or ''))}")
    with st.expander(t("job.products", done=job.succeeded, failed=job.failed), expanded=job.failed > 0):
        _states(job)
    if not job.succeeded:
        return
    reviewing = Reviewing.of(job)
    st.subheader(t("review.title"), anchor=False)
    reviewing.summary()
    view = choices.switch("review.view", ("form", "table"), lambda name: t(f"review.as_{name}"), t("review.title"))
    if view == "table":
        review_table.show(reviewing)
    else:
        review_form.show(reviewing)


def _workbook(job: Job) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="workbook"):
        url = job.excel_file_url
        if url:
            ending = verdicts.file_name(url).rpartition(".")[2].lower()
            name = f"{job.raw.get('marketplace_type')}-{job.id[:8]}.{ending}"
            try:
                content = state.stored_file(url)
            except Problem:
                # An object store of its own may want the seller's own login.
                st.link_button(t("job.download"), url, type="primary", icon=":material/download:")
            else:
                st.download_button(
                    t("job.download"),
                    content,
                    file_name=name,
                    mime=_SPREADSHEETS.get(ending, "application/octet-stream"),
                    type="primary",
                    icon=":material/download:",
                    on_click="ignore",
                    key="job.download",
                )
        else:
            st.caption(t("job.no_workbook"), width="content")
        if job.succeeded:
            pressed = st.button(t("job.export"), icon=":material/refresh:", help=t("job.export_help"), key="job.export")
            if pressed:
                export(job)
        if job.status in ("partial", "failed", "cancelled"):
            st.button(
                t("jobs.resume"),
                icon=":material/replay:",
                help=t("job.resume_help"),
                on_click=jobs.resume,
                args=(job.id,),
                key="job.resume",
            )
        st.metric(t("start.cost"), f"₹ {job.cost_inr:.2f}", width="content")


def export(job: Job) -> None:
    """Writes the workbook again with a person's values, and draws the page anew."""
    with st.spinner(t("job.exporting")):
        state.api().ask(lambda client: client.export(job.id))
    Reviewing.forget(job.id)
    st.toast(t("job.exported"), icon=":material/check:")
    st.rerun()
