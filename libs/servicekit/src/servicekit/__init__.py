"""Everything a service of this system needs to be a good gRPC citizen.

A service wires its domain in `__main__.py` and hands it to `run`; it gets settings, logs, traces,
metrics, health, reflection, deadlines, typed errors and a graceful stop from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servicekit.server import Service, run
    from servicekit.settings import ServiceSettings

__all__ = ["Service", "ServiceSettings", "run"]

_HOMES = {"Service": "server", "ServiceSettings": "settings", "run": "server"}


def __getattr__(name: str) -> Any:
    """Imported when asked for: what wants the errors alone, a decoding worker for one, does without gRPC's 40 MiB."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
