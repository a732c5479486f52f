"""The plot of a calibration; needs matplotlib, the extra `calibrate`."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from vision_index_service.calibration import LEAST, Pairs
from vision_index_service.thresholds_file import Calibrated

mpl.use("Agg")
import matplotlib.pyplot as plt  # after the backend was chosen: there may be no screen


def plot(pairs: Pairs, chosen: Calibrated, file: Path, title: str) -> None:
    """Writes a PNG: shares of pairs below each distance, and the error rates of each threshold."""
    figure, (shares, rates) = plt.subplots(2, 1, figsize=(8, 8), sharex=True, layout="constrained")
    for label, values in (
        (f"one photo, changed ({len(pairs.same)})", pairs.same),
        (f"other view of one product ({len(pairs.views)})", pairs.views),
        (f"different products ({len(pairs.different)})", pairs.different),
    ):
        ordered = np.sort(np.maximum(values, LEAST))
        shares.step(ordered, np.arange(1, len(ordered) + 1) / max(1, len(ordered)), where="post", label=label)
    shares.set_ylabel("share of the pairs below")
    most = float(max(pairs.same.max(), pairs.different.max()))
    at = np.geomspace(LEAST, most, 400)
    told = [pairs.rates(float(threshold)) for threshold in at]
    rates.plot(at, [r.duplicate_match for r in told], "C3-", label="duplicate: false match")
    rates.plot(at, [r.duplicate_miss for r in told], "C0-", label="duplicate: false miss, by distance alone")
    rates.plot(at, [r.duplicate_miss_all for r in told], "C0:", label="duplicate: false miss, with hashes")
    rates.plot(at, [r.similar_match for r in told], "C3--", label="similar: false match")
    rates.plot(at, [r.similar_miss for r in told], "C1--", label="similar: false miss")
    rates.set_ylabel("share of the pairs told wrongly")
    rates.set_xlabel("squared L2")
    for axes in (shares, rates):
        axes.set_xscale("log")
        axes.axvline(chosen.duplicate, color="black", linewidth=1)
        axes.axvline(chosen.similar, color="grey", linewidth=1)
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    shares.set_title(f"{title}: duplicate below {chosen.duplicate:g}, similar below {chosen.similar:g}")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)
