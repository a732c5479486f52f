"""Pictures: from the site's hosts only, checked byte by byte, and into a catalogue that answers in every way."""

from __future__ import annotations

import asyncio
import email.parser
import hashlib
import http.server
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from scrapers import catalogue, images
from scrapers.browse.pace import Pace
from scrapers.browse.robots import Robots
from scrapers.outcome import Picture, Upload
from scrapers.record import Record

from .local_site.server import Fault, Shop, open_shop


def encoded(kind: str, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 120).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_good_pictures(kind: str) -> None:
    checked = images.check(encoded(kind))
    assert (checked.width, checked.height) == (64, 48)
    assert checked.media_type == f"image/{kind.lower()}"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"<html>not here</html>", "no whole picture"),
        (encoded("JPEG", (600, 600))[:-700], "no whole picture"),
        (encoded("BMP"), "no whole picture"),
        (encoded("PNG", (1, 1)), "1 x 1 pixels only"),
        (encoded("PNG", (9000, 6000), "1"), "more than 50,000,000"),
        (encoded("JPEG") + b"\0" * images.MAX_BYTES, "larger than 20 MiB"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 200, "no whole picture"),
    ],
)
def test_bad_pictures(data: bytes, reason: str) -> None:
    with pytest.raises(images.PictureRefused, match=reason):
        images.check(data)


def record_of(*urls: str) -> Record:
    return Record(site="amazon", product_id="B0TEST0001", url="https://x", title="t", images=urls)


def download(shop: Shop, folder: Path, *urls: str, hosts: tuple[str, ...] = ()) -> dict[str, Picture]:
    saved: dict[str, Picture] = {}

    async def run() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            robots = Robots(client, "jewelry-scrapers/0.1")
            allowed = hosts or (urlsplit(shop.base).netloc,)
            downloader = images.Downloader(
                client, folder, allowed, Pace(0), robots, lambda picture: saved.update({picture.url: picture})
            )
            await downloader.fetch_all(record_of(*urls), set())

    asyncio.run(run())
    return saved


def test_downloads_each_with_its_own_fate(shop: Shop, tmp_path: Path) -> None:
    names = ("good", "gone", "page", "cut", "away", "again")
    urls = {name: f"{shop.base}/images/I/{name}.jpg" for name in names}
    shop.faults = {
        "/images/I/gone.jpg": Fault("status", 9, status=404),
        "/images/I/page.jpg": Fault("html", 9),
        "/images/I/cut.jpg": Fault("truncated", 9),
        "/images/I/away.jpg": Fault("elsewhere", 9),
        "/images/I/again.jpg": Fault("status", 1, status=503),
    }
    saved = download(shop, tmp_path / "pictures", *urls.values())
    reasons = {name: saved[url].reason for name, url in urls.items()}
    assert reasons == {
        "good": "",
        "gone": "answers 404",
        "page": "is text/html, not a picture",
        "cut": "is no whole picture of a known type",
        "away": "lies on localhost, which is none of the site's picture hosts",
        "again": "",
    }
    good = saved[urls["good"]]
    assert good.file == str(tmp_path / "pictures" / "B0TEST0001_01.jpg")
    assert (good.media_type, good.width, good.height) == ("image/jpeg", 80, 100)
    assert good.bytes == Path(good.file).stat().st_size
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"B0TEST0001_01.jpg", "B0TEST0001_06.jpg"}


def test_pictures_elsewhere_are_not_asked_for(shop: Shop, tmp_path: Path) -> None:
    port = urlsplit(shop.base).port
    elsewhere = (f"http://127.0.0.1:{port}/images/I/x.jpg", "file:///etc/passwd", "http://evilamazon.com/x.jpg")
    saved = download(shop, tmp_path, *elsewhere, hosts=("amazon.com",))
    assert all("none of the site's picture hosts" in picture.reason for picture in saved.values())
    assert not shop.requests


def test_robots_txt_holds_for_pictures_too(shop: Shop, tmp_path: Path) -> None:
    shop.robots = "User-agent: *\nDisallow: /images/\n"
    saved = download(shop, tmp_path, f"{shop.base}/images/I/x.jpg")
    assert [picture.reason for picture in saved.values()] == ["robots.txt disallows it"]
    assert [target for _, target in shop.requests] == ["/robots.txt"]


