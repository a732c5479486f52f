"""Everything a service of this system needs to be a good gRPC citizen.

A service wires its domain in `__main__.py` and hands it to `run`; it gets settings, logs, traces,
metrics, health, reflection, deadlines, typed errors and a graceful stop from here.
"""

from servicekit.server import Service, run
from servicekit.settings import ServiceSettings

__all__ = ["Service", "ServiceSettings", "run"]
