"""When a built-in template has to be made again."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from marketplaces import Listing

# Raised when the way templates are made changes.
GENERATION = 3
MADE = datetime(2026, 1, 1, tzinfo=UTC)
"""Creation time that the files carry: the same data gives the same file."""


def fingerprint(listing: Listing) -> str:
    """Changes whenever the built-in template would."""
    fields = [field.model_dump(exclude={"source", "notes"}) for field in listing.fields]
    text = repr((GENERATION, fields, listing.layout.model_dump(), listing.copy.model_dump(), listing.sku))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
