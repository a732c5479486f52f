"""Holds the rules of who may import whom.

- services/* never import each other, libs/* never import services/* (they meet in protobuf only);
- domain modules import neither grpc nor fastapi: in a service, only the servicer, adapters,
  __main__ and the gateway's HTTP modules may;
- nothing but settings.py reads the environment.

Usage: python scripts/check_imports.py
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRANSPORT = ("grpc", "fastapi", "starlette")
# The generated messages are the transport's data; only these files know them.
STUBS = "jewelry"


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.lineno, node.module.split(".")[0]


def may_know_transport(package: str, path: Path) -> bool:
    """True for the files whose job is the wire."""
    parts = path.parts
    if package == "gateway_service":
        return path.name not in ("settings.py", "model.py", "catalogue.py") or path.parent.name != package
    return path.name in ("servicer.py", "__main__.py") or "adapters" in parts or path.name == "bulk_client.py"


def check_file(package: str, path: Path, services: set[str], *, is_library: bool) -> Iterator[str]:
    """Sentences about what the file imports and should not."""
    where = path.relative_to(ROOT)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for line, name in imports(tree):
        if name in services and name != package:
            yield f"{where}:{line}: imports {name}; services meet only in protobuf"
        if not is_library and name in (*TRANSPORT, STUBS) and not may_know_transport(package, path):
            yield f"{where}:{line}: imports {name}; only the servicer and the adapters know the wire"
    for node in ast.walk(tree):
        reads = (
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and isinstance(node.value, ast.Name)
        )
        if reads and node.value.id == "os" and path.name != "settings.py":
            yield f"{where}:{node.lineno}: reads the environment; only settings.py may"


def main() -> int:
    """Checks every package; returns 1 when a rule is broken."""
    libraries = {path.parent.name: path.parent for path in ROOT.glob("libs/*/src/*/__init__.py")}
    services = {path.parent.name: path.parent for path in ROOT.glob("services/*/src/*/__init__.py")}
    problems = [
        problem
        for packages, is_library in ((libraries, True), (services, False))
        for package, folder in packages.items()
        for path in sorted(folder.rglob("*.py"))
        for problem in check_file(package, path, set(services), is_library=is_library)
    ]
    print("\n".join(problems) or f"imports: {len(libraries)} libraries and {len(services)} services keep the rules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
