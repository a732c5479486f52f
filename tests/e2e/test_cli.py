"""The command line `jewelry` against the running system."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import openpyxl

from tests.system import System, photo


def jewelry(system: System, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jewelry_client", "--url", system.url, *(str(argument) for argument in arguments)],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=folder,
        check=False,
    )


def test_ready_caption_and_search(system: System, tmp_path: Path) -> None:
    ready = jewelry(system, "ready", folder=tmp_path)
    assert ready.returncode == 0, ready.stderr
    assert "vision-index" in ready.stdout
    caption = jewelry(
        system, "--json", "caption", photo("ALY-BRA-006"), "--no-check-duplicate", "--type", "bracelet", folder=tmp_path
    )
    assert caption.returncode == 0, caption.stderr
    described = json.loads(caption.stdout)
    assert described["description"]
    found = jewelry(system, "--json", "search", photo("ALY-BRA-006"), "--top-k", 1, folder=tmp_path)
    assert json.loads(found.stdout)["similar_images"][0]["s3_url"] == described["s3_url"]
    refused = jewelry(system, "search", "http://169.254.169.254/a.jpg", folder=tmp_path)
    assert refused.returncode == 1
    assert "cannot be fetched" in refused.stderr


def test_a_folder_becomes_a_workbook(system: System, tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    for sku in ("ALY-EAR-012", "ALY-EAR-013"):
        shutil.copy(photo(sku), shots)
    out = tmp_path / "mine.xlsx"
    arguments = ("catalogue", shots, "-m", "mee_ear", "--set", "brand=Alya", "-o", out)
    made = jewelry(system, "--json", *arguments, folder=tmp_path)
    assert made.returncode == 0, made.stderr
    values = {
        cell for sheet in openpyxl.load_workbook(out) for row in sheet.iter_rows(values_only=True) for cell in row
    }
    assert {"ALY-EAR-012", "ALY-EAR-013"} <= values


def test_templates(system: System, tmp_path: Path) -> None:
    listed = jewelry(system, "templates", "list", "-m", "ama_ear", folder=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "built in" in listed.stdout
