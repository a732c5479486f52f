"""Step 1: which products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from studio_service import carrying, gathering
from studio_service.describing import MAX_PICTURE, PICTURES, Photo
from studio_service.gathering import Draft
from studio_service.labels import t
from studio_service.parts import choices
from studio_service.parts.problem import shown
from studio_service.parts.thumbnails import inline
from studio_service.problems import Problem

SOURCES = ("photos", "archive", "table", "pasted")
_PARSED = "catalogue.parsed"
_ROW_PIXELS = 64
# Rows with a picture of their own; more would make the page heavy.
_PICTURED_ROWS = 60


def choose() -> list[Draft]:
    """Asks for products; gives those that are to be listed."""
    source = choices.switch("catalogue.source", SOURCES, lambda name: t(f"products.from_{name}"), t("products.source"))
    drafts: list[Draft] = []
    with shown():
        drafts = _of_source(source)
    carried = carrying.carried()
    if carried:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(t("products.carried", count=len(carried)), width="content")
            if st.button(t("products.drop"), type="tertiary", key="catalogue.drop"):
                carrying.drop()
                st.rerun()
    everything = [*(Draft(one.sku, (one.url,)) for one in carried), *drafts]
    if not everything:
        return []
    with shown():
        return _table(everything)
    return []


def _of_source(source: str) -> list[Draft]:
    if source == "photos":
        files = st.file_uploader(
            t("products.photos"),
            type=list(PICTURES),
            accept_multiple_files=True,
            help=t("products.photos_help"),
            max_upload_size=MAX_PICTURE >> 20,
            key="catalogue.photos",
        )
        return _parsed(files, lambda: gathering.from_photos(_photos(files)))
    if source == "archive":
        archive = st.file_uploader(
            t("products.archive"), type=["zip"], help=t("products.archive_help"), key="catalogue.archive"
        )
        return _parsed([archive], lambda: gathering.from_archive(_photos([archive])[0])) if archive else []
    if source == "table":
        table = st.file_uploader(t("products.table"), type=["csv"], help=t("products.table_help"), key="catalogue.csv")
        files = st.file_uploader(
            t("products.table_photos"),
            type=list(PICTURES),
            accept_multiple_files=True,
            max_upload_size=MAX_PICTURE >> 20,
            key="catalogue.csv_photos",
        )
        if table is None:
            return []
        return _parsed([table, *files], lambda: gathering.from_table(_photos([table])[0], _photos(files)))
    pasted = st.text_area(
        t("products.pasted"),
        placeholder=t("products.pasted_example"),
        help=t("products.pasted_help"),
        key="catalogue.pasted",
        height=130,
    )
    return gathering.from_lines(pasted) if pasted.strip() else []


def _parsed(files: Sequence[Any], read: Callable[[], list[Draft]]) -> list[Draft]:
    """The products of the files, read once however often the page is drawn."""
    signature = tuple(file.file_id for file in files)
    kept = st.session_state.get(_PARSED)
    if kept is None or kept[0] != signature:
        try:
            kept = (signature, read())
        except Problem as problem:
            kept = (signature, problem)
        st.session_state[_PARSED] = kept
    if isinstance(kept[1], Problem):
        raise kept[1]
    drafts: list[Draft] = kept[1]
    return drafts


def _photos(files: Sequence[Any]) -> list[Photo]:
    return [Photo(file.name, file.getvalue()) for file in files]


def _table(drafts: Sequence[Draft]) -> list[Draft]:
    """The products in a table, where a SKU can be changed and a product left out."""
    rows = [
        {
            "picture": inline(draft.pictures[0], 2 * _ROW_PIXELS) if number < _PICTURED_ROWS else None,
            "keep": True,
            "sku": draft.sku,
            "pictures": len(draft.pictures),
            "values": ", ".join(f"{name}: {value}" for name, value in draft.values.items()),
        }
        for number, draft in enumerate(drafts)
    ]
    with_values = any(draft.values for draft in drafts)
    edited: list[dict[str, Any]] = st.data_editor(
        rows,
        hide_index=True,
        row_height=_ROW_PIXELS,
        height=min(420, 38 + _ROW_PIXELS * len(rows)),
        column_order=["picture", "sku", "keep", "pictures", *(["values"] if with_values else [])],
        column_config={
            "picture": st.column_config.ImageColumn(t("common.picture"), width=80),
            "sku": st.column_config.TextColumn(t("common.sku"), required=True, max_chars=100),
            "keep": st.column_config.CheckboxColumn(t("products.keep"), width=70),
            "pictures": st.column_config.NumberColumn(t("products.pictures"), disabled=True, width=80),
            "values": st.column_config.TextColumn(t("products.values"), disabled=True),
        },
        # Other products, another table: edits of the earlier one are not carried over to wrong rows.
        key=f"catalogue.table.{hash(tuple(draft.sku for draft in drafts))}",
    )
    return gathering.renamed(drafts, [str(row["sku"] or "") for row in edited], [bool(row["keep"]) for row in edited])
