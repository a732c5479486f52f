"""What a seller says once: a TOML file with values per website, marketplace and category."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import marketplaces
from servicekit import errors


class Profiles:
    """Seller's values per website, as the file has them."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self._tables = tables

    @classmethod
    def read(cls, path: Path) -> Profiles:
        """Reads the file.

        Raises:
            errors.FailedPrecondition: PROFILES_UNREADABLE.
        """
        try:
            with path.open("rb") as handle:
                tables = tomllib.load(handle)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise errors.FailedPrecondition(
                f"SELLER_PROFILES: {path.name} cannot be read: {error}", reason="PROFILES_UNREADABLE"
            ) from error
        loose = [name for name, table in tables.items() if not isinstance(table, dict)]
        if loose:
            raise errors.FailedPrecondition(
                f"SELLER_PROFILES: {loose[0]} stands outside of a [website] table", reason="PROFILES_UNREADABLE"
            )
        return cls(tables)

    def values(self, website: str, listing: marketplaces.Listing) -> dict[str, str]:
        """Values of a website for a listing, by field; the more specific table wins."""
        website_table = self._tables.get(website, {})
        marketplace = website_table.get(listing.marketplace, {})
        layers = (
            website_table,
            marketplace,
            website_table.get(listing.category, {}),
            marketplace.get(listing.category, {}),
        )
        named: dict[str, str] = {}
        for layer in layers:
            named |= {name: _text(value) for name, value in layer.items() if not isinstance(value, dict)}
        return by_field(listing, named)


def by_field(listing: marketplaces.Listing, named: Mapping[str, str]) -> dict[str, str]:
    """Values by field, from values by profile name or by technical name; a technical name wins."""
    found = {field.name: named[field.profile] for field in listing.fields if field.profile and field.profile in named}
    return found | {field.name: named[field.name] for field in listing.fields if field.name in named}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value)
