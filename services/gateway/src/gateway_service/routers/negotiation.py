"""JSON or CSV, as the client's Accept header says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response

from gateway_service.tables import to_csv

CSV: dict[str, Any] = {
    "description": "JSON, or CSV by `Accept: text/csv`.",
    "content": {"text/csv": {"schema": {"type": "string"}, "example": "Item,Amount\r\nStud,1200\r\n"}},
}


def wants_csv(request: Request) -> bool:
    """True where CSV is accepted and JSON is not wanted more (RFC 9110, section 12.5.1)."""
    weights = _weights(request.headers.get("accept", ""))
    csv = weights.get("text/csv", 0.0)
    return csv > 0 and csv >= max(weights.get("application/json", 0.0), weights.get("*/*", 0.0))


def csv_answer(columns: Sequence[str], records: Sequence[Mapping[str, object]], name: str) -> Response:
    """The records as a file."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"}
    content = to_csv(columns, records).encode("utf-8")
    return Response(content, media_type="text/csv; charset=utf-8; header=present", headers=headers)


def _weights(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in accept.split(",")[:32]:
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        try:
            found[kind] = float(quality)
        except ValueError:
            found[kind] = 0.0
    return found
