"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Where the browser does not tell its zone: sellers on Indian marketplaces.
ZONE = "Asia/Kolkata"
_MONTHS_HI = ("जन॰", "फ़र॰", "मार्च", "अप्रैल", "मई", "जून", "जुल॰", "अग॰", "सित॰", "अक्टू॰", "नव॰", "दिस॰")


def told(iso: str, language: str, zone: str | None = None) -> str:
    """A time of the API such as `22 Nov, 16:05`; the text itself where it is no time."""
    try:
        when = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    try:
        place = ZoneInfo(zone or ZONE)
    except (ZoneInfoNotFoundError, ValueError):
        place = ZoneInfo("UTC")
    local = when.replace(tzinfo=when.tzinfo or UTC).astimezone(place)
    month = _MONTHS_HI[local.month - 1] if language == "hi" else local.strftime("%b")
    return f"{local.day} {month}, {local:%H:%M}"


def span(seconds: float) -> str:
    """A stretch of time: `45 s`, `3 min`."""
    return f"{max(seconds, 0):.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
