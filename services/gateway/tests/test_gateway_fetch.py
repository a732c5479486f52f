"""The guard around outside addresses: forbidden spellings, redirects, rebinding, limits."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway_service.fetch import Fetcher, is_public, literal_address
from servicekit import errors

OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\npicture"


class Names:
    """A resolver with a script; answers in turn, the last one for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(rounds) for name, rounds in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        rounds = self._answers.get(host.removesuffix("."))
        if rounds is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return rounds.pop(0) if len(rounds) > 1 else rounds[0]


PORT = "{port}"
SPELLINGS = [
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0X7F.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0177.0x0.0.01:{port}/",
    "http://127.0.0.01:{port}/",
    "http://00000127.0.0.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::]:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://loop.example:{port}/",
    "http://mixed.example:{port}/",
    "http://mapped.example:{port}/",
    "http://１２７.0.0.1:{port}/",
    "http://127。0。0。1:{port}/",
    "http://127%2e0%2e0%2e1:{port}/",
    "http://user:pass@127.0.0.1:{port}/",
    "http://public.example@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@public.example/",
    "http://public.example\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@public.example/",
    "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1\r\nHost: x:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_x",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}/",
    "unix:///var/run/x",
    "data:image/png;base64,AAAA",
    "",
]


def names() -> Names:
    return Names(
        localhost=[["127.0.0.1", "::1"]],
        loop_example=[["127.0.0.1"]],
        mixed_example=[["93.184.215.14", "127.0.0.1"]],
        mapped_example=[["::ffff:127.0.0.1"]],
        public_example=[["93.184.215.14"]],
    )


@pytest.mark.parametrize("any_port", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_reaches_the_loopback(listener, monkeypatch, spelling, any_port) -> None:
    port, seen = await listener(OK)
    if any_port:  # otherwise the port alone would be refused, which shows nothing about the host
        monkeypatch.setattr("gateway_service.fetch._PUBLIC_PORTS", frozenset(range(65536)))
    with pytest.raises(errors.InvalidArgument) as refused:
        await Fetcher(resolve=names()).fetch(spelling.replace(PORT, str(port)))
    assert refused.value.reason == "IMAGE_URL_REFUSED"
    assert seen == []


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "0.0.0.0"),
        *("192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1"),
        *("203.0.113.1", "127.255.255.254"),
        *("::", "::1", "fc00::1", "fd00:ec2::254", "fe80::1", "ff02::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
        *("2001:db8::1", "2001::1", "2002:808:808::1", "100::1", "fec0::1"),
    ],
)
def test_addresses_that_are_not_public(address) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "172.32.0.1", "100.128.0.1"])
def test_addresses_that_are(address) -> None:
    assert is_public(literal_address(address))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["example.com", "a-b.example", "xn--bcher-kva.example", "under_score.example", "a.b."])
def test_names_are_names(host) -> None:
    assert literal_address(host) is None


async def test_a_private_host_is_opened_on_purpose(listener) -> None:
    port, seen = await listener(OK)
    resolve = Names(loop_example=[["127.0.0.1"]])
    for allowed, url in (
        ([f"127.0.0.1:{port}"], f"http://127.0.0.1:{port}/a.jpg?x=1"),
        (["127.0.0.1"], f"http://127.0.0.1:{port}/b.jpg"),
        (["LOOP.example"], f"http://Loop.Example:{port}/c.jpg"),
    ):
        fetched = await Fetcher(allowed=allowed, resolve=resolve).fetch(url)
        assert (fetched.content, fetched.content_type) == (b"picture", "image/jpeg")
    assert seen == ["/a.jpg?x=1", "/b.jpg", "/c.jpg"]
    for allowed in ([f"127.0.0.1:{port + 1}"], ["other.example"], [f"loop.example:{port}"]):
        with pytest.raises(errors.InvalidArgument):
            await Fetcher(allowed=allowed, resolve=resolve).fetch(f"http://127.0.0.1:{port}/d.jpg")
    assert len(seen) == 3


async def test_the_connection_goes_where_the_check_looked(listener) -> None:
    """The name resolves to something else from the second time on; nobody asks a second time."""
    port, seen = await listener(OK)
    resolve = Names(loop_example=[["127.0.0.1"], ["127.0.0.2"]])
    await Fetcher(allowed=["loop.example"], resolve=resolve).fetch(f"http://loop.example:{port}/a.jpg")
    assert resolve.asked == ["loop.example"]
    assert seen == ["/a.jpg"]


