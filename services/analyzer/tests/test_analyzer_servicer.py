"""The service without keys, over a real socket."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from jewelry.analyzer.v1 import analyzer_pb2 as pb
from jewelry.analyzer.v1.analyzer_pb2_grpc import AnalyzerServiceStub
from jewelry.type.v1 import type_pb2
from PIL import Image

import marketplaces
from analyzer_service.__main__ import service
from analyzer_service.settings import Settings
from analyzer_service.wiring import wire
from servicekit import client, errors
from servicekit.testing import serve_locally

PHOTOS = Path(__file__).resolve().parents[3] / "samples" / "photos"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub() -> AsyncIterator[AnalyzerServiceStub]:
    settings = Settings(_env_file=None, google_api_key=None, google_api_keys=None)
    async with serve_locally(service(wire(settings))) as channel:
        yield AnalyzerServiceStub(channel)


pytestmark = pytest.mark.asyncio(loop_scope="module")


def picture(name: str) -> type_pb2.Picture:
    return type_pb2.Picture(content=(PHOTOS / f"{name}.jpg").read_bytes(), view="front")


async def analyze(stub: AnalyzerServiceStub, name: str, code: str) -> dict[str, type_pb2.FieldValue]:
    request = pb.AnalyzeRequest(pictures=[picture(name)], marketplace_code=code)
    reply = await client.call(stub.Analyze, request, timeout=30)
    assert reply.adapter.embedded
    return {value.field: value for value in reply.fields}


@pytest.mark.parametrize("code", marketplaces.CODES)
async def test_every_field_appears_and_no_value_is_outside_its_options(stub: AnalyzerServiceStub, code: str) -> None:
    listing = marketplaces.load(code)
    names = {"earrings": "ALY-EAR-002", "necklace": "ALY-NEC-005", "bracelet": "ALY-BRA-001"}
    fields = await analyze(stub, names[listing.category], code)
    assert list(fields) == [entry.name for entry in listing.vision_fields]
    for entry in listing.vision_fields:
        value = fields[entry.name]
        assert all(option in entry.options for option in (*value.values, *value.suggestions)) or not entry.options
        assert bool(value.values) is not bool(value.review_reason)
        # Only what pixels tell is ever filled in.
        assert not value.values or entry.concept in ("metal_color", "color", "stone_color", "pearl_color", "finish")


async def test_measured_values(stub: AnalyzerServiceStub) -> None:
    flipkart = await analyze(stub, "ALY-EAR-013", "fli_ear")
    assert list(flipkart["Metal Color"].values) == ["Gold"]
    assert flipkart["Metal Color"].source == type_pb2.VALUE_SOURCE_IMAGE
    assert "yellow" in flipkart["Metal Color"].evidence
    assert list(flipkart["Color"].values) == ["Gold"]
    amazon = await analyze(stub, "ALY-EAR-010", "ama_ear")
    assert list(amazon["stone_color"].values) == list(amazon["stones_color"].values) == ["Blue"]
    # A count is rough and a plating invisible: offered, not filled in.
    assert list(amazon["number_of_stones"].values) == []
    assert list(amazon["number_of_stones"].suggestions) == ["16"]
    meesho = await analyze(stub, "ALY-EAR-009", "mee_ear")
    assert list(meesho["Plating"].values) == []
    assert list(meesho["Plating"].suggestions) == ["Rose Gold Plated"]
    assert list(meesho["Base Metal"].values) == []


async def test_caption(stub: AnalyzerServiceStub) -> None:
    request = pb.CaptionRequest(pictures=[picture("ALY-EAR-011")], product_type="earrings")
    reply = await client.call(stub.Caption, request, timeout=30)
    assert reply.name == "Gold tone earrings with red stones"
    assert reply.color == "gold"
    assert list(reply.attributes)[:3] == ["gold tone", "red stones", "pair"]
    assert "as high as wide" in reply.attributes[3]
    assert reply.quality == pb.QUALITY_A
    assert reply.product_type == "earrings"
    unknown = pb.CaptionRequest(pictures=[picture("ALY-RNG-002")])
    reply = await client.call(stub.Caption, unknown, timeout=30)
    assert reply.product_type == ""
    assert reply.name == "Silver tone jewelry with blue stones"


async def test_a_wrong_category_is_told(stub: AnalyzerServiceStub) -> None:
    request = pb.AnalyzeRequest(pictures=[picture("ALY-EAR-004")], marketplace_code="mee_nec")
    reply = await client.call(stub.Analyze, request, timeout=30)
    assert any("two equal pieces" in warning for warning in reply.warnings)
    assert reply.detected_category == ""


async def test_texts(stub: AnalyzerServiceStub) -> None:
    texts = ["gold earrings with red stones", "red stone earrings, golden", "a diesel locomotive", "é 金 👂" * 400]
    reply = await client.call(stub.EmbedTexts, pb.EmbedTextsRequest(texts=texts), timeout=60)
    vectors = np.array([embedding.values for embedding in reply.embeddings])
    assert vectors.shape == (4, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.7 > 0.3 > vectors[0] @ vectors[2]
    assert reply.model_id == "all-MiniLM-L6-v2"
    # A text's vector does not depend on its neighbours.
    alone = await client.call(stub.EmbedTexts, pb.EmbedTextsRequest(texts=texts[:1]), timeout=60)
    assert np.allclose(alone.embeddings[0].values, vectors[0], atol=1e-5)


@pytest.mark.parametrize("texts", [[], [""], ["ok", "  "], ["x" * 8001], ["x"] * 513])
async def test_bad_texts(stub: AnalyzerServiceStub, texts: list[str]) -> None:
    with pytest.raises(errors.InvalidArgument):
        await client.call(stub.EmbedTexts, pb.EmbedTextsRequest(texts=texts), timeout=10)


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "IMAGE_EMPTY"),
        (b"this is no picture", "IMAGE_UNREADABLE"),
        (b"%PDF-1.7 neither is this", "IMAGE_UNREADABLE"),
        ((PHOTOS / "ALY-EAR-001.jpg").read_bytes()[:20_000], "IMAGE_TRUNCATED"),
        (b"\0" * (20 * 1024 * 1024 + 1), "IMAGE_TOO_LARGE"),
        (encoded(Image.new("1", (8000, 7000)), "PNG"), "IMAGE_TOO_MANY_PIXELS"),
    ],
    ids=["empty", "text", "pdf", "truncated", "large", "many pixels"],
)
async def test_bad_pictures(stub: AnalyzerServiceStub, content: bytes, reason: str) -> None:
    good = picture("ALY-EAR-001")
    request = pb.AnalyzeRequest(pictures=[good, type_pb2.Picture(content=content)], marketplace_code="ama_ear")
    with pytest.raises(errors.InvalidArgument) as caught:
        await client.call(stub.Analyze, request, timeout=30)
    assert caught.value.reason == reason
    assert caught.value.message.startswith("picture 2: ")
    assert "pictures[1].content" in caught.value.fields


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
async def test_unusual_pictures_are_taken(stub: AnalyzerServiceStub, mode: str) -> None:
    with Image.open(PHOTOS / "ALY-EAR-004.jpg") as photo:
        small = photo.resize((300, 300))
    image = small.convert("L").convert("I;16") if mode == "I;16" else small.convert(mode)
    content = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    request = pb.CaptionRequest(pictures=[type_pb2.Picture(content=content)], product_type="earrings")
    reply = await client.call(stub.Caption, request, timeout=30)
    assert reply.name


async def test_bad_requests(stub: AnalyzerServiceStub) -> None:
    one = picture("ALY-EAR-001")
    with pytest.raises(errors.InvalidArgument) as caught:
        await client.call(stub.Analyze, pb.AnalyzeRequest(pictures=[one], marketplace_code="ama_rng"), timeout=10)
    assert caught.value.reason == "UNKNOWN_MARKETPLACE"
    assert all(code in caught.value.message for code in marketplaces.CODES)
    with pytest.raises(errors.InvalidArgument, match="1 to 8 pictures"):
        await client.call(stub.Analyze, pb.AnalyzeRequest(marketplace_code="ama_ear"), timeout=10)
    with pytest.raises(errors.InvalidArgument, match="seller_notes"):
        request = pb.AnalyzeRequest(pictures=[one], marketplace_code="ama_ear", seller_notes="x" * 4001)
        await client.call(stub.Analyze, request, timeout=10)
    with pytest.raises(errors.InvalidArgument, match="product_type"):
        await client.call(stub.Caption, pb.CaptionRequest(pictures=[one], product_type="shoes"), timeout=10)


async def test_who_answers_in_each_role(stub: AnalyzerServiceStub) -> None:
    providers = await client.call(stub.GetProviders, pb.GetProvidersRequest(), timeout=10)
    assert [adapter.role for adapter in providers.adapters] == ["vision", "bills", "text_embedding", "image_variations"]
    assert "no key configured" in providers.adapters[0].detail
    assert not providers.groups
