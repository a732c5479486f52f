"""Draws how often each truth got each answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyzer_service.evaluation import METALS, STONES, Evaluation

_NONE = "-"


def draw(result: Evaluation, path: Path) -> None:
    """Writes a PNG with the confusions of the two plain questions."""
    figure = Figure(figsize=(12, 5.5), layout="constrained")
    metal, stone = figure.subplots(1, 2)
    _matrix(metal, result.confusion("metal"), METALS, f"Metal colour: {result.share_right('metal'):.0%} right")
    title = f"Main stone colour: {result.share_right('main stone'):.0%} right"
    _matrix(stone, result.confusion("main stone"), STONES, title)
    figure.suptitle(f"{result.title}, {result.provider}")
    figure.savefig(path, dpi=110)


def _matrix(axes: Axes, counts: dict[tuple[str, str], int], names: tuple[str, ...], title: str) -> None:
    rows = [*names, *(["none"] if any(truth == "none" for truth, _ in counts) else [])]
    columns = [*names, _NONE]
    table = np.array([[counts.get((truth, said), 0) for said in columns] for truth in rows])
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in zip(*np.nonzero(table), strict=True):
        colour = "white" if shares[row, column] > 0.55 else "black"
        axes.text(column, row, str(table[row, column]), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(columns)), [*names, "no answer"], rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.set_title(title)
