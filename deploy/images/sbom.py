"""Writes down what an image holds: builds a member's environment as its image does, and lists it as CycloneDX 1.6.

Usage: python deploy/images/sbom.py SERVICE [FILE]     build/sbom/SERVICE.cdx.json unless told; SERVICE may be scrapers
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import members

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "build" / "tools" / "sbom" / "bin" / "cyclonedx-py"
SECONDS = 300.0


def main() -> int:
    """Builds, lists, says where."""
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    service = sys.argv[1]
    member = service if service == "scrapers" else f"services/{service}"
    if not (ROOT / member / "pyproject.toml").is_file():
        print(f"there is no {member}", file=sys.stderr)
        return 2
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else ROOT / "build" / "sbom" / f"{service}.cdx.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        app = members.environment(member, Path(folder))
        command = [TOOL, "environment", "--output-reproducible", "--spec-version", "1.6", "--mc-type", "application"]
        places = ["--pyproject", ROOT / member / "pyproject.toml", "--output-file", target, app / "bin" / "python"]
        subprocess.run([*command, *places], check=True, timeout=SECONDS)  # noqa: S603
    listed = json.loads(target.read_text(encoding="utf-8"))
    for component in listed["components"]:
        # Our own packages were installed from a folder that is gone.
        component["externalReferences"] = [
            place for place in component.get("externalReferences", []) if not place["url"].startswith("file:")
        ]
    target.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    print(f"{service}: {len(listed['components'])} components in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
