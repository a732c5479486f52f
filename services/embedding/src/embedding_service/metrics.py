"""Metrics of the embedding service. The manifests scale on these names: they are a contract."""

from __future__ import annotations

from servicekit import telemetry

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)

_meter = telemetry.meter("jewelry.embedding")

outstanding_images = _meter.create_up_down_counter(
    "jewelry_embedding_outstanding_images", description="Items queued and in work, by lane."
)
outstanding_bytes = _meter.create_up_down_counter(
    "jewelry_embedding_outstanding_bytes", description="Encoded bytes queued and in work, by lane."
)
images = _meter.create_counter(
    "jewelry_embedding_images", description="Items that ended, by kind, lane and outcome (ok, error, gone)."
)
refused = _meter.create_counter(
    "jewelry_embedding_refused",
    description="Items not admitted, by lane and reason; lane unread: calls refused before they were read.",
)
queue_wait = _meter.create_histogram(
    "jewelry_embedding_queue_wait_seconds",
    unit="s",
    description="Time that an item waited for a thread and for the device, by lane.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
preprocess = _meter.create_histogram(
    "jewelry_embedding_preprocess_seconds",
    unit="s",
    description="Time to prepare one item, by lane.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
infer = _meter.create_histogram(
    "jewelry_embedding_infer_seconds",
    unit="s",
    description="Time of one pass on the device, by lane.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
batch_size = _meter.create_histogram(
    "jewelry_embedding_batch_size",
    description="Items in one pass, by lane.",
    explicit_bucket_boundaries_advisory=_SIZES,
)
device_failures = _meter.create_counter(
    "jewelry_embedding_device_failures", description="Passes that the device failed, before and after the retry."
)
workers_lost = _meter.create_counter(
    "jewelry_embedding_workers_lost", description="Processes that died over a picture, or were killed for being stuck."
)


def show_zeros() -> None:
    """Makes every counter exist, so that a rule sees nothing refused rather than no metric.

    Called once the exporter is in place: what is counted before is lost.
    """
    for lane in ("interactive", "bulk"):
        outstanding_images.add(0, {"lane": lane})
        outstanding_bytes.add(0, {"lane": lane})
    for lane in ("interactive", "bulk", "unread"):
        for reason in ("full", "deadline"):
            refused.add(0, {"lane": lane, "reason": reason})
    for attempt in ("first", "retry"):
        device_failures.add(0, {"attempt": attempt})
    workers_lost.add(0)
