"""Mock-up pictures on a real socket: the real SDK against the emulated provider, and a real folder of objects."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jewelry.copywriter.v1 import copywriter_pb2 as pb
from jewelry.copywriter.v1 import copywriter_pb2_grpc
from jewelry.type.v1 import type_pb2
from PIL import Image

from copywriter_service import forms, provenance
from copywriter_service.__main__ import build
from copywriter_service.settings import Settings
from servicekit import client, errors
from servicekit.testing import serve_locally
from tests.emulators import Emulator
from tests.emulators.pictures import AI_SOURCE_TYPE, content_credentials

PHOTOS = Path(__file__).parents[3] / "samples" / "photos"
# Only one test needs forms in their full size.
pytestmark = pytest.mark.usefixtures("small_forms")

RED_STUDS = (PHOTOS / "ALY-EAR-002.jpg").read_bytes()


def small(photo: bytes) -> bytes:
    """The same photo in a size that is worked on quickly."""
    image = Image.open(io.BytesIO(photo))
    image.draft("RGB", (600, 600))
    image.thumbnail((600, 600))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


SMALL_STUDS = small(RED_STUDS)
# One rupee, and what one picture from one source is planned at: 2,500 tokens read, 1,800 written.
INR = 1_000_000
PLANNED = 2_500 * 720 + 1_800 * 2_700
Generate = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path, emulator: Emulator, clean_environment: None) -> Callable[..., Settings]:
    """Settings with a key; nobody listens where the embedding service should be."""

    def make(**changes: Any) -> Settings:
        details: dict[str, Any] = {
            "data_dir": tmp_path, "openai_api_key": "sk-very-secret", "openai_base_url": emulator.url,
            "openai_attempts": 2, "openai_image_attempt_seconds": 20, "embedding_addr": "127.0.0.1:9",
            "images_check_seconds": 1, "openai_image_size": "512x512",
        }  # fmt: skip
        return Settings(_env_file=None, **{**details, **changes})

    return make


@asynccontextmanager
async def generating(settings: Settings) -> AsyncIterator[Generate]:
    """GenerateImages of a service with these settings."""
    async with serve_locally(build(settings)) as channel:
        stub = copywriter_pb2_grpc.CopywriterServiceStub(channel)

        async def generate(*sources: bytes, timeout: float = 60, **fields: Any) -> pb.GenerateImagesResponse:
            pictures = [type_pb2.Picture(content=source) for source in sources or (SMALL_STUDS,)]
            request = pb.GenerateImagesRequest(**{"pictures": pictures, "product_type": "ear", **fields})
            return await client.call(stub.GenerateImages, request, timeout=timeout)

        yield generate


@pytest.fixture
async def generate(settings: Callable[..., Settings]) -> AsyncIterator[Generate]:
    """GenerateImages with a key."""
    async with generating(settings()) as call:
        yield call


@pytest.fixture
def small_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms of the same shapes in a tenth of the size, where the sizes do not matter."""
    monkeypatch.setattr(forms, "SQUARE", (200, 200))
    monkeypatch.setattr(forms, "PORTRAIT", (108, 144))


def stored(tmp_path: Path, url: str) -> bytes:
    """An object of the folder store, by its address."""
    head, _, path = url.partition("/files/")
    assert head == "http://127.0.0.1:8000"
    assert "/gen_imgs/openai/" in path
    return (tmp_path / "objects" / path).read_bytes()


def objects(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "objects").rglob("gen_imgs/openai/*"))


