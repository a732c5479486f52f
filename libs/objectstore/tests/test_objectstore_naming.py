"""Keys, content types, settings and addresses."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from objectstore import ObjectRef, ObjectStoreSettings, object_key, open_store, slug, sniff
from servicekit import ServiceSettings, errors

UNIQUE = UUID("12345678-1234-5678-1234-567812345678")


def settings(**given: Any) -> ObjectStoreSettings:
    return ObjectStoreSettings(_env_file=None, **given)


def test_key_format() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    when = datetime(2026, 11, 22, 20, 5, 1, tzinfo=india)
    key = object_key("images", "C:\\shop\\Gold Jhumka (1).JPG", "jpg", UNIQUE, when)
    assert key == f"images/20261122T143501Z_{UNIQUE}_gold-jhumka-1.jpg"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("Bågue d'été.png", "bague-d-ete"),
        ("झुमका.jpg", "image"),
        ("", "image"),
        ("....", "image"),
        ("a" * 300 + ".jpg", "a" * 60),
        ("x\0y\n.webp", "x-y"),
        ("SKU.1.2", "sku-1"),
    ],
)
def test_slug(name: str, expected: str) -> None:
    assert slug(name) == expected
    assert re.fullmatch(r"[a-z0-9-]{1,60}", slug(name))


@pytest.mark.parametrize(
    ("start", "content_type", "extension"),
    [
        (b"\xff\xd8\xff\xdb", "image/jpeg", "jpg"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp", "webp"),
        (b"\0\0\0\x1cftypavif", "image/avif", "avif"),
        (b"MM\0*\0\0", "image/tiff", "tif"),
        (b"%PDF-1.7", "application/pdf", "pdf"),
        (b"", "application/octet-stream", "bin"),
        (b"<html>", "application/octet-stream", "bin"),
    ],
)
def test_sniff(start: bytes, content_type: str, extension: str) -> None:
    kind = sniff(start)
    assert (kind.content_type, kind.extension) == (content_type, extension)


def test_bucket_map_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET_MAP", "one=first-bucket, two=second")
    monkeypatch.setenv("S3_BUCKET", "second")
    store = open_store(settings())
    assert dict(store.websites) == {"one": "first-bucket", "two": "second"}
    assert (store.bucket_for(""), store.bucket_for("one")) == ("second", "first-bucket")
    assert store.website_of("second") == "two"


@pytest.mark.parametrize(
    ("name", "value"),
    [("BUCKET_MAP", "alya"), ("BUCKET_MAP", "a=x,b=x"), ("BUCKET_MAP", "=x"), ("S3_BUCKET", "unknown")],
)
def test_settings_refuse_nonsense(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        settings()


def test_mixes_into_the_settings_of_a_service_either_way() -> None:
    class One(ObjectStoreSettings, ServiceSettings):
        pass

    class Other(ServiceSettings, ObjectStoreSettings):
        pass

    for kind in (One, Other):
        made = kind(_env_file=None, data_dir="elsewhere", websites={"a": "b"})  # type: ignore[call-arg, arg-type]
        assert (made.data_dir, made.websites, made.log_format) == (Path("elsewhere"), {"a": "b"}, "plain")
        with pytest.raises(ValidationError):
            made.data_dir = Path("x")  # type: ignore[misc]


def test_unknown_websites_are_refused() -> None:
    store = open_store(settings())
    assert store.bucket_for("") == "alyaimg"
    with pytest.raises(errors.InvalidArgument) as refused:
        store.bucket_for("amazon")
    assert "alya, blysk" in refused.value.message
    with pytest.raises(errors.InvalidArgument):
        store.website_of("x")


def test_addresses_given_out() -> None:
    key = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    assert open_store(settings()).url("alyaimg", "images/a b") == "http://127.0.0.1:8000/files/alyaimg/images/a%20b"
    assert open_store(settings(**key)).url("alyaimg", "k") == "https://alyaimg.s3.amazonaws.com/k"
    own = open_store(settings(**key, aws_endpoint_url_s3="http://minio:9000/"))
    assert own.url("blyskimg", "k") == "http://minio:9000/blyskimg/k"


@pytest.mark.parametrize(
    "url",
    [
        "https://alyaimg.s3.amazonaws.com/images/a%20b.jpg",
        "https://alyaimg.s3.ap-south-1.amazonaws.com/images/a%20b.jpg?X-Amz-Signature=1",
        "https://alyaimg.s3-ap-south-1.amazonaws.com:443/images/a%20b.jpg",
        " https://minio.shop:9000/alyaimg/images/a%20b.jpg",
        "https://files.shop/base/files/alyaimg/images/a%20b.jpg#x",
    ],
)
def test_every_form_of_address_is_taken(url: str) -> None:
    store = open_store(
        settings(aws_endpoint_url_s3="https://minio.shop:9000", gateway_public_url="https://files.shop/base/")
    )
    assert store.parse_url(url) == ObjectRef("alyaimg", "images/a b.jpg")


def test_names_of_the_loopback_are_one() -> None:
    store = open_store(settings())
    assert store.parse_url("http://localhost:8000/files/alyaimg/k") == ObjectRef("alyaimg", "k")
    assert store.parse_url("http://[::1]:8000/files/alyaimg/k") == ObjectRef("alyaimg", "k")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no address",
        "https://other.s3.amazonaws.com/k",
        "https://alyaimg.s3.amazonaws.com.evil.example/k",
        "https://alyaimg.s3.amazonaws.com@evil.example/k",
        "https://user@alyaimg.s3.amazonaws.com/k",
        "https://alyaimg.s3.amazonaws.com:8443/k",
        "https://alyaimg.s3.amazonaws.com/",
        "https://alyaimg.s3.amazonaws.com/a/../b",
        "https://alyaimg.s3.amazonaws.com/a%2F..%2F..%2Fb",
        "https://alyaimg.s3.amazonaws.com/%ff",
        "http://127.0.0.1:8000/files/alyaimg/../../x",
        "http://127.0.0.1:8000/files/alyaimg",
        "http://127.0.0.1:8000/other/alyaimg/k",
        "http://127.0.0.1:8001/files/alyaimg/k",
        "http://127.0.0.1:99999/files/alyaimg/k",
        "file:///files/alyaimg/k",
        "//127.0.0.1:8000/files/alyaimg/k",
    ],
)
def test_other_addresses_are_not_ours(url: str) -> None:
    assert open_store(settings()).parse_url(url) is None
