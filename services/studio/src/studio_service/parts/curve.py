"""How often a threshold is wrong: the slider, and the calibration's plot."""

from __future__ import annotations

import altair as alt
import streamlit as st

from studio_service import verdicts
from studio_service.labels import t
from studio_service.neighbours import KINDS, Calibration
from studio_service.parts import charts
from studio_service.parts.matches import COLORS

_KIND_COLORS = ("#A1123F", "#D98AA3", "#C98A1B", "#2F6F6B")
_DASHES = ([1, 0], [4, 3], [1, 0], [4, 3])
# The legend is within it.
_HEIGHT = 400


def slider(known: Calibration) -> float:
    """Asks for the largest distance; the model's own bound of `similar` at first."""
    steps = known.steps()
    if st.session_state.get("similar.distance") not in steps:
        st.session_state["similar.distance"] = known.similar
    chosen = st.select_slider(
        t("similar.distance"),
        steps,
        format_func=verdicts.number,
        help=t("similar.distance_help"),
        key="similar.distance",
    )
    return float(chosen)


def show(known: Calibration, distance: float) -> None:
    """The error rates over all thresholds, and in figures those of one."""
    if not known.rates:
        st.caption(
            t("similar.no_curve", duplicate=verdicts.number(known.duplicate), similar=verdicts.number(known.similar))
        )
        return
    here = known.at(distance)
    if here is not None:
        wrong, missed = st.columns(2, wrap=False)
        wrong.metric(
            t("similar.false_match"), _percent(here.shares["similar_match"]), help=t("similar.false_match_help")
        )
        missed.metric(t("similar.false_miss"), _percent(here.shares["similar_miss"]), help=t("similar.false_miss_help"))
    st.altair_chart(_plot(known, distance), width="stretch", alt=t("similar.curve"))
    st.caption(
        t(
            "similar.curve_help",
            pairs=known.pairs,
            duplicate=verdicts.number(known.duplicate),
            similar=verdicts.number(known.similar),
        )
    )


def _plot(known: Calibration, distance: float) -> alt.LayerChart | alt.FacetChart:
    names = {kind: t(f"similar.kind_{kind}") for kind in KINDS}
    rows = [{**row, "name": names[str(row["kind"])]} for row in known.lines()]
    order = list(names.values())
    axis = alt.X(
        "threshold:Q", title=t("verdict.axis"), scale=alt.Scale(type="log", nice=False), axis=alt.Axis(tickCount=6)
    )
    lines = (
        charts.of(rows)
        .mark_line(strokeWidth=2.4, interpolate="step-after")
        .encode(
            x=axis,
            y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%", tickCount=5), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(
                "name:N",
                title=None,
                scale=alt.Scale(domain=order, range=list(_KIND_COLORS)),
                legend=alt.Legend(orient="bottom", columns=1, labelLimit=330, symbolSize=160),
            ),
            strokeDash=alt.StrokeDash(
                "name:N", scale=alt.Scale(domain=order, range=[list(dash) for dash in _DASHES]), legend=None
            ),
            tooltip=[
                alt.Tooltip("name:N", title=" "),
                alt.Tooltip("threshold:Q", title=t("verdict.axis")),
                alt.Tooltip("share:Q", format=".1%", title="%"),
            ],
        )
    )
    bounds = [
        _rule(known.duplicate, COLORS["duplicate"], [4, 3]),
        _rule(known.similar, COLORS["similar"], [4, 3]),
        _rule(distance, "#2A2226", [1, 0]),
    ]
    return alt.layer(lines, *bounds).properties(height=_HEIGHT)


def _rule(at: float, color: str, dash: list[int]) -> alt.Chart:
    rule: alt.Chart = charts.of([{"at": at}]).mark_rule(color=color, strokeDash=dash, size=1.6).encode(x="at:Q")
    return rule


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