async def test_a_style_set_is_made_stored_and_packed(
    generate: Generate, tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "SQUARE", (2000, 2000))
    monkeypatch.setattr(forms, "PORTRAIT", (1080, 1440))
    answer = await generate(RED_STUDS, RED_STUDS, style="gift", product_desc="Ruby red flower studs", website="blysk")
    assert [image.prompt_index for image in answer.images] == [0, 1, 2]
    assert not any(image.error.reason or image.suspect for image in answer.images)
    assert (answer.adapter.name, answer.adapter.model_id) == ("openai", "gpt-image-2.6-flare")
    assert [(entry.operation, entry.images, entry.status) for entry in emulator.log if entry.images] == [
        ("images.edits", 2, 200)
    ] * 3
    # 600 tokens read and 1,000 written each, at the price table's rupees.
    assert (answer.cost.calls, answer.cost.input_tokens, answer.cost.output_tokens) == (3, 1800, 3000)
    assert answer.cost.inr_micros == 1800 * 720 + 3000 * 2700
    for image in answer.images:
        for url, size in ((image.url, (2000, 2000)), (image.portrait_url, (1080, 1440))):
            assert "/blyskimg/" in url
            data = stored(tmp_path, url)
            picture = Image.open(io.BytesIO(data))
            assert (picture.size, picture.format) == (size, "JPEG")
            assert AI_SOURCE_TYPE.encode() in provenance.read(data).xmp
    archive = zipfile.ZipFile(io.BytesIO(stored(tmp_path, answer.zip_url)))
    assert archive.testzip() is None
    assert len(archive.namelist()) == 1 + 3 * 3
    about = json.loads(archive.read("pictures.json"))
    assert (about["made_by"], about["digital_source_type"]) == ("gpt-image-2.6-flare", ["trainedAlgorithmicMedia"])
    first = about["pictures"][0]
    assert first["metadata_of_the_original"] == ["c2pa", "xmp"]
    # The provider's own bytes are kept, credentials and all, and the forms name them.
    original = stored(tmp_path, first["original_url"])
    assert original == archive.read("0-original.png")
    assert provenance.c2pa(original) == content_credentials()
    assert first["original_url"].encode() in provenance.read(stored(tmp_path, answer.images[0].url)).xmp
    assert archive.read("0-square.jpg") == stored(tmp_path, answer.images[0].url)


async def test_one_picture_is_made_again_alone(generate: Generate, tmp_path: Path, emulator: Emulator) -> None:
    first = await generate(prompt_indexes=[2])
    again = await generate(prompt_indexes=[2])
    assert [image.prompt_index for image in again.images] == [2]
    assert first.images[0].url != again.images[0].url
    assert emulator.count("images.edits") == 2
    # Two times original, square, portrait and zip.
    assert len(objects(tmp_path)) == 8


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "content_filter"}, "PROVIDER_REFUSED"),
        ({"kind": "refusal"}, "PROVIDER_REFUSED"),
        ({"kind": "truncated"}, "PROVIDER_BAD_ANSWER"),
        ({"kind": "broken_body"}, "PROVIDER_BAD_ANSWER"),
        ({"kind": "rate_limit_minute", "retry_after": 30}, "PROVIDER_RATE_LIMITED"),
    ],
)
async def test_one_that_fails_takes_no_other_along(
    fault: dict[str, Any], reason: str, settings: Callable[..., Settings], tmp_path: Path, emulator: Emulator
) -> None:
    emulator.fault(operation="images.edits", skip=1, **fault)
    # One at a time, so that the second one is hit.
    async with generating(settings(openai_image_concurrency=1)) as generate:
        answer = await generate(prompt_indexes=[0, 3])
    made, failed = answer.images
    assert made.url
    assert (failed.error.reason, failed.url, failed.portrait_url) == (reason, "", "")
    assert len(failed.error.message) > 30
    assert "secret" not in failed.error.message
    archive = zipfile.ZipFile(io.BytesIO(stored(tmp_path, answer.zip_url)))
    assert [name for name in archive.namelist() if name.startswith("3")] == []
    # An answer that cannot be read was paid for all the same.
    assert answer.cost.calls == (2 if reason == "PROVIDER_BAD_ANSWER" else 1)


