"""What products cost, by day and marketplace."""

from __future__ import annotations

from datetime import date

import altair as alt
import streamlit as st

from studio_service import costs
from studio_service.costs import Costs
from studio_service.labels import either, t
from studio_service.parts import charts, downloads


def show(found: Costs, last: date, days: int) -> None:
    """The sums, the chart and the table."""
    money, products, each = st.columns(3, wrap=False)
    money.metric(t("system.rupees"), f"₹ {found.rupees:,.2f}")
    products.metric(t("system.products"), f"{found.products:,}")
    each.metric(t("system.each"), f"₹ {found.rupees / max(found.products, 1):,.2f}")
    rows = [
        {**row, "name": either(f"market.{str(row['marketplace'])[:3]}", str(row["marketplace"]))}
        for row in found.bars(last, days)
    ]
    bars = (
        charts.of(rows)
        .mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2)
        .encode(
            x=alt.X(
                "day:T",
                title=None,
                timeUnit="utcyearmonthdate",
                axis=alt.Axis(format="%d %b", labelOverlap=True, grid=False),
            ),
            y=alt.Y("inr:Q", title="₹", stack="zero"),
            color=alt.Color("name:N", title=None, legend=alt.Legend(orient="bottom")),
            tooltip=[
                alt.Tooltip("day:T", format="%d %b %Y", title=" "),
                alt.Tooltip("name:N", title=" "),
                alt.Tooltip("inr:Q", format=",.2f", title="₹"),
            ],
        )
    )
    st.altair_chart(bars.properties(height=260), width="stretch", alt=t("system.costs"))
    with st.expander(t("system.table"), icon=":material/table_view:"):
        labels = {name: t(f"cost_column.{name}") for name in costs.COLUMNS}
        told = [{labels[name]: row[name] for name in costs.COLUMNS} for row in found.rows]
        st.dataframe(told, hide_index=True, width="stretch", alt=t("system.table"))
        downloads.table(costs.COLUMNS, found.rows, t("system.file"), "system")
