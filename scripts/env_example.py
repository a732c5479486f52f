"""Writes .env.example from the settings classes of all services, or checks that it is up to date.

Usage: python scripts/env_example.py [--check]
"""

from __future__ import annotations

import importlib
import sys
from enum import Enum
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from servicekit import ServiceSettings

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / ".env.example"
HEADER = """\
# Everything that can be configured, with its default. Copy to .env and set what you need; the environment wins.
# Made by scripts/env_example.py from the services' settings.
"""


def describe(settings: type[ServiceSettings], known: set[str]) -> list[str]:
    """Lines for the fields that were not described before."""
    lines = []
    for name, field in settings.model_fields.items():
        variable = name.upper()
        if variable in known:
            continue
        known.add(variable)
        if field.description:
            lines.append(f"# {field.description}")
        lines.append(f"#{variable}={_text(field.default)}")
    return lines


def _text(value: object) -> str:
    if value is None or value is PydanticUndefined or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        return str(value.relative_to(ROOT))
    if isinstance(value, str | int | float | Path):
        return str(value)
    return ""


def render() -> str:
    """The file's text."""
    known: set[str] = set()
    parts = [HEADER, "# ---- every service", *describe(ServiceSettings, known)]
    for folder in sorted(ROOT.glob("services/*/src/*/settings.py")):
        package = folder.parent.name
        settings: type[ServiceSettings] = importlib.import_module(f"{package}.settings").Settings
        lines = describe(settings, known)
        if lines:
            parts += ["", f"# ---- {package.removesuffix('_service').replace('_', '-')}", *lines]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Writes the file, or returns 1 when `--check` finds it out of date."""
    text = render()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(".env.example is out of date: run python scripts/env_example.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