class Gateway:
    """A gateway as small as it can be: keys, idempotency by raw body, verdicts, and answers prepared in advance."""

    def __init__(self) -> None:
        self.key = ""
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.uploads: list[dict[str, Any]] = []
        self.bodies: dict[str, bytes] = {}
        self.base = ""
        self.seen: set[str] = set()

    def take(self, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.key and headers.get("X-API-Key") != self.key:
            return 401, {}, json.dumps({"title": "Unauthorized", "detail": "no such key"}).encode()
        key = headers["Idempotency-Key"]
        if self.bodies.setdefault(key, body) != body:
            return 409, {}, b'{"detail": "another body"}'
        if self.answers:
            return self.answers.pop(0)
        message = email.parser.BytesParser().parsebytes(
            b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body
        )
        parts = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
        file = parts["file"]
        data = file.get_payload(decode=True)
        website = parts["website"].get_payload().strip() if "website" in parts else ""
        digest = hashlib.sha256(data).hexdigest()
        known, _ = digest in self.seen, self.seen.add(digest)
        self.uploads.append({"name": file.get_filename(), "type": file.get_content_type(), "website": website})
        answer = {"s3_url": f"http://files/{digest[:8]}", "indexed": not known, "id": digest[:8], "matches": [{}]}
        return 200, {}, json.dumps(answer | {"verdict": "exact" if known else "new"}).encode()


@contextmanager
def open_gateway() -> Iterator[Gateway]:
    gateway = Gateway()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

        def do_POST(self) -> None:
            assert self.path == "/upload-and-index"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, answer = gateway.take(self.headers, body)
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    gateway.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def send(gateway: Gateway, *pictures: Picture, website: str = "alya", key: str = "") -> list[Upload]:
    async def run() -> list[Upload]:
        async with httpx.AsyncClient(base_url=gateway.base, trust_env=False) as client:
            sender = catalogue.Catalogue(client, website, SecretStr(key) if key else None, backoff=0.01)
            return [await sender.send(picture) for picture in pictures]

    return asyncio.run(run())


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    path = tmp_path / "B0TEST0001_01.jpg"
    path.write_bytes(encoded("JPEG"))
    return Picture("B0TEST0001", "https://i/1.jpg", str(path), "image/jpeg", 64, 48, path.stat().st_size)


def test_the_catalogue_says_its_verdict(picture: Picture, tmp_path: Path) -> None:
    other = tmp_path / "copy.jpg"
    other.write_bytes(Path(picture.file).read_bytes())
    with open_gateway() as gateway:
        gateway.key = "secret"
        sent = send(gateway, picture, Picture("P2", "https://i/2.jpg", str(other), "image/jpeg"), key="secret")
        assert [(upload.status, upload.verdict, upload.matches) for upload in sent] == [
            ("stored", "new", 1),
            ("duplicate", "exact", 1),
        ]
        assert sent[0].stored_url.startswith("http://files/")
        assert gateway.uploads[0] == {"name": "B0TEST0001_01.jpg", "type": "image/jpeg", "website": "alya"}
    assert catalogue.summary(sent) == "1 exact, 1 new"


def test_a_busy_gateway_is_asked_again_with_the_same_body(picture: Picture) -> None:
    with open_gateway() as gateway:
        gateway.answers = [(429, {"Retry-After": "0"}, b"{}"), (503, {}, b"{}")]
        assert send(gateway, picture)[0].status == "stored"
        assert len(gateway.bodies) == 1  # one key, and the same bytes each time


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((422, {}, b'{"detail": "too small"}'), "422: too small"),
        ((413, {}, b"<html>"), "status 413"),
        ((429, {"Retry-After": "9999"}, b'{"title": "Too Many Requests"}'), "429: Too Many Requests"),
        ((200, {}, b"[]"), "no JSON object"),
        ((200, {}, b"nonsense"), "no JSON object"),
    ],
)
def test_a_refused_picture_is_one_failure(
    picture: Picture, answer: tuple[int, dict[str, str], bytes], reason: str
) -> None:
    with open_gateway() as gateway:
        gateway.answers = [answer]
        sent = send(gateway, picture)[0]
        assert sent.status == "failed"
        assert reason in sent.reason


def test_odd_answers_never_break_the_types(picture: Picture) -> None:
    with open_gateway() as gateway:
        gateway.answers = [(200, {}, b'{"verdict": 7, "s3_url": ["x"], "matches": "many"}')]
        assert send(gateway, picture)[0] == Upload("B0TEST0001", "https://i/1.jpg", "stored")


def test_a_wrong_key_and_a_missing_gateway_end_the_sending(picture: Picture) -> None:
    with open_gateway() as gateway:
        gateway.key = "secret"
        with pytest.raises(catalogue.CatalogueRefused, match="GATEWAY_API_KEY") as refused:
            send(gateway, picture, key="wrong-key")
        assert "wrong-key" not in str(refused.value)
    with pytest.raises(catalogue.CatalogueRefused, match="cannot be reached"):
        send(gateway, picture)


def test_a_file_that_went_away_is_one_failure() -> None:
    with open_gateway() as gateway:
        sent = send(gateway, Picture("P", "https://i/1.jpg", "/nowhere/x.jpg", "image/jpeg"))[0]
        assert (sent.status, sent.reason) == ("failed", "the file cannot be read: No such file or directory")


def test_the_local_shop_serves_whole_pictures() -> None:
    with open_shop("myntra") as shop:
        answer = httpx.get(f"{shop.base}/h_1440,q_100,w_1080/v1/assets/images/x.jpg", trust_env=False)
        assert images.check(answer.content).media_type == "image/jpeg"
