"""Why a picture got its verdict: the stored picture beside it, the distances, and a chart."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import streamlit as st

from studio_service import verdicts
from studio_service.labels import either, t
from studio_service.parts import picture
from studio_service.verdicts import Near, Thresholds

COLORS = {"exact": "#A1123F", "duplicate": "#A1123F", "similar": "#C98A1B", "new": "#2F6F6B"}
_ROW_PIXELS = 34


def pair(own: bytes | str, match: Near) -> None:
    """The photo and a stored one side by side, with the reason; on a phone too."""
    left, right = st.columns(2, wrap=False)
    with left:
        picture.show(own, t("verdict.your_picture"))
    with right:
        picture.show(match.url, t("verdict.stored_picture", name=match.name))
    why(match)


def why(match: Near) -> None:
    """The reason in words and the figures."""
    st.markdown(f"**{either(f'why.{match.reason}', match.reason)}** {either(f'band.{match.band}', match.band)}.")
    figures = t(
        "verdict.distances",
        distance=verdicts.number(match.distance),
        cosine=f"{match.cosine:.3f}",
        hash=match.hash_bits,
    )
    st.caption(figures)


def chart(found: Sequence[Near], thresholds: Thresholds | None) -> None:
    """Distances of the nearest pictures against the bounds of the model."""
    if not found:
        return
    rows = verdicts.bars(found)
    axis = alt.X("distance:Q", title=t("verdict.axis"), scale=alt.Scale(type="sqrt", domainMin=0, nice=True))
    labels = alt.Axis(labelLimit=150, title=None)
    bars = (
        _data(rows)
        .mark_bar(height=16, cornerRadiusEnd=3, minBandSize=2)
        .encode(
            x=axis,
            y=alt.Y("name:N", sort=None, axis=labels),
            color=alt.Color(
                "verdict:N", scale=alt.Scale(domain=list(COLORS), range=list(COLORS.values())), legend=None
            ),
            tooltip=[
                alt.Tooltip("name:N", title=t("common.picture")),
                alt.Tooltip("distance:Q", title=t("verdict.axis")),
            ],
        )
    )
    layers: list[alt.Chart] = [bars]
    if thresholds is not None:
        layers += _bounds(thresholds)
    height = _ROW_PIXELS * len(rows) + 60
    st.markdown(f"**{t('verdict.chart')}**", help=t("verdict.chart_help"))
    st.altair_chart(alt.layer(*layers).properties(height=height), width="stretch", alt=t("verdict.chart"))
    if thresholds is not None:
        duplicate = t("verdict.duplicate_below", distance=verdicts.number(thresholds.duplicate))
        similar = t("verdict.similar_below", distance=verdicts.number(thresholds.similar))
        st.caption(f":red[┆] {duplicate} · :orange[┆] {similar}")


def _data(rows: list[dict[str, object]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]  # Altair's generated classes have no types


def _bounds(thresholds: Thresholds) -> list[alt.Chart]:
    bounds = [
        (thresholds.duplicate, COLORS["duplicate"], "verdict.duplicate_below"),
        (thresholds.similar, COLORS["similar"], "verdict.similar_below"),
    ]
    layers = []
    for value, color, key in bounds:
        rows: list[dict[str, object]] = [{"at": value, "text": t(key, distance=verdicts.number(value))}]
        rule = _data(rows).mark_rule(color=color, strokeDash=[4, 3], size=2)
        layers.append(rule.encode(x="at:Q", tooltip=[alt.Tooltip("text:N", title=" ")]))
    return layers