@pytest.mark.parametrize(
    ("fault", "kind", "reason", "requests"),
    [
        ({"kind": "revoked"}, errors.Unavailable, "PROVIDER_KEY_REFUSED", None),
        ({"kind": "rate_limit_minute", "retry_after": 30}, errors.ResourceExhausted, "PROVIDER_RATE_LIMITED", None),
        ({"kind": "rate_limit_day", "retry_after": 600}, errors.ResourceExhausted, "PROVIDER_QUOTA_GONE", None),
        ({"kind": "server_error"}, errors.Unavailable, "PROVIDER_DOWN", 4),
    ],
)
async def test_a_provider_that_is_away_for_all_is_the_answer(
    fault: dict[str, Any], kind: type[errors.ServiceError], reason: str, requests: int | None, generate: Generate,
    tmp_path: Path, emulator: Emulator,
) -> None:  # fmt: skip
    emulator.fault(operation="images.edits", times=None, **fault)
    with pytest.raises(errors.ServiceError) as caught:
        await generate(prompt_indexes=[0, 1])
    assert (type(caught.value), caught.value.reason) == (kind, reason)
    assert requests in (None, emulator.count("images.edits"))
    if kind is errors.ResourceExhausted:
        assert 0 < (caught.value.retry_after or 0) <= fault["retry_after"]
    assert objects(tmp_path) == []


async def test_a_hang_ends_within_the_deadline_and_keeps_what_is_finished(
    settings: Callable[..., Settings], tmp_path: Path, emulator: Emulator
) -> None:
    emulator.fault("hang", seconds=60, operation="images.edits", skip=1, times=None)
    async with generating(settings(openai_image_concurrency=1)) as generate:
        started = time.monotonic()
        answer = await generate(prompt_indexes=[0, 1], timeout=8)
        assert time.monotonic() - started < 8
        assert answer.images[0].url
        assert answer.images[1].error.reason in ("IMAGES_SLOW", "PROVIDER_TIMEOUT")
        assert answer.zip_url
        # Nothing at all in time: the error itself.
        with pytest.raises(errors.ServiceError) as caught:
            await generate(prompt_indexes=[0], timeout=1.5)
        assert caught.value.reason in ("IMAGES_SLOW", "PROVIDER_TIMEOUT")


async def test_a_picture_that_took_too_long_is_not_asked_for_again(
    settings: Callable[..., Settings], emulator: Emulator
) -> None:
    # It may have been made, and paid for.
    emulator.fault("hang", seconds=1, operation="images.edits")
    async with generating(settings(openai_image_attempt_seconds=0.3, openai_attempts=3)) as generate:
        with pytest.raises(errors.Unavailable) as caught:
            await generate(prompt_indexes=[0])
    assert caught.value.reason == "PROVIDER_TIMEOUT"
    assert emulator.control.faults == []
    async with asyncio.timeout(10):
        while not emulator.count("images.edits"):
            await asyncio.sleep(0.02)
    assert emulator.count("images.edits") == 1


async def test_another_product_is_flagged(generate: Generate, emulator: Emulator) -> None:
    emulator.fault("other_product", operation="images.edits")
    answer = await generate(prompt_indexes=[0])
    assert answer.images[0].suspect
    assert "the source has red stones" in answer.images[0].suspect_reason
    good = await generate(prompt_indexes=[0])
    assert not good.images[0].suspect
    # The embedding service is away: told, and not held against the picture.
    assert "embedding distance not checked" in good.images[0].suspect_reason


async def test_the_money_limit_holds(settings: Callable[..., Settings], emulator: Emulator) -> None:
    async with generating(settings()) as generate:
        with pytest.raises(errors.ResourceExhausted) as caught:
            await generate(max_inr_micros=PLANNED - 1)
        assert caught.value.reason == "MONEY_LIMIT"
        assert emulator.count("images.edits") == 0
        # One costs 3.13 rupees and is planned at 6.66: the second waits for the first, and a third does not fit.
        answer = await generate(max_inr_micros=PLANNED + 4 * INR, prompt_indexes=[0, 1, 2])
        assert sorted(image.error.reason for image in answer.images) == ["", "", "MONEY_LIMIT"]
        assert answer.cost.calls == emulator.count("images.edits") == 2
        assert answer.cost.inr_micros <= PLANNED + 4 * INR
    async with generating(settings(images_max_inr=PLANNED / INR)) as generate:
        answer = await generate(max_inr_micros=1000 * INR, prompt_indexes=[0, 1])
        assert [bool(image.url) for image in answer.images] == [True, False]


