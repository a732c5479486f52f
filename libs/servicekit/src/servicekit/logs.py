"""Logs with trace and request ids, as lines for people or JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
import time

from opentelemetry import trace

from servicekit import context
from servicekit.settings import ServiceSettings

# Chatty at INFO about things that only their own developers need.
_QUIET = ("httpx", "httpx2", "httpcore", "chromadb", "botocore", "boto3", "urllib3", "PIL", "google_genai", "openai")


class _Ids(logging.Filter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def filter(self, record: logging.LogRecord) -> bool:
        span = trace.get_current_span().get_span_context()
        record.service = self._service
        record.request_id = context.request_id()
        record.trace_id = f"{span.trace_id:032x}" if span.is_valid else ""
        return True


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        ids = getattr(record, "request_id", "")
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{stamp} {record.levelname:<7} {record.name}: {record.getMessage()}" + (f" [{ids}]" if ids else "")
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "service": getattr(record, "service", ""),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("request_id", "trace_id"):
            if value := getattr(record, name, ""):
                entry[name] = value
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure(service: str, settings: ServiceSettings) -> None:
    """Sends every log record of the process to standard error in the configured form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Ids(service))
    handler.setFormatter(_Json() if settings.log_format == "json" else _Plain())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
