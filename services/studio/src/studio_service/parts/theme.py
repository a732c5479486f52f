"""How the screens look: Streamlit's options, and the few rules of CSS that they lack."""

from __future__ import annotations

import streamlit as st

THEME = {
    "theme.base": "light",
    "theme.primaryColor": "#8A1C44",
    "theme.backgroundColor": "#FFFFFF",
    "theme.secondaryBackgroundColor": "#FAF6F1",
    "theme.textColor": "#2A2226",
    "theme.borderColor": "#E6DCD3",
    "theme.linkColor": "#8A1C44",
    "theme.baseRadius": "medium",
    "theme.showWidgetBorder": True,
    "theme.headingFontWeights": [650, 600, 600, 600, 600, 600],
    "theme.headingFontSizes": ["1.9rem", "1.35rem", "1.1rem", "1rem", "1rem", "1rem"],
    "theme.chartCategoricalColors": ["#8A1C44", "#B8863B", "#2F6F6B", "#5B6C9E", "#A65A2E", "#6E6259"],
    "theme.metricValueFontSize": "1.25rem",
    "theme.metricValueFontWeight": 600,
    "theme.sidebar.backgroundColor": "#FAF6F1",
    "theme.sidebar.secondaryBackgroundColor": "#FFFFFF",
}

# A phone needs the room beside the page, and has no pointer that would bring out the button that copies.
_CSS = """
<style>
.stMainBlockContainer { max-width: 1180px; padding-top: 3.2rem; padding-bottom: 4rem; }
.stMainBlockContainer p, .stMainBlockContainer label { overflow-wrap: anywhere; }
[data-testid="stCode"] pre { padding-right: 3.2rem; }
code.language-plaintext, code.language-plaintext span { font-family: "Source Sans", sans-serif; font-size: .95rem; }
[data-testid="stCode"] > div:last-child, [data-testid="stCode"] > div:last-child * {
  opacity: 1 !important; visibility: visible !important;
}
[data-testid="stImage"] img { border-radius: .5rem; border: 1px solid #E6DCD3; background: #fff; }
@media (max-width: 640px) {
  .stMainBlockContainer { padding-left: 1rem; padding-right: 1rem; padding-top: 3.5rem; }
  button kbd { display: none !important; }
  .st-key-review-photos [data-testid="stImage"] img { max-height: 260px; object-fit: contain; }
  h1 { font-size: 1.55rem !important; }
}
</style>
"""


def apply() -> None:
    """Adds the rules to the page."""
    st.html(_CSS)
