"""The resemblance check: other products are flagged, the same one in another scene is not."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jewelry.embedding.v1 import embedding_pb2 as pb
from jewelry.embedding.v1 import embedding_pb2_grpc
from PIL import Image, ImageChops, ImageFilter

from copywriter_service import colours
from copywriter_service.adapters.embedding_grpc import GrpcEmbedder
from copywriter_service.adapters.likeness import Embedded
from copywriter_service.colours import Colours, Readings
from copywriter_service.resemblance import FAR, Resemblance, different_colours, middle
from servicekit import Service, errors, testing

SAMPLES = Path(__file__).parents[3] / "samples"
TABLE = (SAMPLES / "products.csv").read_text("utf-8")
ROWS = [row for row in csv.DictReader(io.StringIO(TABLE)) if row["category"] != "rings"]


@cache
def photo(sku: str) -> Image.Image:
    image = Image.open(SAMPLES / "photos" / f"{sku}.jpg")
    image.draft("RGB", (400, 400))
    return image.convert("RGB")


def scene(source: Image.Image, ground: tuple[int, int, int], share: float = 0.6) -> Image.Image:
    """The source's product on another, softly shaded ground, smaller."""
    small = source.resize((round(500 * share),) * 2, Image.Resampling.LANCZOS)
    corner = np.asarray(small.crop((0, 0, 3, 3)), dtype=np.float32).mean(axis=(0, 1))
    white = np.clip(np.asarray(small, dtype=np.float32) * 255 / corner, 0, 255).astype(np.uint8)
    shade = Image.linear_gradient("L").resize((500, 500)).point(lambda value: 225 + value * 30 // 255)
    picture = ImageChops.multiply(Image.new("RGB", (500, 500), ground), Image.merge("RGB", [shade] * 3))
    place = (500 - small.width) // 2
    box = (place, place, place + small.width, place + small.height)
    product = Image.fromarray(white)
    mask = Image.fromarray(((255 - white.min(axis=2)) > 25).astype(np.uint8) * 255).filter(ImageFilter.MedianFilter(3))
    patch = picture.crop(box)
    patch.paste(product, mask=mask)
    picture.paste(patch, box)
    return picture


@cache
def counted(sku: str, ground: tuple[int, int, int] | None = None) -> Readings:
    return colours.count(photo(sku) if ground is None else scene(photo(sku), ground))


WHITE, WARM, GREEN_SILK = (250, 250, 250), (236, 226, 214), (24, 74, 52)


@pytest.mark.parametrize("ground", [WARM, GREEN_SILK])
def test_the_same_product_in_another_scene_is_not_flagged(ground: tuple[int, int, int]) -> None:
    flagged = {row["sku"]: different_colours(counted(row["sku"]), counted(row["sku"], ground)) for row in ROWS[1::2]}
    assert {sku: found for sku, found in flagged.items() if found} == {}


def stone(row: dict[str, str]) -> str:
    return "" if row["stone_color"] in ("none", "clear", "white") else row["stone_color"]


def metal(row: dict[str, str]) -> str:
    return {"oxidised": "silver"}.get(row["metal_color"], row["metal_color"])


def test_another_metal_or_stone_colour_is_flagged() -> None:
    pairs = [
        (one, other)
        for one in ROWS[::2]
        for other in ROWS[1::2]
        if one["category"] == other["category"] and "two-tone" not in (metal(one), metal(other))
        and (metal(one) != metal(other) or stone(one) != stone(other))
    ]  # fmt: skip
    found = [bool(different_colours(counted(one["sku"]), counted(other["sku"], WARM))) for one, other in pairs]
    assert len(pairs) > 90
    assert np.mean(found) >= 0.9


def rate(flags: Sequence[bool]) -> str:
    return f"{sum(flags)} of {len(flags)} ({np.mean(flags):.1%})"


@pytest.mark.slow
def test_rates_over_all_samples() -> None:
    """Prints how often a picture is flagged by its colours; `pytest -s` shows it."""
    grounds = {"white": WHITE, "warm": WARM, "green silk": GREEN_SILK}
    print("\n| made picture shows | ground | flagged |\n|---|---|---|")
    for name, ground in grounds.items():
        same = [bool(different_colours(counted(row["sku"]), counted(row["sku"], ground))) for row in ROWS]
        assert np.mean(same) <= 0.05
        pairs = [
            (one, other, metal(one) != metal(other) or stone(one) != stone(other))
            for one in ROWS
            for other in ROWS
            if one is not other and one["category"] == other["category"]
            and "two-tone" not in (metal(one), metal(other))
        ]  # fmt: skip
        found = [bool(different_colours(counted(one["sku"]), counted(other["sku"], ground))) for one, other, _ in pairs]
        others = [flag for flag, (*_, differs) in zip(found, pairs, strict=True) if differs]
        alike = [flag for flag, (*_, differs) in zip(found, pairs, strict=True) if not differs]
        print(f"| the same product (false alarms) | {name} | {rate(same)} |")
        print(f"| another product of another metal or stone colour | {name} | {rate(others)} |")
        print(f"| another product of the same colours | {name} | {rate(alike)} |")


def test_what_is_found_is_said() -> None:
    red_gold = Colours(True, {"gold": 0.5, "red": 0.2})
    green_silver = Colours(True, {"grey": 0.8, "green": 0.2})
    assert different_colours((red_gold,), (green_silver,)) == [
        "the source has red stones or parts, this picture has none",
        "this picture has green stones or parts, the source has none",
        "the metal looks grey, in the source gold",
    ]
    # In a scene, what is more is the scene's; what is missing is missing.
    busy = Colours(False, {"grey": 0.5, "green": 0.4, "gold": 0.0})
    assert len(different_colours((red_gold,), (busy,))) == 2
    # Of a source without a plain ground nothing is known.
    assert different_colours((busy,), (green_silver,)) == []
    # The reading that agrees best counts.
    assert different_colours((red_gold,), (green_silver, red_gold)) == []


def test_colours_of_odd_pictures_are_counted() -> None:
    for size in ((1, 1), (1, 500), (500, 1), (2000, 30)):
        assert colours.count(Image.new("RGB", size, "white"))[0].share("gold") == 0.0
    assert middle(Image.new("RGB", (100, 50))).size == (60, 30)


# -- embeddings --------------------------------------------------------------------------------


class FakeEmbedder:
    """Vectors by the mean colour of a picture, so that equal pictures are near."""

    def __init__(self, knows_products: bool = True) -> None:
        self.knows_products = knows_products

    async def embed(self, pictures: Sequence[bytes]) -> Embedded:
        means = [np.asarray(Image.open(io.BytesIO(data)), dtype=np.float32).mean(axis=(0, 1)) for data in pictures]
        return Embedded(np.array(means), 25.0, self.knows_products)

    async def close(self) -> None: ...


async def test_a_picture_far_from_its_source_is_flagged() -> None:
    check = Resemblance(FakeEmbedder())
    near, far = Image.new("RGB", (90, 90), (200, 200, 200)), Image.new("RGB", (90, 90), (185, 200, 200))
    source = await check.of_sources([near, Image.new("RGB", (90, 90), "black")])
    assert (await check.check(source, near)) == (await check.check(source, near.resize((300, 300))))
    assert not (await check.check(source, near)).suspect
    verdict = await check.check(source, far)
    assert verdict.suspect
    assert "far from its source" in verdict.reason
    assert f"{FAR * 25:.0f}" in verdict.reason


async def test_a_descriptor_that_knows_no_products_is_not_asked() -> None:
    check = Resemblance(FakeEmbedder(knows_products=False))
    source = await check.of_sources([Image.new("RGB", (90, 90), "white")])
    verdict = await check.check(source, Image.new("RGB", (90, 90), "black"))
    assert (verdict.suspect, "not checked" in verdict.reason) == (False, True)


class EmbeddingStub(embedding_pb2_grpc.EmbeddingServiceServicer):
    """The embedding service's wire, with made-up vectors."""

    def __init__(self, dimension: int = 4, model_id: str = "m1", failing: bool = False) -> None:
        self.model = pb.Model(id="m1", dimension=dimension, similar_distance=25.0, engine="torch")
        self.model_id, self.failing = model_id, failing

    async def EmbedImages(self, request: pb.EmbedImagesRequest, context: Any) -> pb.EmbedImagesResponse:
        results = [pb.EmbeddingResult(embedding=pb.Embedding(values=[1.0, 2.0, 3.0, 4.0])) for _ in request.images]
        if self.failing:
            results[-1].error.reason = "IMAGE_UNREADABLE"
        return pb.EmbedImagesResponse(results=results, model_id=self.model_id)

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        return pb.GetModelResponse(model=self.model)


@asynccontextmanager
async def embedder(**details: Any) -> AsyncIterator[GrpcEmbedder]:
    servicer = EmbeddingStub(**details)  # type: ignore[abstract]
    service = Service(
        register=lambda server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server),
        descriptors=[pb.DESCRIPTOR.services_by_name["EmbeddingService"]],
    )
    async with testing.serve_locally(service) as channel:
        adapter = GrpcEmbedder("127.0.0.1:9", testing.settings(), 5.0)
        await adapter.close()
        adapter._channel, adapter._stub = channel, embedding_pb2_grpc.EmbeddingServiceStub(channel)
        yield adapter


async def test_the_embedding_service_is_asked_over_grpc() -> None:
    async with embedder() as adapter:
        found = await adapter.embed([b"a", b"b"])
    assert (found.vectors.shape, found.similar_distance, found.knows_products) == ((2, 4), 25.0, True)


@pytest.mark.parametrize("details", [{"dimension": 3}, {"model_id": "m2"}, {"failing": True}])
async def test_answers_that_do_not_fit_are_errors(details: dict[str, Any]) -> None:
    async with embedder(**details) as adapter:
        with pytest.raises(errors.Unavailable):
            await adapter.embed([b"a", b"b"])
