"""The perceptual descriptor: the same everywhere, steady under what happens to photos, telling products apart."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from embedding_service import calibrate, descriptor
from embedding_service.adapters.perceptual_engine import PerceptualEngine, thresholds

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def engine() -> PerceptualEngine:
    return PerceptualEngine()


@pytest.fixture(scope="module")
def measured(engine: PerceptualEngine, tmp_path_factory: pytest.TempPathFactory) -> list[calibrate.Distance]:
    """Distances of every labelled pair of the samples, variants rendered on the spot."""
    spec = importlib.util.spec_from_file_location("make_pairs", SAMPLES / "make_pairs.py")
    assert spec is not None
    assert spec.loader is not None
    make_pairs = importlib.util.module_from_spec(spec)
    # Its dataclass looks its own module up.
    import sys

    sys.modules["make_pairs"] = make_pairs
    spec.loader.exec_module(make_pairs)
    root = tmp_path_factory.mktemp("samples")
    make_pairs.make_pairs(root / "pairs")
    return calibrate.distances(engine, SAMPLES / "pairs.csv", [SAMPLES, root])


def distance(a: Image.Image, b: Image.Image) -> float:
    return float(((descriptor.describe(a) - descriptor.describe(b)) ** 2).sum())


def test_variants_match_and_other_photos_do_not(measured: list[calibrate.Distance]) -> None:
    """Every variant of one photo is a duplicate; no other product is, nor another view of the same one."""
    bound = thresholds()["duplicate_distance"]
    others = {*calibrate.DIFFERENT, *calibrate.SAME_PRODUCT}
    missed = [pair for pair in measured if pair.relation in calibrate.SAME_PHOTO and pair.squared_l2 >= bound]
    matched = [pair for pair in measured if pair.relation in others and pair.squared_l2 < bound]
    assert not missed
    assert not matched
    # With room on both sides, so that another build of a JPEG codec changes no verdict.
    assert max(pair.squared_l2 for pair in measured if pair.relation in calibrate.SAME_PHOTO) < 0.8 * bound
    assert min(pair.squared_l2 for pair in measured if pair.relation in others) > 1.25 * bound


def test_where_photos_overlap_the_threshold_keeps_off_other_photos() -> None:
    pairs = [("crop", 9.0), ("other_angle", 8.0), ("other_angle", 20.0), ("unrelated", 50.0), ("unrelated", 60.0)]
    chosen = calibrate.thresholds([calibrate.Distance(relation, at, "a", "b") for relation, at in pairs])
    assert chosen.duplicate == pytest.approx(8.0 * calibrate.MARGIN)
    assert chosen.similar == 50.0


def test_other_views_are_mostly_similar_and_unrelated_products_are_not(measured: list[calibrate.Distance]) -> None:
    bound = thresholds()["similar_distance"]
    views = [pair.squared_l2 < bound for pair in measured if pair.relation == "other_angle"]
    unrelated = [pair.squared_l2 < bound for pair in measured if pair.relation == "unrelated"]
    assert np.mean(views) >= 0.9
    assert np.mean(unrelated) <= 0.05


def test_no_two_sample_products_match(engine: PerceptualEngine) -> None:
    """Not only the labelled pairs: each product against each."""
    with open(SAMPLES / "products.csv", newline="", encoding="utf-8") as file:
        skus = [row["sku"] for row in csv.DictReader(file)]
    vectors = [engine.preprocess((SAMPLES / "photos" / f"{sku}.jpg").read_bytes()) for sku in skus]
    nearest = min(float(((a - b) ** 2).sum()) for a, b in itertools.combinations(vectors, 2))
    assert nearest > thresholds()["duplicate_distance"]


def test_the_shipped_thresholds_are_those_of_the_samples(measured: list[calibrate.Distance]) -> None:
    chosen = calibrate.thresholds(measured)
    shipped = thresholds()
    # JPEG codecs differ in single pixels between builds of Pillow.
    assert shipped["duplicate_distance"] == pytest.approx(chosen.duplicate, rel=0.1)
    assert shipped["similar_distance"] == pytest.approx(chosen.similar, rel=0.1)
    assert "duplicate" in calibrate.table(measured, chosen)


def scene() -> Image.Image:
    """A ring on grey, drawn with integers only."""
    image = Image.new("RGB", (400, 300), (225, 224, 222))
    draw = ImageDraw.Draw(image)
    draw.ellipse((120, 60, 300, 260), outline=(190, 150, 40), width=18)
    draw.rectangle((180, 40, 240, 90), fill=(180, 20, 40))
    draw.line((125, 160, 180, 60), fill=(90, 60, 10), width=5)
    return image


def test_the_same_vector_on_every_machine() -> None:
    """Kept from the machine on which the descriptor was made; a change means a new VERSION and new thresholds."""
    kept = json.loads((Path(__file__).parent / "descriptor_golden.json").read_text())
    assert kept["version"] == descriptor.VERSION
    steps = np.rint(descriptor.describe(scene()).astype(np.float64) * 4096).astype(int)
    # One step of rounding is what another order of floating-point sums may cost.
    assert np.abs(steps - np.array(kept["vector_times_4096"])).max() <= 1


def test_form() -> None:
    vector = descriptor.describe(scene())
    assert vector.dtype == np.float32
    assert vector.shape == (512,)
    assert (vector * 4096 == np.rint(vector * 4096)).all()


def test_mirrored_brightened_and_resized_pictures_stay() -> None:
    image = scene()
    assert distance(image, ImageOps.mirror(image)) < 0.1
    assert distance(image, image.point(lambda value: min(255, int(value * 1.1)))) < 2.5
    assert distance(image, image.resize((800, 600), Image.Resampling.BICUBIC)) < 1.0
    assert distance(image, image.crop((20, 15, 380, 285))) < 2.5


def test_blank_pictures_have_vectors_and_differ() -> None:
    blank = {colour: Image.new("RGB", (1, 1), colour) for colour in ("white", "black", "red", "grey")}
    for image in blank.values():
        vector = descriptor.describe(image)
        assert np.isfinite(vector).all()
        assert np.abs(vector).sum() > 0
    bound = thresholds()["duplicate_distance"]
    assert all(distance(a, b) > bound / 4 for a, b in itertools.combinations(blank.values(), 2))
    assert distance(blank["white"], blank["black"]) > bound


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (3000, 40), (7, 5), (65, 64)])
def test_any_size(size: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    image = Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    assert np.isfinite(descriptor.describe(image)).all()


def test_the_command_prints_the_rates(
    tmp_path: Path, encode: Callable[..., bytes], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBED_ENGINE", "perceptual")
    files: dict[str, Any] = {
        "a.png": scene(),
        "b.png": scene().point(lambda value: min(255, int(value * 1.05))),
        "c.png": ImageOps.invert(scene()),
    }
    for name, image in files.items():
        (tmp_path / name).write_bytes(encode(image))
    rows = ["file_a,file_b,relation", "a.png,b.png,brightness", "a.png,c.png,unrelated", "b.png,c.png,unrelated"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    assert calibrate.main([str(tmp_path / "pairs.csv")]) == 0
    printed = capsys.readouterr().out
    assert "DUPLICATE_DISTANCE=" in printed
    assert "1 pairs of one photo, 0 of one product, 0 of different products of one type, 2 unrelated" in printed
