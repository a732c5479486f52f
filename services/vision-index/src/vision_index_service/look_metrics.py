"""What the last look through all objects and rows found, as metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing

from servicekit import telemetry
from vision_index_service.progress import ProblemKind, Report

_meter = telemetry.meter("jewelry.vision_index")
_problems = _meter.create_gauge(
    "jewelry_index_problems", description="Objects and rows that the last whole look found wrong and left so, by kind."
)
_looked = _meter.create_gauge("jewelry_index_looked_timestamp_seconds", description="When that look ended.")


async def counted(reports: AsyncGenerator[Report, None]) -> AsyncGenerator[Report, None]:
    """Passes the reports of a whole look on, and shows what they told when it has gone through."""
    found: Counter[ProblemKind] = Counter()
    async with aclosing(reports):
        async for report in reports:
            found.update(problem.kind for problem in report.problems if not problem.mended)
            yield report
    for kind in ProblemKind:
        _problems.set(found[kind], {"kind": kind.name.lower()})
    _looked.set(time.time())
