"""Rows of plain data as the beginning of a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt


def of(rows: Sequence[Mapping[str, object]]) -> alt.Chart:
    """A chart over rows, which travel inside it."""
    # Altair's generated classes have no types.
    return alt.Chart(alt.Data(values=[dict(row) for row in rows]))  # type: ignore[no-untyped-call]
