"""The table of a bill with its arithmetic beside it."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd  # type: ignore[import-untyped]  # for the colours of cells only
import streamlit as st

from studio_service import bills
from studio_service.bills import Bill, Check
from studio_service.labels import either, t
from studio_service.parts.text import plain

_VERSION = "bills.version"
# Name of the column that tells of each row; no bill has it.
_MARK = "\u2713"
_WRONG, _UNSURE, _RIGHT = "✗", "?", "✓"
_STYLES = {_WRONG: "background-color: #FBE3E8; color: #A1123F", _UNSURE: "color: #9A6A12", _RIGHT: "color: #2F6F6B"}


def forget() -> None:
    """Begins anew with another bill."""
    st.session_state[_VERSION] = st.session_state.get(_VERSION, 0) + 1


def summary(bill: Bill) -> None:
    """How many tests pass, and each that does not."""
    checks = bill.checks
    wrong = [one for one in checks if one.is_wrong]
    unsure = [one for one in checks if one.unsure]
    passed = sum(one.passed for one in checks)
    with st.container(horizontal=True, key="bill-summary"):
        if wrong:
            st.badge(t("bills.wrong", count=len(wrong)), icon=":material/error:", color="red")
        if unsure:
            st.badge(t("bills.unsure", count=len(unsure)), icon=":material/help:", color="orange")
        if passed:
            st.badge(t("bills.right", count=passed), icon=":material/check_circle:", color="green")
    if wrong:
        st.error("\n".join(f"- {_sentence(one)}" for one in wrong), icon=":material/calculate:")
    if unsure:
        with st.expander(t("bills.unsure_title", count=len(unsure)), icon=":material/help:"):
            st.markdown("\n".join(f"- {_sentence(one)}" for one in unsure))


def edit(bill: Bill, where: str) -> Bill:
    """The table for a person to mend; keeps the mended bill under `where` in the session."""
    version = st.session_state.setdefault(_VERSION, 0)
    key = f"bills.table.{version}"

    def mended() -> None:
        rows = bills.edited(bill.rows, st.session_state[key], bill.columns)
        st.session_state[where] = bill.with_rows(rows)
        # The marks belong to the rows as they are now: the editor begins anew with them.
        forget()

    st.data_editor(
        _frame(bill),
        key=key,
        on_change=mended,
        num_rows="dynamic",
        hide_index=True,
        column_config=_config(bill),
        disabled=[_MARK],
        width="stretch",
        alt=t("bills.table"),
    )
    st.caption(t("bills.edit_help"))
    return bill


def facts(bill: Bill) -> None:
    """Header fields, totals and what else was asked for; and who read the bill."""
    if bill.fields or bill.extras:
        st.subheader(t("bills.facts"), anchor=False)
        with st.container(border=True, key="bill-facts"):
            columns = st.columns(3)
            for number, (name, value) in enumerate({**bill.fields, **bill.extras}.items()):
                label = plain(either(f"bill_field.{name}", name.replace("_", " ")))
                columns[number % len(columns)].markdown(f":gray[{label}]  \n**{plain(value)}**")
    for adapter in bill.adapters:
        who = " ".join(part for part in (adapter.get("name"), adapter.get("model_id")) if part)
        st.caption(t("bills.by", name=plain(who)), help=plain(str(adapter.get("detail") or "")) or None)


def _frame(bill: Bill) -> Any:
    numeric = bill.numeric
    data: dict[str, Any] = {_MARK: [_mark(bill, number) for number in range(1, len(bill.rows) + 1)]}
    for name in bill.columns:
        values = [row.get(name) for row in bill.rows]
        data[name] = (
            pd.Series([bills.numeral(value) for value in values], dtype="Float64")
            if name in numeric
            else pd.Series([None if value is None else bills_text(value) for value in values], dtype="string")
        )
    return pd.DataFrame(data).style.map(lambda text: _STYLES.get(str(text)[:1], ""), subset=[_MARK])


def bills_text(value: object) -> str:
    """A value of a column that holds more than numbers."""
    return bills.plain(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _config(bill: Bill) -> dict[str, Any]:
    numeric = bill.numeric
    # Wide only while there is something to read in it.
    width: Literal["small", "medium"] = "small" if all(one.passed for one in bill.checks) else "medium"
    found: dict[str, Any] = {_MARK: st.column_config.TextColumn(t("bills.check"), width=width)}
    for name in bill.columns:
        label = either(f"bill_column.{name}", name)
        found[name] = (
            st.column_config.NumberColumn(label, format="%.10g")
            if name in numeric
            else st.column_config.TextColumn(label, max_chars=500)
        )
    return found


def _mark(bill: Bill, number: int) -> str:
    checks = bill.of_row(number)
    for one in checks:
        if one.is_wrong:
            return f"{_WRONG} {_short(one)}"
    if any(one.unsure for one in checks):
        return f"{_UNSURE} {t('bills.unreadable')}"
    return _RIGHT if checks else ""


def _short(one: Check) -> str:
    if one.expected is None or one.found is None:
        return one.detail
    rule = either(f"bill_rule.{one.rule}", one.rule)
    return t("bills.short", rule=rule, expected=bills.plain(round(one.expected, 2)), found=bills.plain(one.found))


def _sentence(one: Check) -> str:
    rule = either(f"bill_rule.{one.rule}", one.rule)
    place = t("bills.row", row=one.row) if one.row else t("bills.whole")
    if one.expected is not None and one.found is not None:
        expected, found = bills.plain(round(one.expected, 2)), bills.plain(one.found)
        said = t("bills.differs", expected=expected, found=found)
    else:
        said = plain(one.detail) or t("bills.unreadable")
    return f"**{place}, {rule}:** {said}"
