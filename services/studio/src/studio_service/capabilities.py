"""What the services say they can do without keys; plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Role of an adapter, the capability it stands for, and the variable that brings a provider in its place.
_ROLES = {
    "vision": ("attributes", "GOOGLE_API_KEY"),
    "bills": ("bills", "GOOGLE_API_KEY"),
    "copy": ("copy", "OPENAI_API_KEY"),
    "image_edits": ("mockups", "OPENAI_API_KEY"),
    "image_variations": ("variations", "GOOGLE_API_KEY"),
}
_ABSENT = "none"


@dataclass(frozen=True)
class Capability:
    """Something that a key would make better or possible.

    Attributes:
        name: Key below `capability` in the labels.
        variable: What to set.
        works: Whether something stands in for the provider.
    """

    name: str
    variable: str
    works: bool

    @property
    def state(self) -> str:
        """`works` or `needs_key`, as the labels call it."""
        return "works" if self.works else "needs_key"


def not_ready(ready: Mapping[str, Any]) -> list[str]:
    """Names of the services that are not ready."""
    services = ready.get("services") or {}
    return sorted(name for name, entry in services.items() if entry.get("status") != "ready")


def without_keys(ready: Mapping[str, Any]) -> list[Capability]:
    """What runs without its provider, in a stable order."""
    found = {str(adapter.get("role")): adapter for adapter in _adapters(ready)}
    return [
        Capability(name, variable, works=found[role].get("name") != _ABSENT)
        for role, (name, variable) in _ROLES.items()
        if role in found and (found[role].get("embedded") or found[role].get("name") == _ABSENT)
    ]


def env_lines(without: Iterable[Capability]) -> str:
    """Lines for `.env`, one per variable."""
    return "\n".join(f"{variable}=" for variable in dict.fromkeys(one.variable for one in without))


def _adapters(ready: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for entry in (ready.get("services") or {}).values():
        yield from entry.get("adapters") or ()
