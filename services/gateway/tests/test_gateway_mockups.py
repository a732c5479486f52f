"""/generate-images: mock-ups and variations, a status per picture, a zip."""

from __future__ import annotations

import io
import zipfile

import pytest
from jewelry.analyzer.v1 import analyzer_pb2 as an
from jewelry.copywriter.v1 import copywriter_pb2 as cw
from jewelry.type.v1 import type_pb2

from objectstore import FolderStore
from servicekit import errors

BASE = "http://127.0.0.1:8000/files/alyaimg/"
URLS = [f"{BASE}images/a.jpg", f"{BASE}images/b.jpg"]
ERROR = type_pb2.ItemError(reason="PROVIDER_REFUSED", message="the provider refused the picture")


@pytest.fixture
async def stored(system, jpeg) -> FolderStore:
    store = FolderStore(system.settings())
    for key in ("images/a.jpg", "images/b.jpg", "gen_imgs/gemini/0.jpg", "gen_imgs/gemini/1.jpg"):
        await store.put("alyaimg", key, jpeg, "image/jpeg")
    system["copywriter"].script["GenerateImages"] = cw.GenerateImagesResponse(
        images=[
            cw.GeneratedImage(prompt_index=0, url=f"{BASE}gen_imgs/openai/0.jpg", portrait_url=f"{BASE}p.jpg"),
            cw.GeneratedImage(prompt_index=1, error=ERROR),
            cw.GeneratedImage(
                prompt_index=2, url=f"{BASE}gen_imgs/openai/2.jpg", suspect=True, suspect_reason="other stones"
            ),
        ],
        zip_url=f"{BASE}gen_imgs/openai/all.zip",
        adapter=type_pb2.Adapter(role="image_edits", name="openai", model_id="gpt-image-2.6-flare"),
    )
    system["analyzer"].script["GenerateVariations"] = lambda request: an.GenerateVariationsResponse(
        pictures=[
            an.GeneratedPicture(prompt_index=0, url=f"{BASE}gen_imgs/gemini/0.jpg"),
            an.GeneratedPicture(prompt_index=1, error=ERROR),
        ],
        adapter=type_pb2.Adapter(role="image_variations", name="gemini"),
    )
    return store


@pytest.mark.parametrize("urls", [URLS, ", ".join(URLS)])
async def test_mockups(http, system, stored, jpeg, urls) -> None:
    body = {"s3_urls": urls, "product_type": "Earrings", "product_desc": "hoops", "type": "worn", "count": 3}
    answer = await http.post("/generate-images", json=body)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["original_image_url"] == URLS[0]
    assert shown["original_image_urls"] == URLS
    assert shown["image_urls"] == [f"{BASE}gen_imgs/openai/0.jpg", f"{BASE}gen_imgs/openai/2.jpg"]
    assert shown["gen_images"] == [
        {"prompt_index": 0, "image_url": shown["image_urls"][0], "portrait_url": f"{BASE}p.jpg", "status": "success"},
        {
            "prompt_index": 1,
            "image_url": "",
            "portrait_url": "",
            "status": "failed",
            "error": "the provider refused the picture",
            "code": "PROVIDER_REFUSED",
        },
        {
            "prompt_index": 2,
            "image_url": shown["image_urls"][1],
            "portrait_url": "",
            "status": "success",
            "warning": "other stones",
        },
    ]
    assert shown["zip"] == shown["zip_url"] == f"{BASE}gen_imgs/openai/all.zip"
    [call] = system["copywriter"].calls["GenerateImages"]
    assert [picture.content for picture in call.pictures] == [jpeg, jpeg]
    assert (call.product_type, call.product_desc, call.style) == ("ear", "hoops", "worn")
    assert list(call.prompt_indexes) == [0, 1, 2]


async def test_variations_are_packed(http, system, stored, jpeg) -> None:
    body = {"s3_urls": URLS[0], "product_type": "bra", "provider": "Gemini", "website": "alya"}
    shown = (await http.post("/generate-images/", json=body)).json()
    assert [one["status"] for one in shown["gen_images"]] == ["success", "failed"]
    ref = stored.parse_url(shown["zip_url"])
    assert ref is not None
    found = await stored.get(ref.bucket, ref.key)
    with zipfile.ZipFile(io.BytesIO(found.data)) as archive:
        assert archive.namelist() == ["01_0.jpg"]
        assert archive.read("01_0.jpg") == jpeg
    [call] = system["analyzer"].calls["GenerateVariations"]
    assert (call.count, call.website, call.product_type) == (4, "alya", "bra")
    assert "GenerateImages" not in system["copywriter"].calls


async def test_pictures_that_cannot_be_packed_are_given_all_the_same(http, system, stored) -> None:
    system["analyzer"].script["GenerateVariations"] = an.GenerateVariationsResponse(
        pictures=[an.GeneratedPicture(url=f"{BASE}gen_imgs/gemini/gone.jpg")]
    )
    body = {"s3_urls": URLS[0], "product_type": "ear", "provider": "gemini"}
    shown = await http.post("/generate-images", json=body)
    assert shown.status_code == 200
    assert (shown.json()["zip"], len(shown.json()["image_urls"])) == ("", 1)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"s3_urls": []}, 422, "INVALID_ARGUMENT"),
        ({"s3_urls": ""}, 422, "INVALID_ARGUMENT"),
        ({"s3_urls": [URLS[0]] * 9}, 422, "INVALID_ARGUMENT"),
        ({"s3_urls": [f"{BASE}images/none.jpg"]}, 404, "OBJECT_NOT_FOUND"),
        ({"s3_urls": ["http://169.254.169.254/"]}, 422, "IMAGE_URL_REFUSED"),
        ({"product_type": "tiara"}, 422, "INVALID_ARGUMENT"),
        ({"provider": "other"}, 422, "INVALID_ARGUMENT"),
        ({"website": "other"}, 422, None),
        ({"count": 9}, 422, "INVALID_ARGUMENT"),
    ],
)
async def test_what_cannot_be_made(http, stored, change, status, code) -> None:
    answer = await http.post("/generate-images", json={"s3_urls": URLS[0], "product_type": "ear", **change})
    assert answer.status_code == status, answer.text
    assert code in (None, answer.json()["code"])


async def test_a_provider_without_key_is_a_409(http, system, stored) -> None:
    system["copywriter"].script["GenerateImages"] = errors.FailedPrecondition("no key", reason="NO_PROVIDER_KEY")
    answer = await http.post("/generate-images", json={"s3_urls": URLS[0], "product_type": "ear"})
    assert (answer.status_code, answer.json()["code"]) == (409, "NO_PROVIDER_KEY")