async def test_a_price_that_is_not_known_is_told(settings: Callable[..., Settings]) -> None:
    unknown = settings(openai_image_model="gpt-image-1", openai_model="gpt-4.1")
    async with generating(unknown) as generate:
        with pytest.raises(errors.FailedPrecondition) as caught:
            await generate(max_inr_micros=INR)
        assert caught.value.reason == "PRICE_UNKNOWN"
        answer = await generate(prompt_indexes=[0])
        assert (answer.cost.inr_micros, answer.cost.output_tokens) == (0, 1000)
        assert "no price is known for gpt-image-1" in answer.adapter.detail
        assert "no money limit is kept" in answer.adapter.detail
    own = settings(
        openai_image_model="gpt-image-1", openai_image_input_price=10.0, openai_image_output_price=20.0,
        openai_image_size="1024x1536", openai_image_quality="low",
    )  # fmt: skip
    async with generating(own) as generate:
        answer = await generate(prompt_indexes=[0], max_inr_micros=INR)
        assert answer.cost.inr_micros == 300 * 10 + 1000 * 20


BAD_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({"product_type": "ring"}, "PRODUCT_TYPE_UNKNOWN"),
    ({"product_type": ""}, "PRODUCT_TYPE_UNKNOWN"),
    ({"style": "../catalogue"}, "STYLE_UNKNOWN"),
    ({"prompt_indexes": [4]}, "INVALID_ARGUMENT"),
    ({"prompt_indexes": [-1]}, "INVALID_ARGUMENT"),
    ({"prompt_indexes": [1, 1]}, "INVALID_ARGUMENT"),
    ({"prompt_indexes": [0] * 101}, "INVALID_ARGUMENT"),
    ({"website": "elsewhere"}, "WEBSITE_UNKNOWN"),
    ({"max_inr_micros": -1}, "INVALID_ARGUMENT"),
    ({"product_desc": "x" * 2001}, "INVALID_ARGUMENT"),
    ({"pictures": []}, "IMAGE_EMPTY"),
    ({"pictures": [type_pb2.Picture()]}, "IMAGE_EMPTY"),
    ({"pictures": [type_pb2.Picture(content=b"no picture")]}, "IMAGE_UNREADABLE"),
    ({"pictures": [type_pb2.Picture(content=RED_STUDS[:20_000])]}, "IMAGE_TRUNCATED"),
    ({"pictures": [type_pb2.Picture(content=RED_STUDS)] * 9}, "INVALID_ARGUMENT"),
    ({"pictures": [type_pb2.Picture(content=RED_STUDS + bytes(17 * 2**20))] * 3}, "IMAGE_TOO_LARGE"),
]


async def test_bad_requests_are_refused_before_anything_is_paid(generate: Generate, emulator: Emulator) -> None:
    for fields, reason in BAD_REQUESTS:
        with pytest.raises(errors.InvalidArgument) as caught:
            await generate(**fields)
        assert caught.value.reason == reason, fields.keys()
        assert len(caught.value.message) > 20
    assert emulator.count("images.edits") == 0


async def test_more_pictures_than_allowed_are_refused(settings: Callable[..., Settings]) -> None:
    async with generating(settings(images_max_pictures=2)) as generate:
        with pytest.raises(errors.InvalidArgument) as caught:
            await generate()
        assert caught.value.reason == "TOO_MANY_PICTURES"
        assert len((await generate(prompt_indexes=[0, 1])).images) == 2


async def test_without_a_key_it_says_what_is_needed(settings: Callable[..., Settings]) -> None:
    async with generating(settings(openai_api_key=None)) as generate:
        with pytest.raises(errors.FailedPrecondition) as caught:
            await generate()
    assert caught.value.reason == "NO_PROVIDER_KEY"
    assert "OPENAI_API_KEY" in caught.value.message


async def test_where_nothing_can_be_kept_nothing_is_paid(
    settings: Callable[..., Settings], tmp_path: Path, emulator: Emulator
) -> None:
    (tmp_path / "objects").write_text("a file where the folder should be")
    async with generating(settings()) as generate:
        with pytest.raises(errors.ServiceError) as caught:
            await generate()
    assert caught.value.reason.startswith("OBJECT_STORE_")
    assert emulator.count("images.edits") == 0
