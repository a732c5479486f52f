"""Seller profiles: what a seller says once for all products; kept as JSON in the studio's folder."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from studio_service.problems import Problem

# Names that every marketplace's columns are known by, in the order of the form.
FIELDS = (
    "brand",
    "mrp",
    "price",
    "stock",
    "country_of_origin",
    "hsn",
    "gst_percent",
    "manufacturer_name",
    "manufacturer_details",
    "packer_details",
    "importer_details",
    "net_weight_g",
)
# What those who write the copy go by, rather than a column.
SPOKEN = ("brand_voice", "claims")
MAX_PROFILES = 100
MAX_VALUE = 2000
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Profile:
    """Values by name; `more` holds those that the form has no place for."""

    name: str
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def more(self) -> dict[str, str]:
        """Values under other names."""
        return {name: value for name, value in self.values.items() if name not in (*FIELDS, *SPOKEN)}


class Profiles:
    """Profiles in a file; readers and writers of one process do not disturb each other."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "profiles.json"

    def all(self) -> dict[str, Profile]:
        """Profiles by name. Raises Problem where the file cannot be read."""
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                str(name): Profile(str(name), {str(key): str(value) for key, value in values.items()})
                for name, values in content.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            raise Problem(f"{self._path} cannot be read; mend or delete it.") from error

    def save(self, profile: Profile) -> None:
        """Adds or replaces a profile.

        Raises:
            Problem: It has no name, a value is too long, there are too many, or the file cannot be written.
        """
        if not profile.name.strip():
            raise Problem("Give the profile a name.")
        long = next((name for name, value in profile.values.items() if len(value) > MAX_VALUE), "")
        if long:
            raise Problem(f"{long} is longer than {MAX_VALUE} characters; shorten it.")
        kept = {name: value.strip() for name, value in profile.values.items() if value.strip()}
        with _LOCK:
            found = self.all()
            if profile.name not in found and len(found) >= MAX_PROFILES:
                raise Problem(f"There are {MAX_PROFILES} profiles already; delete one first.")
            self._write({**found, profile.name: Profile(profile.name, kept)})

    def delete(self, name: str) -> None:
        """Deletes a profile; one that is not there is no problem."""
        with _LOCK:
            found = self.all()
            found.pop(name, None)
            self._write(found)

    def _write(self, profiles: Mapping[str, Profile]) -> None:
        content = {name: dict(profile.values) for name, profile in sorted(profiles.items())}
        beside = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
            beside.replace(self._path)
        except OSError as error:
            raise Problem(f"{self._path} cannot be written; check DATA_DIR.") from error


def parsed(text: str) -> dict[str, str]:
    """Values of lines such as `net_weight_g = 20`. Raises Problem for a line that is none."""
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, separator, value = line.partition("=")
        if not separator or not name.strip():
            raise Problem(f"Line {number} of the other values is no `name = value`: {line.strip()[:60]}")
        values[name.strip()] = value.strip()
    return values


def written(values: Mapping[str, str]) -> str:
    """The lines that `parsed` reads."""
    return "\n".join(f"{name} = {value}" for name, value in values.items())
