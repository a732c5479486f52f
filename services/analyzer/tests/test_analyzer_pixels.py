"""Measuring pictures that are not samples: drawn ones with a known answer, and bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from analyzer_service.pixels import Facts, measure, merge, morphology
from analyzer_service.pixels.colour import lab, linear

PHOTOS = Path(__file__).resolve().parents[3] / "samples" / "photos"


def photo(name: str) -> Image.Image:
    with Image.open(PHOTOS / f"{name}.jpg") as picture:
        return picture.convert("RGB")


def drawn(colour: str, background: str = "white", pieces: int = 1) -> Image.Image:
    picture = Image.new("RGB", (900, 900), background)
    draw = ImageDraw.Draw(picture)
    for number in range(pieces):
        x = 200 + number * 400
        draw.ellipse((x, 300, x + 180, 600), outline=colour, width=40)
    return picture.filter(ImageFilter.GaussianBlur(1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (40, 61)])
def test_morphology_is_scipys(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(1).random(shape) > 0.4
    mask[: shape[0] // 3, : shape[1] // 2] = True
    for times in (1, 2, 4):
        pairs = [
            (morphology.dilated(mask, times), ndimage.binary_dilation(mask, iterations=times)),
            (morphology.eroded(mask, times), ndimage.binary_erosion(mask, iterations=times)),
            (morphology.opened(mask, times), ndimage.binary_opening(mask, iterations=times)),
            (morphology.closed(mask, times), ndimage.binary_closing(mask, iterations=times)),
            (morphology.filled(mask), ndimage.binary_fill_holes(mask)),
        ]
        assert all(np.array_equal(own, scipys) for own, scipys in pairs)


def test_lab_of_known_colours() -> None:
    # CIE L*a*b* (D65) of sRGB white, red and blue.
    pixels = np.array([[[255, 255, 255], [255, 0, 0], [0, 0, 255]]], dtype=np.uint8)
    expected = [[100, 0, 0], [53.2, 80.1, 67.2], [32.3, 79.2, -107.9]]
    assert np.allclose(lab(linear(pixels))[0], expected, atol=0.3)


@pytest.mark.parametrize(("colour", "name"), [("#d9b13b", "gold"), ("#d99b82", "rose gold")])
@pytest.mark.parametrize("background", ["white", "#d8dade", "#efe7da"])
def test_metal_does_not_depend_on_the_background(colour: str, name: str, background: str) -> None:
    assert measure(drawn(colour, background)).metal.color == name


def test_two_equal_pieces_are_a_pair_and_three_are_not() -> None:
    assert measure(drawn("#d9b13b", pieces=1)).shape.pair is False
    assert measure(drawn("#d9b13b", pieces=2)).shape.pair is True
    uneven = drawn("#d9b13b", pieces=2)
    ImageDraw.Draw(uneven).rectangle((590, 280, 900, 480), fill="white")
    assert measure(uneven).shape.pair is None


def test_an_empty_picture_tells_nothing() -> None:
    facts = measure(Image.new("RGB", (600, 600), "white"))
    assert (facts.metal.color, facts.stones.color, facts.shape.pieces, facts.color) == ("", "", 0, "")


def test_noise_is_not_believed() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8)
    facts = measure(Image.fromarray(noise))
    assert max(facts.metal.confidence, facts.stones.confidence) <= 0.5


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (9, 9)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    assert measure(Image.new("RGB", size, "grey")).quality.grade == "C"


def test_quality_grades() -> None:
    good = photo("ALY-EAR-004")
    assert measure(good).quality.grade == "A"
    assert measure(photo("ALY-EAR-005")).quality.reasons == ("the background is not white",)
    blurred = measure(good.filter(ImageFilter.GaussianBlur(6))).quality
    assert blurred.grade == "C"
    assert "the product is blurred" in blurred.reasons
    small = measure(good.resize((400, 400))).quality
    assert small.grade == "C"
    assert "400 pixels" in small.reasons[0]
    dark = measure(good.point(lambda value: value // 4)).quality
    assert "the picture is too dark" in dark.reasons
    # The size of the file counts, not that of the decoded copy.
    assert measure(good.resize((800, 800)), 3000, 3000).quality.grade == "A"


def test_views_are_read_together_and_conflicts_are_told() -> None:
    red, green = measure(photo("ALY-EAR-011")), measure(photo("ALY-EAR-014"))
    both = merge([red, green])
    assert both.stones.confidence <= 0.5
    assert any("disagree on the stones: green, red" in conflict for conflict in both.conflicts)
    again = merge([red, measure(photo("ALY-EAR-011_2"))])
    assert again.conflicts == ()
    assert again.stones.color == "red"
    with pytest.raises(ValueError, match="no view"):
        merge([])


def test_evidence_is_told() -> None:
    facts: Facts = measure(photo("ALY-EAR-002"))
    assert "yellow" in facts.metal.evidence
    assert "red" in facts.stones.evidence
    assert facts.stones.count == 12
