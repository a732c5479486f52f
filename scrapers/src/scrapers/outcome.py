"""What happened to pages and pictures: data that state, output and report share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A product or search page that could not be had."""

    kind: str
    key: str
    url: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a product. `file` is empty where it could not be had, and `reason` says why."""

    product_id: str
    url: str
    file: str = ""
    media_type: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """What the gateway said about a picture; `status` is `stored`, `duplicate` or `failed`."""

    product_id: str
    url: str
    status: str
    verdict: str = ""
    stored_url: str = ""
    matches: int = 0
    reason: str = ""
