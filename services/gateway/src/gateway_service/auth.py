"""Who may call: API keys, known by their hash, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Sequence

from servicekit import errors


class ApiKeys:
    """The keys that open the door; keeps their SHA-256, never the keys."""

    def __init__(self, configured: str) -> None:
        """`configured` is `label:key` or `key`, separated by commas; keys without label are `key1`, `key2`, ..."""
        self._known = [(label, _digest(key.encode())) for label, key in _entries(configured)]

    def __bool__(self) -> bool:
        return bool(self._known)

    def label(self, key: bytes) -> str | None:
        """Label of a key; None for one that is not known. Takes the same time for each."""
        given = _digest(key)
        found: str | None = None
        for label, digest in self._known:
            if hmac.compare_digest(digest, given):
                found = label
        return found


def secrets(configured: str) -> list[str]:
    """The keys themselves, for the mask of the log."""
    return [key for _, key in _entries(configured)]


def _entries(configured: str) -> list[tuple[str, str]]:
    found = []
    for number, entry in enumerate((part.strip() for part in configured.split(",") if part.strip()), 1):
        label, colon, key = entry.partition(":")
        found.append((label, key) if colon else (f"key{number}", entry))
    return found


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key of a request: `Authorization: Bearer <key>`, else `X-API-Key`; None where it has neither."""
    named = {name.lower(): value for name, value in headers}
    scheme, _, token = named.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and token.strip():
        return token.strip()
    return named.get(b"x-api-key") or None


def check_binding(host: str, keys: ApiKeys) -> None:
    """Refuses to open the door to others than this machine when nobody needs a key.

    Raises:
        errors.FailedPrecondition: `host` is no loopback address and there are no keys.
    """
    if keys or _is_loopback(host):
        return
    raise errors.FailedPrecondition(
        f"without GATEWAY_API_KEYS the gateway listens on the loopback only, not on {host}: set GATEWAY_API_KEYS, or "
        "GATEWAY_ADDR=127.0.0.1:8000"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


OPEN_PATHS: Sequence[str] = ("/healthz", "/readyz")
"""Paths that need no key."""
