"""How groups of keys stand, as metrics. They are read from what the pool knows; no store is asked for them.

By group: `jewelry_key_pool_used`, requests within the last minute; `jewelry_key_pool_waiting`, calls that wait for it;
`jewelry_key_pool_parked`, 1 while its daily quota is used up; `jewelry_key_pool_quarantined`, refused keys;
`jewelry_key_pool_errors`, what went wrong, also by kind ("rate_limited", "parked", "refused", "failed"). For the
process: `jewelry_key_pool_cut_off`, 1 while replicas cannot count together.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from analyzer_service.adapters.shared_quota import Counting, SharedQuota
from analyzer_service.keypool import GroupState, KeyPool
from servicekit import telemetry

_pools: weakref.WeakSet[KeyPool] = weakref.WeakSet()


def observe(pool: KeyPool) -> None:
    """Shows a pool in the metrics for as long as it exists."""
    _pools.add(pool)


def _of_groups(value: Callable[[GroupState], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(options: CallbackOptions) -> Iterable[Observation]:
        for pool in list(_pools):
            for state in pool.snapshot():
                yield Observation(value(state), {"group": state.label})

    return read


def _errors(options: CallbackOptions) -> Iterable[Observation]:
    for pool in list(_pools):
        for state in pool.snapshot():
            for kind, count in state.errors.items():
                yield Observation(count, {"group": state.label, "kind": kind})


def _cut_off(options: CallbackOptions) -> Iterable[Observation]:
    for pool in list(_pools):
        if isinstance(pool.quota, SharedQuota):
            yield Observation(int(pool.quota.counting is Counting.CUT_OFF))


def register(meter: Meter) -> None:
    """Creates the instruments; called once for the process, and by tests with a meter of their own."""
    gauges: dict[str, tuple[Callable[[GroupState], int], str]] = {
        "used": (lambda state: state.used, "Requests within the last minute."),
        "waiting": (lambda state: state.waiting, "Calls that wait for a group."),
        "parked": (lambda state: state.parked, "1: the day's quota is used up."),
        "quarantined": (lambda state: state.quarantined, "Keys that are refused."),
    }
    for name, (value, description) in gauges.items():
        meter.create_observable_gauge(f"jewelry_key_pool_{name}", [_of_groups(value)], description=description)
    meter.create_observable_counter("jewelry_key_pool_errors", [_errors], description="Failed requests by kind.")
    meter.create_observable_gauge(
        "jewelry_key_pool_cut_off", [_cut_off], description="1: Redis does not answer, each replica counts for itself."
    )


register(telemetry.meter("jewelry.analyzer"))
