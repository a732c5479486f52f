"""What a marketplace would say to the address of a picture."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import quote, urlsplit

from exporter_service.model import Severity

MAX_URL = 2048
# The usual form, told apart quickly; all others are looked at part by part.
_USUAL = re.compile(r"https?://([A-Za-z0-9.-]+)(?::\d{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")
_NO_PICTURE = re.compile(r"\.(?:html?|php|aspx?|pdf|docx?|xlsx?|zip|mp4|mov|heic|heif|svg|txt|json)$", re.IGNORECASE)

Problem = tuple[str, str, Severity]
_FORM: Problem = (
    "image_url",
    "the address must start with http:// or https:// and hold no blanks; left empty",
    Severity.ERROR,
)


def url_problem(url: str, refused_hosts: tuple[str, ...]) -> Problem | None:
    """Rule, sentence and severity of what is wrong with an address; None if nothing is."""
    usual = _USUAL.fullmatch(url)
    if usual is not None and len(url) <= MAX_URL:
        host, path = usual[1].lower(), usual[2] or ""
    else:
        try:
            parts = urlsplit(url)
            host, path = (parts.hostname or ""), parts.path
        except ValueError:
            return _FORM
        if parts.scheme not in ("http", "https") or not host or len(url) > MAX_URL or re.search(r"\s", url):
            return _FORM
        if not url.isascii():
            return (
                "image_url",
                "the address holds characters that some readers refuse: write them percent-encoded",
                Severity.WARNING,
            )
    problem = _host_problem(host, refused_hosts)
    if problem is None and _NO_PICTURE.search(path):
        return ("image_url", "the address does not end like a picture's", Severity.WARNING)
    return problem


def encoded(url: str) -> str:
    """The address with its characters beyond ASCII percent-encoded."""
    return quote(url, safe="%:/?#[]@!$&'()*+,;=~")


@lru_cache(maxsize=4096)
def _host_problem(host: str, refused_hosts: tuple[str, ...]) -> Problem | None:
    if any(host == refused or host.endswith(f".{refused}") for refused in refused_hosts):
        return ("image_host", f"the marketplace takes no pictures from {host}; left empty", Severity.ERROR)
    if _private(host):
        return ("image_host", f"{host} cannot be reached from the marketplace", Severity.WARNING)
    return None


def _private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal"))
