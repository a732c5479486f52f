"""The box that says what did not work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from studio_service.labels import either, t
from studio_service.parts.text import plain as plain_text
from studio_service.problems import Problem


def show(problem: Problem) -> None:
    """The problem: what happened, what to do, and the id under which the log has it."""
    st.error("\n\n".join(_lines(problem)), icon=":material/error:")


def plain(problem: Problem) -> str:
    """The problem in one line, for tables and lists."""
    fields = "; ".join(f"{field.name}: {field.sentence}" if field.name else field.sentence for field in problem.fields)
    return f"{problem.sentence} {fields}".strip()


@contextmanager
def shown() -> Iterator[None]:
    """Shows a problem of the block where it happened; what follows in the block is left out."""
    try:
        yield
    except Problem as problem:
        show(problem)


def _lines(problem: Problem) -> Iterator[str]:
    yield plain_text(problem.sentence)
    for field in problem.fields:
        yield (
            f"**{plain_text(field.name)}**: {plain_text(field.sentence)}" if field.name else plain_text(field.sentence)
        )
    advice = either(f"problem.{problem.kind}", "") if problem.kind else ""
    if advice:
        yield advice
    if problem.retry_after is not None:
        yield t("problem.retry_after", seconds=math.ceil(problem.retry_after))
    if problem.request_id:
        yield f":gray[:small[{t('problem.request', id=problem.request_id)}]]"
