"""Domain objects as answers, where several paths show them in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway_service.model import Adapter, Match, Upload
from gateway_service.readiness import ServiceState
from gateway_service.schemas.answers import AdapterOut, MatchOut, ServiceOut

DUPLICATE = "duplicate found"


def match(found: Match) -> MatchOut:
    """A match under the names of the contract."""
    return MatchOut(**_renamed(found))


def upload(found: Upload, sent_name: str) -> dict[str, Any]:
    """The parts of an upload that every answer about one has.

    `display_name` of a known picture is the name that it was stored under, which may differ from the one sent.
    """
    decision = found.decision
    known = decision.match if decision.stops else None
    stored_name = (known.original_name or unquote(urlsplit(known.url).path).rpartition("/")[2]) if known else ""
    return {
        "s3_url": found.url,
        "indexed": found.indexed,
        "id": found.id,
        "display_name": stored_name or sent_name,
        "verdict": decision.verdict,
        "explanation": decision.explanation,
        "matches": [match(one) for one in decision.matches],
        "elsewhere": [match(one) for one in decision.elsewhere],
        "provenance": {"embedding": decision.model_id},
    }


def provenance(adapters: Iterable[Adapter]) -> dict[str, str]:
    """Who answered, by role, and with which model."""
    shown: dict[str, str] = {}
    for one in adapters:
        shown[one.role] = one.name
        if one.model_id:
            shown[f"{one.role}_model"] = one.model_id
    return shown


def adapters(found: Iterable[Adapter]) -> list[AdapterOut]:
    """Who answered, in full."""
    return [AdapterOut.model_validate(one) for one in found]


def services(states: Iterable[ServiceState]) -> dict[str, ServiceOut]:
    """State of the services, by name."""
    return {
        state.name: ServiceOut(
            status=state.status,
            model=state.about.model,
            adapters=adapters(state.about.adapters),
            detail=state.about.detail,
        )
        for state in states
    }


def _renamed(found: Match) -> dict[str, Any]:
    shown = asdict(found)
    shown["s3_url"] = shown.pop("url")
    return shown
