"""Jobs: work that goes on without the one who asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ENDED = frozenset({"succeeded", "partial", "failed", "cancelled"})


@dataclass(frozen=True)
class Job:
    """The state of a job; `raw` is all that the gateway said.

    Attributes:
        done: Products that have ended, whichever way.
        failed: Those of them that failed.
        time_left: Seconds, as expected; None where nobody can say yet.
    """

    id: str
    status: str
    kind: str = ""
    done: int = 0
    total: int = 0
    failed: int = 0
    cost_inr: float = 0.0
    time_left: float | None = None
    excel_file_url: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """True when nothing more will happen by itself."""
        return self.status in ENDED

    @property
    def succeeded(self) -> int:
        """Products that went well."""
        return _int(self.raw.get("succeeded", self.done - self.failed))

    @property
    def results(self) -> list[dict[str, Any]]:
        """What became of each product; empty while it is not told."""
        found = self.raw.get("results")
        return [dict(one) for one in found] if isinstance(found, list) else []


@dataclass(frozen=True)
class Event:
    """One thing that happened to a job; `id` is what a stream is resumed behind."""

    id: str
    name: str
    data: Mapping[str, Any]


def job(body: Mapping[str, Any]) -> Job:
    """A job from the gateway's answer."""
    cost = body.get("cost")
    inr = cost.get("inr", 0.0) if isinstance(cost, Mapping) else cost
    left = body.get("seconds_left")
    return Job(
        id=str(body.get("id") or body.get("job_id") or ""),
        status=str(body.get("status") or ""),
        kind=str(body.get("kind") or ""),
        done=_int(body.get("done")),
        total=_int(body.get("total")),
        failed=_int(body.get("failed")),
        cost_inr=float(inr) if isinstance(inr, int | float) else 0.0,
        time_left=float(left) if isinstance(left, int | float) else None,
        excel_file_url=str(body.get("excel_file_url") or ""),
        raw=dict(body),
    )


def from_answer(body: Mapping[str, Any]) -> Job:
    """A finished job from a catalogue's answer in full."""
    results = body.get("results") or []
    failed = sum(one.get("status") == "failed" for one in results)
    status = "succeeded" if not failed else "partial" if failed < len(results) else "failed"
    known = {"id": body.get("job_id"), "status": status, "total": len(results), "failed": failed}
    return job({**known, "kind": "catalogue", "done": len(results), **body})


def _int(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