async def test_host_header_is_the_urls(listener) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    resolve = Names(loop_example=[["127.0.0.1"]])
    await Fetcher(allowed=["loop.example"], resolve=resolve).fetch(f"http://loop.example:{port}/a.jpg")
    server.close()
    assert f"host: loop.example:{port}".encode() in heads[0].lower()
    assert b"accept-encoding: identity" in heads[0].lower()


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """A server's context with a certificate for one name, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_https_is_checked_against_the_name_not_the_address(tmp_path) -> None:
    names_asked: list[str | None] = []
    context = certificate(tmp_path, "loop.example")
    context.sni_callback = lambda _, name, __: names_asked.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    resolve = Names(loop_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    fetcher = Fetcher(allowed=["loop.example", "other.example"], resolve=resolve)
    fetcher._tls = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    assert (await fetcher.fetch(f"https://loop.example:{port}/a.jpg")).content == b"picture"
    with pytest.raises(errors.InvalidArgument) as refused:
        await fetcher.fetch(f"https://other.example:{port}/a.jpg")
    assert refused.value.reason == "IMAGE_URL_FAILED"
    assert names_asked == ["loop.example", "other.example"]
    server.close()


def redirect(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:{other}/secret",
        "http://2130706433:{other}/secret",
        "http://localhost:{other}/secret",
        "//127.0.0.1:{other}/secret",
        "http://[::ffff:127.0.0.1]:{other}/secret",
        "file:///etc/passwd",
        "http://a\\@127.0.0.1:{other}/",
    ],
)
async def test_redirects_are_checked_again(listener, to) -> None:
    other, secret = await listener(OK)
    port, seen = await listener(redirect(to.format(other=other)))
    fetcher = Fetcher(allowed=[f"127.0.0.1:{port}"], resolve=names())
    with pytest.raises(errors.InvalidArgument) as refused:
        await fetcher.fetch(f"http://127.0.0.1:{port}/a.jpg")
    assert refused.value.reason == "IMAGE_URL_REFUSED"
    assert seen == ["/a.jpg"]
    assert secret == []


async def test_good_redirects_are_followed_but_not_for_ever(listener) -> None:
    def hops(path: str) -> bytes:
        left = int(path.strip("/"))
        return OK if left == 0 else redirect(f"/{left - 1}", 307)

    port, seen = await listener(hops)
    fetcher = Fetcher(allowed=[f"127.0.0.1:{port}"])
    assert (await fetcher.fetch(f"http://127.0.0.1:{port}/3")).content == b"picture"
    assert seen == ["/3", "/2", "/1", "/0"]
    with pytest.raises(errors.InvalidArgument, match="redirected more than 3 times"):
        await fetcher.fetch(f"http://127.0.0.1:{port}/4")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "IMAGE_URL_FAILED"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "IMAGE_URL_FAILED"),
        (b"HTTP/1.1 206 Partial\r\nContent-Type: image/png\r\n\r\nx", "IMAGE_URL_FAILED"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "IMAGE_URL_FAILED"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "IMAGE_URL_NO_IMAGE"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Encoding: gzip\r\n\r\nx", "IMAGE_URL_FAILED"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2000\r\n\r\n", "IMAGE_TOO_LARGE"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + b"x" * 2000, "IMAGE_TOO_LARGE"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 50\r\n\r\nx", "IMAGE_URL_FAILED"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "IMAGE_URL_FAILED"),
        (b"", "IMAGE_URL_FAILED"),
    ],
)
async def test_hosts_that_do_not_deliver(listener, answer, reason) -> None:
    port, _ = await listener(answer)
    with pytest.raises(errors.InvalidArgument) as refused:
        await Fetcher(allowed=["127.0.0.1"], max_bytes=1000).fetch(f"http://127.0.0.1:{port}/")
    assert refused.value.reason == reason


async def test_slow_closed_and_unknown_hosts(listener) -> None:
    async def drip(_: str) -> bytes:
        await asyncio.sleep(30)
        return OK

    port, _ = await listener(drip)
    with pytest.raises(errors.InvalidArgument) as slow:
        await Fetcher(allowed=["127.0.0.1"], seconds=0.2).fetch(f"http://127.0.0.1:{port}/")
    assert slow.value.reason in ("IMAGE_URL_SLOW", "IMAGE_URL_FAILED")
    with pytest.raises(errors.InvalidArgument) as closed:
        await Fetcher(allowed=["127.0.0.1"]).fetch("http://127.0.0.1:1/")
    assert closed.value.reason == "IMAGE_URL_FAILED"
    with pytest.raises(errors.InvalidArgument) as unknown:
        await Fetcher(resolve=names()).fetch("https://nowhere.example/a.jpg")
    assert unknown.value.reason == "IMAGE_URL_UNRESOLVED"


@pytest.mark.parametrize("port", [22, 25, 6379, 50051])
async def test_ports_of_other_services(port) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"port {port}"):
        await Fetcher(resolve=names()).fetch(f"http://public.example:{port}/")
