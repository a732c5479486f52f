"""OpenVINO, imported so that it keeps to itself.

Its package imports its conversion tools, and those, where `openvino_telemetry` is installed, send usage
data from a forked process. A server must do neither: the fork copies gRPC's threads half way.
"""

from __future__ import annotations

import sys

# An import of a module that is None here fails as if it were not installed; OpenVINO then goes without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

from openvino import Core, Model, Node, Type  # type: ignore[import-untyped]  # noqa: E402
from openvino import opset13 as ops  # noqa: E402

__all__ = ["Core", "Model", "Node", "Type", "ops"]
