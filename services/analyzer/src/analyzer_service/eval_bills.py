"""How well bills with known truth are read: `python -m analyzer_service.eval_bills [FOLDER]`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from analyzer_service import extras
from analyzer_service.bills.desk import Bills
from analyzer_service.bills.evaluation import Score, score
from analyzer_service.settings import Settings

# What a layout must reach, as share of its cells; a handwritten bill needs no share, only honesty.
TARGETS = {"handwritten": 0.0, "photographed": 0.80}
_CLEAN = 0.95


def target(layout: str) -> float:
    """The least share of cells that must be right."""
    return TARGETS.get(layout, _CLEAN)


async def evaluate(bills: Bills, folder: Path) -> list[tuple[dict[str, Any], Score, float]]:
    """Truth, score and seconds of each bill of a folder."""
    results = []
    for path in sorted(await asyncio.to_thread(lambda: list(folder.glob("*.json")))):
        truth = json.loads(await asyncio.to_thread(path.read_text))
        pages = [await asyncio.to_thread((folder / name).read_bytes) for name in truth["files"]]
        started = time.monotonic()
        read = await bills.read(pages, "")
        results.append((truth, score(read.bill, read.checks, truth), time.monotonic() - started))
    return results


async def _main(folder: Path) -> bool:
    settings = Settings(google_api_key=None, google_api_keys=None)  # type: ignore[call-arg]
    local = extras.local(settings)
    results = await evaluate(local.bills, folder)
    await local.close()
    print("| bill | layout | cells right | needed | fields right | wrong without doubt | of them totals | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    met = True
    for truth, found, seconds in results:
        share, needed = found.right / found.cells, target(truth["layout"])
        met &= share >= needed and not found.silent_totals
        print(
            f"| {truth['id']} | {truth['layout']} | {found.right} of {found.cells} ({share:.1%}) | {needed:.0%} "
            f"| {found.fields_right} of {found.fields} | {found.silent} | {found.silent_totals} | {seconds:.1f} |"
        )
    for truth, found, _ in results:
        for line in found.wrong:
            print(f"{truth['id']}: {line}")
    print("met" if met else "NOT MET")
    return met


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("samples/bills")
    sys.exit(0 if asyncio.run(_main(chosen)) else 1)
