"""The database's errors in this system's words, and what is done for a damaged file."""

from __future__ import annotations

import datetime
import logging
import os
import shutil
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from servicekit import errors

logger = logging.getLogger(__name__)


def typed(error: DBAPIError) -> errors.ServiceError:
    """What a database error means for the caller; statements and values stay in the log."""
    text = str(error.orig).lower()
    if "malformed" in text or "not a database" in text or "disk image" in text:
        return errors.DataLoss(
            "the copy cache is damaged; a copy is kept beside it: restore it from a backup, or move the file away to "
            "begin with an empty cache",
            reason="CACHE_DAMAGED",
        )
    if "disk i/o" in text:
        return errors.Unavailable(
            "the disk of the copy cache fails; check it and DATA_DIR", reason="CACHE_UNREACHABLE", retry_after=1.0
        )
    if "readonly" in text or "read-only" in text:
        return errors.FailedPrecondition(
            "the copy cache cannot be written; give the service write access to DATA_DIR", reason="CACHE_READ_ONLY"
        )
    if "full" in text:
        return errors.ResourceExhausted("the disk of the copy cache is full; make room", reason="CACHE_FULL")
    if "locked" in text or "busy" in text or "timeout" in text:
        return errors.Unavailable(
            "the copy cache is locked by another process; try again", reason="CACHE_LOCKED", retry_after=1.0
        )
    return errors.Unavailable(
        "the copy cache cannot be reached; check DATABASE_URL or DATA_DIR", reason="CACHE_UNREACHABLE", retry_after=1.0
    )


def keep_damaged(file: Path) -> None:
    """Copies a damaged file and its journal beside it, once for each state of the file; the original stays as it is.

    A copy that cannot be made is told in the log: the caller's own error says more than that.
    """
    try:
        stamp = datetime.datetime.fromtimestamp(file.stat().st_mtime, datetime.UTC).strftime("%Y%m%dT%H%M%S")
        for source in (file, file.with_name(file.name + "-wal")):
            target = source.with_name(f"{source.name}.damaged-{stamp}")
            if source.exists() and not target.exists():
                # Whole or not at all: half a copy would be taken for the copy next time.
                unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
                shutil.copy2(source, unfinished)
                unfinished.replace(target)
                logger.error("the copy cache is damaged; a copy was kept as %s", target)
    except OSError as error:
        logger.error("the copy cache is damaged, and no copy of it could be kept: %s", error.strerror)
