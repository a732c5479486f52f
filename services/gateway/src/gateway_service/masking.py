"""Secrets stay out of the log, wherever a record comes from."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from pydantic import SecretStr

from gateway_service import auth
from gateway_service.settings import Settings

MASK = "***"
# How keys of the providers and of this door look; also those of a caller who is not known here.
_LOOKS_SECRET = re.compile(
    r"AIza[0-9A-Za-z_-]{20,}|sk-[0-9A-Za-z_-]{16,}|hf_[0-9A-Za-z]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|(?<=Bearer )[^\s,;'\"]+|(?<=X-Amz-Signature=)[0-9a-fA-F]+|(?<=X-Amz-Security-Token=)[^&\s]+"
)
# Shorter ones would hide half of the log.
_LEAST = 6


class Mask(logging.Formatter):
    """Replaces secrets in what another formatter made of a record, its traceback included."""

    def __init__(self, inner: logging.Formatter, secrets: Iterable[str]) -> None:
        super().__init__()
        self._inner = inner
        known = sorted({secret for secret in secrets if len(secret) >= _LEAST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def format(self, record: logging.LogRecord) -> str:
        """The other formatter's text without secrets."""
        text = self._inner.format(record)
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _LOOKS_SECRET.sub(MASK, text)


def install(settings: Settings) -> None:
    """Masks what every handler of the process writes."""
    found = secrets(settings)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Mask(handler.formatter or logging.Formatter(), found))


def secrets(settings: Settings) -> list[str]:
    """Every secret of the configuration."""
    found = auth.secrets(settings.gateway_api_keys.get_secret_value())
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr) and name != "gateway_api_keys":
            found.append(value.get_secret_value())
    return found
