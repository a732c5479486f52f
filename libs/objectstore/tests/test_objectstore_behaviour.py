"""What every store does, run on the folder and on S3's protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from objectstore import FolderStore, ObjectRef, ObjectStore, ObjectStoreSettings, S3Store, open_store
from servicekit import errors

JPEG = b"\xff\xd8\xff\xe0" + bytes(2000)
BUCKET = "alyaimg"


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    given: dict[str, object] = {"data_dir": tmp_path}
    if request.param == "s3":
        given |= {
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "aws_endpoint_url_s3": request.getfixturevalue("s3_endpoint"),
            "s3_create_buckets": True,
        }
    store = open_store(ObjectStoreSettings(_env_file=None, **given))  # type: ignore[arg-type]
    assert store.name == request.param
    await store.check()
    for bucket in store.websites.values():  # the S3 server lives through the module
        for info in [info async for info in store.list(bucket)]:
            await store.delete(bucket, info.key)
    yield store
    await store.close()


async def test_gives_back_what_was_put(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    assert await store.put(BUCKET, "images/a b+ü%.jpg", JPEG, "image/jpeg")
    found = await store.get(BUCKET, "images/a b+ü%.jpg")
    assert (found.data, found.content_type, found.size) == (JPEG, "image/jpeg", len(JPEG))
    head = await store.head(BUCKET, "images/a b+ü%.jpg")
    assert (head.size, head.content_type) == (len(JPEG), "image/jpeg")
    assert head.modified.utcoffset() == timedelta(0)
    assert before <= head.modified <= datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize("content_type", ["application/json", "text/x-own", "image/jpeg"])
async def test_keeps_a_content_type_that_the_bytes_do_not_show(store: ObjectStore, content_type: str) -> None:
    await store.put(BUCKET, "k/odd", b"plain bytes", content_type)
    assert (await store.get(BUCKET, "k/odd")).content_type == content_type
    await store.put(BUCKET, "k/odd", JPEG, "image/jpeg")
    assert (await store.head(BUCKET, "k/odd")).content_type == "image/jpeg"


async def test_overwrites_unless_told_otherwise(store: ObjectStore) -> None:
    assert await store.put(BUCKET, "k", b"one", "text/plain", if_absent=True)
    assert not await store.put(BUCKET, "k", b"two", "text/plain", if_absent=True)
    assert (await store.get(BUCKET, "k")).data == b"one"
    assert await store.put(BUCKET, "k", b"three", "text/plain")
    assert (await store.get(BUCKET, "k")).data == b"three"


async def test_one_of_many_claims_wins(store: ObjectStore) -> None:
    won = await asyncio.gather(
        *(store.put(BUCKET, "claim", str(n).encode(), "text/plain", if_absent=True) for n in range(20))
    )
    assert won.count(True) == 1
    assert (await store.get(BUCKET, "claim")).data == str(won.index(True)).encode()


async def test_buckets_are_apart(store: ObjectStore) -> None:
    await store.put("alyaimg", "k", b"a", "text/plain")
    with pytest.raises(errors.NotFound):
        await store.get("blyskimg", "k")


async def test_says_that_an_object_is_missing(store: ObjectStore) -> None:
    await store.put(BUCKET, "folder/k", b"a", "text/plain")
    for key in ("nothing", "folder", "folder/k/deeper"):
        with pytest.raises(errors.NotFound):
            await store.get(BUCKET, key)
        with pytest.raises(errors.NotFound):
            await store.head(BUCKET, key)
        assert not await store.delete(BUCKET, key)


async def test_deletes_once(store: ObjectStore) -> None:
    await store.put(BUCKET, "k", b"a", "text/x-own")
    assert await store.delete(BUCKET, "k")
    assert not await store.delete(BUCKET, "k")
    with pytest.raises(errors.NotFound):
        await store.head(BUCKET, "k")


async def test_refuses_larger_objects_than_wanted(store: ObjectStore) -> None:
    await store.put(BUCKET, "k", bytes(100), "text/plain")
    assert (await store.get(BUCKET, "k", max_bytes=100)).size == 100
    with pytest.raises(errors.InvalidArgument) as refused:
        await store.get(BUCKET, "k", max_bytes=99)
    assert refused.value.reason == "OBJECT_TOO_LARGE"


async def test_lists_by_prefix_in_order(store: ObjectStore) -> None:
    keys = ["images/b", "images/a/x", "images/a-1", "images/a.c", "gen_imgs/z", "images/é"]
    for key in keys:
        await store.put(BUCKET, key, key.encode(), "text/x-own")
    listed = [info async for info in store.list(BUCKET, "images/")]
    assert [info.key for info in listed] == ["images/a-1", "images/a.c", "images/a/x", "images/b", "images/é"]
    assert [info.size for info in listed] == [len(info.key.encode()) for info in listed]
    assert [info.key async for info in store.list(BUCKET, "images/a")] == ["images/a-1", "images/a.c", "images/a/x"]
    assert sorted([info.key async for info in store.list(BUCKET)]) == sorted(keys)
    assert [info async for info in store.list("blyskimg")] == []


async def test_lists_past_one_page(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(S3Store, "page_size", 4)
    keys = [f"many/{n:02}" for n in range(9)]
    for key in keys:
        await store.put(BUCKET, key, b"", "text/plain")
    assert [info.key async for info in store.list(BUCKET, "many/")] == keys


@pytest.mark.parametrize(
    "key",
    ["", "/etc/x", "../x", "a/../../x", "a/./b", "a//b", "a/", "a\\..\\b", "a\0b", "a\nb", "x" * 256, "a/" * 600 + "a"],
)
async def test_no_key_leaves_its_bucket(store: ObjectStore, key: str, tmp_path: Path) -> None:
    calls = [
        lambda: store.put(BUCKET, key, b"x", "text/plain"),
        lambda: store.get(BUCKET, key),
        lambda: store.head(BUCKET, key),
        lambda: store.delete(BUCKET, key),
    ]
    for call in calls:
        with pytest.raises(errors.InvalidArgument) as refused:
            await call()
        assert refused.value.reason == "OBJECT_KEY_INVALID"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_no_bucket_but_ours(store: ObjectStore) -> None:
    for bucket in ("other", "..", ".types", ""):
        with pytest.raises(errors.InvalidArgument):
            await store.put(bucket, "k", b"x", "text/plain")
        with pytest.raises(errors.InvalidArgument):
            _ = [info async for info in store.list(bucket)]


async def test_its_addresses_lead_back(store: ObjectStore) -> None:
    key = "images/20261122T143501Z_x_a b+ü%#?.jpg"
    url = store.url(BUCKET, key)
    assert " " not in url
    assert "#" not in url
    assert "?" not in url
    assert store.parse_url(url) == ObjectRef(BUCKET, key)


async def test_a_whole_file_or_none_is_seen(tmp_path: Path) -> None:
    """S3 promises this itself; moto's server does not keep it under concurrent writes."""
    store = FolderStore(ObjectStoreSettings(_env_file=None, data_dir=tmp_path))

    async def write(fill: bytes) -> None:
        for _ in range(10):
            await store.put(BUCKET, "k", fill * 200_000, "text/plain")

    await store.put(BUCKET, "k", b"c" * 200_000, "text/plain")
    writers = asyncio.gather(write(b"a"), write(b"b"))
    while not writers.done():
        data = (await store.get(BUCKET, "k")).data
        assert len(data) == 200_000
        assert len(set(data)) == 1
    await writers
    await store.close()


def test_folder_without_credentials(tmp_path: Path) -> None:
    store = open_store(ObjectStoreSettings(_env_file=None, data_dir=tmp_path))  # type: ignore[call-arg]
    assert isinstance(store, FolderStore)
    assert store.embedded
