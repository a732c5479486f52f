"""The review as a table: a row per product, a column per doubtful field; and one value for many products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from studio_service import review
from studio_service.labels import either, t
from studio_service.parts.catalogue.reviewing import Reviewing
from studio_service.parts.problem import shown
from studio_service.parts.thumbnails import inline
from studio_service.review import Column, Product

_ROW_PIXELS = 56
# Columns at once; more fields are taken up when these are done.
_MOST_COLUMNS = 14
_PICTURED_ROWS = 100


def show(reviewing: Reviewing) -> None:
    """The bulk edit, then the table."""
    _bulk(reviewing)
    everything = st.toggle(t("review.all_fields"), key="review.table_all", help=t("review.all_fields_help"))
    fields = list(reviewing.columns.values()) if everything else review.open_fields(reviewing.products)
    if not fields:
        st.success(t("review.nothing"), icon=":material/check_circle:")
        return
    chosen = st.multiselect(
        t("review.columns"),
        [column.field for column in fields],
        default=[column.field for column in fields[:_MOST_COLUMNS]],
        format_func=lambda name: reviewing.columns[name].label,
        key=f"review.columns.{everything}",
    )
    _table(reviewing, [reviewing.columns[name] for name in chosen])


def _bulk(reviewing: Reviewing) -> None:
    with st.expander(t("review.bulk"), icon=":material/select_all:"):
        fields = review.open_fields(reviewing.products)
        rest = [column for column in reviewing.columns.values() if column not in fields]
        left, right = st.columns(2)
        with left:
            name = st.selectbox(
                t("review.bulk_field"),
                [column.field for column in (*fields, *rest)],
                format_func=lambda one: reviewing.columns[one].label,
                key="bulk.field",
            )
        column = reviewing.columns[name]
        with right:
            value = (
                st.selectbox(
                    t("review.bulk_value"),
                    column.options,
                    index=None,
                    placeholder=t("review.choose"),
                    key=f"bulk.value.{name}",
                )
                if column.options
                else st.text_input(
                    t("review.bulk_value"), max_chars=column.max_length or None, key=f"bulk.value.{name}"
                )
            )
        skus = [one.sku for one in reviewing.products]
        only = st.multiselect(
            t("review.bulk_products"), skus, placeholder=t("review.bulk_all", count=len(skus)), key="bulk.products"
        )
        if st.button(t("review.bulk_go"), type="primary", disabled=not value, key="bulk.go"):
            with shown():
                chosen = only or skus
                with st.spinner(t("common.working")):
                    reviewing.save({sku: {name: [str(value)]} for sku in chosen})
                st.toast(t("review.bulk_done", count=len(chosen)), icon=":material/check:")
                st.rerun()


def _table(reviewing: Reviewing, shown_columns: Sequence[Column]) -> None:
    products = reviewing.products
    before = review.grid(products, shown_columns)
    edited: list[dict[str, Any]] = st.data_editor(
        [{"picture": _picture(number, one), **before[number]} for number, one in enumerate(products)],
        hide_index=True,
        row_height=_ROW_PIXELS,
        height=min(560, 38 + _ROW_PIXELS * len(products)),
        disabled=["picture", "sku", "name"],
        column_config={
            "picture": st.column_config.ImageColumn(t("common.picture"), width=70, pinned=True),
            "sku": st.column_config.TextColumn(t("common.sku"), pinned=True, width=120),
            "name": st.column_config.TextColumn(t("review.copy_title"), width=200),
            **{column.field: _config(column, products) for column in shown_columns},
        },
        key=f"review.grid.{reviewing.job_id}.{reviewing.version}.{hash(tuple(c.field for c in shown_columns))}",
    )
    edits = review.changes(before, edited, [column.field for column in shown_columns])
    count = sum(len(fields) for fields in edits.values())
    pressed = st.button(
        t("review.save_table", count=count),
        type="primary",
        icon=":material/save:",
        disabled=not count,
        shortcut="Ctrl+Enter",
        key="review.save_table",
    )
    _findings(products)
    if pressed:
        with shown():
            with st.spinner(t("common.working")):
                by_sku = {one.sku: one for one in products}
                reviewing.save(
                    {
                        sku: {name: review.apart(by_sku[sku], name, text) for name, text in texts.items()}
                        for sku, texts in edits.items()
                    }
                )
            st.toast(t("review.saved", count=count), icon=":material/check:")
            st.rerun()


def _config(column: Column, products: Sequence[Product]) -> Any:
    cells = [cell for one in products for cell in one.cells if cell.column.field == column.field]
    lines = dict.fromkeys(finding.message for cell in cells for finding in cell.findings)
    tip = "\n\n".join([*lines][:5]) or None
    label = f"{'⚠ ' if lines else ''}{column.label}{' *' if column.required else ''}"
    if column.options and all(len(cell.values) <= 1 for cell in cells):
        there = [value for cell in cells for value in cell.values]
        options = list(dict.fromkeys(["", *column.options, *there]))
        return st.column_config.SelectboxColumn(label, options=options, help=tip, width=150)
    return st.column_config.TextColumn(label, help=tip, max_chars=column.max_length or None, width=150)


def _findings(products: Sequence[Product]) -> None:
    rows = [
        {
            "sku": one.sku,
            "field": cell.column.label,
            "severity": either(f"severity.{finding.severity}", finding.severity),
            "finding": finding.message,
            "cell": finding.cell,
        }
        for one in products
        for cell in one.open_cells
        for finding in cell.findings
    ]
    if rows:
        st.markdown(f"**{t('review.findings')}**")
        names: dict[str, Any] = {
            name: st.column_config.TextColumn(t(f"review.finding_{name}"))
            for name in ("field", "severity", "finding", "cell")
        }
        names["sku"] = st.column_config.TextColumn(t("common.sku"))
        st.dataframe(rows, hide_index=True, column_config=names)


def _picture(number: int, one: Product) -> str | None:
    return inline(one.image_urls[0], 2 * _ROW_PIXELS) if one.image_urls and number < _PICTURED_ROWS else None
