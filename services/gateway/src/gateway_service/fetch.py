"""Pictures at addresses outside, fetched so that nobody can use the gateway to reach what is private.

A host is resolved once, every address it has is checked, and the connection goes to a checked address: what a name
resolves to afterwards no longer matters. Each redirect starts over.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx

from servicekit import deadlines, errors, images

logger = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses; raises OSError where there are none."""

MAX_URL = 4096
_PORTS = {"http": 80, "https": 443}
# Services for pictures listen here; mail, databases and the like do not.
_PUBLIC_PORTS = frozenset({80, 443, 8080, 8443})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BROKEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\]")

# Public by their number, private by their use.
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})  # Azure's host
_NEVER: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments; Oracle's metadata
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.ip_network("2001::/23"),  # protocol assignments, Teredo among them
    ipaddress.ip_network("2002::/16"),  # 6to4: carries an IPv4 address
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


@dataclass(frozen=True)
class Fetched:
    """A file as it came."""

    content: bytes
    content_type: str


class _Refused(errors.InvalidArgument):
    def __init__(self, why: str, reason: str = "IMAGE_URL_REFUSED") -> None:
        super().__init__(f"this address cannot be fetched: {why}", reason=reason)


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """What the machine's own resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Fetcher:
    """Fetches pictures from the public internet, and from private hosts that were opened on purpose."""

    def __init__(
        self,
        *,
        allowed: Sequence[str] = (),
        seconds: float = 20.0,
        redirects: int = 3,
        max_bytes: int = images.MAX_BYTES,
        resolve: Resolver = system_resolver,
    ) -> None:
        """`allowed` are `host` or `host:port` that may be private; `seconds` is for one picture, redirects included."""
        self._allowed = frozenset(entry.lower() for entry in allowed)
        self._seconds = seconds
        self._redirects = redirects
        self._max_bytes = max_bytes
        self._resolve = resolve
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, url: str) -> Fetched:
        """The file at an address.

        Raises:
            errors.InvalidArgument: IMAGE_URL_REFUSED where the guard says no, IMAGE_URL_UNRESOLVED, IMAGE_URL_FAILED
                or IMAGE_URL_SLOW where the host is at fault, IMAGE_URL_NO_IMAGE, IMAGE_TOO_LARGE.
        """
        try:
            async with asyncio.timeout(deadlines.shaved(self._seconds)):
                return await self._follow(url)
        except TimeoutError:
            raise _Refused(f"its host did not deliver within {self._seconds:.0f} s", "IMAGE_URL_SLOW") from None

    def check(self, url: str) -> None:
        """Raises `errors.InvalidArgument` for an address that would be refused whatever its host resolves to."""
        target = parse(url)
        literal = literal_address(target.raw_host.decode("ascii"))
        if literal is not None and not self._is_allowed(target) and not is_public(literal):
            raise _Refused("its host is not on the public internet")

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """Posts to an address under the same guard; gives the status of the answer. Redirects are not followed.

        Raises:
            errors.InvalidArgument: IMAGE_URL_REFUSED where the guard says no.
            errors.Unavailable: The host does not answer in time.
        """
        target = parse(url)
        try:
            async with asyncio.timeout(self._seconds):
                address = (await self._checked(target))[0]
                request = self._request("POST", target, address, headers, content)
                async with httpx.AsyncHTTPTransport(verify=self._tls_context(), trust_env=False) as transport:
                    response = await transport.handle_async_request(request)
                    await response.aclose()
                    return response.status_code
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise errors.Unavailable("its host does not answer", reason="WEBHOOK_UNREACHABLE") from error

    async def _follow(self, url: str) -> Fetched:
        target = parse(url)
        for _ in range(self._redirects + 1):
            addresses = await self._checked(target)
            answer = await self._get(target, addresses)
            if isinstance(answer, Fetched):
                return answer
            target = parse(str(target.join(answer)))
        raise _Refused(f"it was redirected more than {self._redirects} times", "IMAGE_URL_FAILED")

    async def _checked(self, url: httpx.URL) -> list[Address]:
        """The addresses of the host, all of them allowed."""
        host = url.raw_host.decode("ascii")
        port = url.port or _PORTS[url.scheme]
        on_purpose = self._is_allowed(url)
        if not on_purpose and port not in _PUBLIC_PORTS:
            raise _Refused(f"port {port} is not one that pictures are fetched from")
        literal = literal_address(host)
        addresses = [literal] if literal else await self._resolved(host, port)
        if not on_purpose and not all(is_public(address) for address in addresses):
            logger.warning("refused to fetch from %s: not on the public internet", host)
            raise _Refused("its host is not on the public internet")
        return addresses

    def _is_allowed(self, url: httpx.URL) -> bool:
        """Whether the host was opened on purpose."""
        host = url.raw_host.decode("ascii")
        port = url.port or _PORTS[url.scheme]
        return not self._allowed.isdisjoint({host, f"{host}:{port}", f"[{host}]:{port}"})

    async def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            # A scope id (fe80::1%eth0) is for link-local addresses; without it the check refuses them as such.
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in await self._resolve(host, port)]
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise _Refused("there is no host of this name", "IMAGE_URL_UNRESOLVED")
        return found

    async def _get(self, url: httpx.URL, addresses: Sequence[Address]) -> Fetched | str:
        """The file, or where it is said to be now."""
        cause: Exception | None = None
        for address in addresses[:4]:
            try:
                return await self._get_from(url, address)
            except httpx.ConnectError as error:
                cause = error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                cause = error
                break
        logger.info("fetching from %s failed: %s", url.host, type(cause).__name__)
        raise _Refused("its host does not answer as it should", "IMAGE_URL_FAILED") from cause

    async def _get_from(self, url: httpx.URL, address: Address) -> Fetched | str:
        """Asks one checked address."""
        request = self._request("GET", url, address, {"Accept": "image/*"})
        # One transport per request: a pool knows its connections by address, and would lend one host's to another.
        async with httpx.AsyncHTTPTransport(verify=self._tls_context(), trust_env=False) as transport:
            response = await transport.handle_async_request(request)
            try:
                return await self._read(response)
            finally:
                await response.aclose()

    def _request(
        self, method: str, url: httpx.URL, address: Address, headers: Mapping[str, str], content: bytes | None = None
    ) -> httpx.Request:
        """A request to one checked address. Host header and TLS name stay those of the URL."""
        return httpx.Request(
            method,
            url.copy_with(host=str(address)),
            headers={
                "Host": url.netloc.decode("ascii"),
                "User-Agent": "jewelry-gateway",
                # What arrives is what is counted: no small answer grows large on unpacking.
                "Accept-Encoding": "identity",
                "Connection": "close",
                **headers,
            },
            content=content,
            extensions={
                "sni_hostname": url.raw_host.decode("ascii"),
                "timeout": httpx.Timeout(self._seconds, connect=min(5.0, self._seconds)).as_dict(),
            },
        )

    async def _read(self, response: httpx.Response) -> Fetched | str:
        if response.status_code in _REDIRECTS and "location" in response.headers:
            return str(response.headers["location"])
        if response.status_code != 200:
            raise _Refused(f"its host answered {response.status_code}", "IMAGE_URL_FAILED")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind and not kind.startswith("image/") and kind not in ("application/octet-stream", "binary/octet-stream"):
            raise _Refused("there is no picture there", "IMAGE_URL_NO_IMAGE")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise _Refused("its host sends it compressed though asked not to", "IMAGE_URL_FAILED")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()
        content = bytearray()
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            content += chunk
            if len(content) > self._max_bytes:
                raise self._too_large()
        return Fetched(bytes(content), kind)

    def _too_large(self) -> errors.InvalidArgument:
        return errors.InvalidArgument(
            f"the picture at this address is larger than {self._max_bytes // 2**20} MiB, the most that is taken",
            reason="IMAGE_TOO_LARGE",
        )

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        return self._tls


def parse(url: str) -> httpx.URL:
    """An address that may be thought of fetching; says nothing yet about where its host is.

    Raises:
        errors.InvalidArgument: IMAGE_URL_REFUSED.
    """
    if len(url) > MAX_URL:
        raise _Refused(f"it is longer than {MAX_URL} characters")
    # Programs disagree about these; what they disagree about can be used to pass a check.
    if _BROKEN_CHARACTERS.search(url):
        raise _Refused("it holds blanks, control characters or backslashes")
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise _Refused("it is no valid address") from None
    if parsed.scheme not in _PORTS:
        raise _Refused("it must start with https:// or http://")
    if not host:
        raise _Refused("it names no host")
    if parsed.userinfo:
        raise _Refused("it must not hold a user name or password")
    literal_address(host)
    return parsed


def literal_address(host: str) -> Address | None:
    """The address that a host is written as; None for a name.

    Raises:
        errors.InvalidArgument: It is neither a name nor an address in its usual form: decimal, octal, hexadecimal and
            shortened forms are read differently by different programs.
    """
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host)
        except ValueError:
            raise _Refused("its host is no valid address") from None
    name = host.removesuffix(".")
    # A host whose last label is a number is an address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return ipaddress.IPv4Address(name)
        except ValueError:
            raise _Refused("its host is an address in an unusual form") from None
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise _Refused("its host is no valid name")
    return None


def is_public(address: Address) -> bool:
    """True for an address that anybody on the internet could reach as well."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address.scope_id or address not in _GLOBAL_UNICAST or address.ipv4_mapped
    ):
        return False
    if address in _METADATA or any(address in network for network in _NEVER if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
