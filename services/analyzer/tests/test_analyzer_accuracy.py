"""The local analyzer against the ground truth of the samples, as figures that may not fall.

The thresholds in `analyzer_service.pixels` were set on `samples/photos`: limits of hue, lightness and contrast, and of
which part borders on which. The second camera angles and the changed copies show that they fit no single picture.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from analyzer_service.pixels import Facts, measure

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
# What the analyzer itself demands before it fills a field.
LEAST_CONFIDENCE = 0.6

# A hundred pictures at a third of a second of one core each, on machines that may be busy.
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Case:
    sku: str
    category: str
    metal: str
    stone: str
    said_metal: str
    said_stone: str
    pair: bool | None


def truth() -> dict[str, dict[str, str]]:
    with (SAMPLES / "products.csv").open(encoding="utf-8", newline="") as handle:
        return {row["sku"]: row for row in csv.DictReader(handle)}


def case(row: dict[str, str], facts: Facts) -> Case:
    return Case(
        sku=row["sku"],
        category=row["category"],
        metal=row["metal_color"],
        stone="" if row["stone_color"] == "none" else row["stone_color"],
        said_metal=facts.metal.color if facts.metal.confidence >= LEAST_CONFIDENCE else "",
        said_stone=facts.stones.color if facts.stones.confidence >= LEAST_CONFIDENCE else "",
        pair=facts.shape.pair,
    )


def cases(paths: list[Path], change: Callable[[Image.Image], Image.Image] = lambda picture: picture) -> list[Case]:
    rows = truth()

    def one(path: Path) -> Case:
        with Image.open(path) as picture:
            return case(rows[path.stem.split("_")[0]], measure(change(picture.convert("RGB"))))

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, paths))


def report(title: str, found: list[Case]) -> dict[str, float]:
    stones = [item for item in found if item.stone]
    figures = {
        "metal right": sum(item.said_metal == item.metal for item in found) / len(found),
        "metal abstained": sum(not item.said_metal for item in found) / len(found),
        "stone right": sum(item.said_stone == item.stone for item in stones) / max(1, len(stones)),
        "stone abstained": sum(not item.said_stone for item in stones) / max(1, len(stones)),
        "stone wrong": sum(item.said_stone not in ("", item.stone) for item in stones),
        "stone invented": sum(bool(item.said_stone) for item in found if not item.stone),
    }
    print(f"\n{title}: {len(found)} pictures, " + ", ".join(f"{name} {value:.2f}" for name, value in figures.items()))
    for item in found:
        if item.said_metal != item.metal or item.said_stone != item.stone:
            print(f"  {item.sku}: metal {item.metal} -> {item.said_metal}, stone {item.stone} -> {item.said_stone}")
    return figures


@pytest.fixture(scope="module")
def main_photos() -> list[Case]:
    return cases([SAMPLES / "photos" / f"{sku}.jpg" for sku in truth()])


def test_metal_and_stone_colours(main_photos: list[Case]) -> None:
    figures = report("main photos", main_photos)
    assert figures["metal right"] >= 0.9
    assert figures["stone right"] >= 0.8
    assert figures["stone wrong"] == 0
    assert figures["stone invented"] == 0


def test_pairs(main_photos: list[Case]) -> None:
    assert all(item.pair for item in main_photos if item.category == "earrings")
    assert not any(item.pair for item in main_photos if item.category != "earrings")


def test_second_camera_angles() -> None:
    figures = report("second angles", cases(sorted((SAMPLES / "photos").glob("*_2.jpg"))))
    assert figures["metal right"] >= 0.9
    assert figures["stone wrong"] + figures["stone invented"] == 0


def recompressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=45)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        recompressed,
        lambda picture: picture.resize((560, 560), Image.Resampling.BICUBIC),
        lambda picture: ImageEnhance.Brightness(picture.rotate(90)).enhance(0.9),
    ],
    ids=["recompressed", "small", "darker and turned"],
)
def test_changed_copies(change: Callable[[Image.Image], Image.Image]) -> None:
    paths = [SAMPLES / "photos" / f"{sku}.jpg" for sku in list(truth())[::5]]
    figures = report("changed copies", cases(paths, change))
    assert figures["metal right"] >= 0.9
    assert figures["stone wrong"] + figures["stone invented"] == 0
