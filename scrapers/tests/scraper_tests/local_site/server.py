"""A shop on this machine: real addresses, three generations of markup, and bad days by request."""

from __future__ import annotations

import hashlib
import http.server
import io
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from PIL import Image

from . import goods as goods_module
from . import render
from .goods import Goods, goods

PER_PAGE = 4
# What a product page that breaks in the middle of its scripts looks like to the parser.
_STATE = re.compile(
    r"(window\.__INITIAL_STATE__ = |window\.__myx = |window\[\"__myx\"\] = |'initial': )(.{40}).*?(;?</script>)", re.S
)


@dataclass
class Fault:
    """What happens instead of a page. `times` requests are spoilt, then the page is there."""

    kind: str  # status, captcha, loop, slow, broken_state, junk, hang
    times: int = 1
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class Shop:
    """One local shop. Everything may be changed while it runs.

    `faults` by product number, by "search:<page>" or by path; `robots` is robots.txt (None: 404); `hydrate` is the
    delay in milliseconds after which scripts put the content in; `infinite` makes search pages grow when scrolled.
    """

    def __init__(self, site: str, count: int = 2 * PER_PAGE) -> None:
        self.site = site
        self.numbers = list(range(count))
        self.generation: int | None = None
        self.faults: dict[Any, Fault] = {}
        self.robots: str | None = "User-agent: *\nDisallow: /private/\n"
        self.robots_status = 200
        self.hydrate: int | None = None
        self.infinite = False
        self.search_generation = 1
        self.requests: list[tuple[float, str]] = []
        self.agents: set[str] = set()
        self.served: Counter[str] = Counter()
        self.failed: dict[Any, int] = defaultdict(int)
        self.captcha_after: int | None = None
        self.base = ""
        self.open_now = 0
        self.most_open = 0
        self.lock = threading.Lock()

    def generation_of(self, number: int) -> int:
        return self.generation or number % 3 + 1

    def product_page(self, number: int) -> str:
        html = render.product_page(self.site, goods(number), self.generation_of(number), self.base)
        return html if self.hydrate is None else hydrated(html, self.hydrate)

    def spoilt(self, key: Any) -> Fault | None:
        """The fault of this request, if there is one left."""
        fault = self.faults.get(key)
        with self.lock:
            if fault is None or self.failed[key] >= fault.times:
                return None
            self.failed[key] += 1
        return fault

    def product_requests(self) -> Counter[int]:
        """How often each product's page was asked for."""
        found: Counter[int] = Counter()
        for _, target in self.requests:
            number = number_of(self.site, target)
            if number is not None:
                found[number] += 1
        return found


def hydrated(html: str, milliseconds: int) -> str:
    """The page as a script builds it: the body arrives in a string and is put in later."""
    head, body = html.split("<body>", 1) if "<body>" in html else (html, "")
    content = body.rsplit("</body>", 1)[0]
    return (
        f"{head}<body><div id='root'></div><script>setTimeout(() => {{ document.getElementById('root').innerHTML = "
        f"{render.script_json(content)}; }}, {milliseconds});</script></body></html>"
    )


def number_of(site: str, target: str) -> int | None:
    """The product that an address asks for."""
    parts = urlsplit(target)
    if site == "amazon":
        match = re.search(r"/dp/B0TEST(\d{4})", parts.path)
    elif site == "flipkart":
        pid = parse_qs(parts.query).get("pid", [""])[0]
        match = re.fullmatch(r"JWLTESTFSN(\d{6})", pid)
        if match is None:
            item = re.search(r"/p/itm([0-9a-f]{13})", parts.path)
            return int(item[1], 16) if item else None
    else:
        match = re.search(r"/1(\d{7})(?:/buy)?$", parts.path)
    return int(match[1]) if match else None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shop: Shop

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # a browser that went away
            super().handle()

    def do_GET(self) -> None:
        shop = self.shop
        with shop.lock:
            shop.requests.append((time.monotonic(), self.path))
            shop.agents.add(self.headers.get("User-Agent", ""))
            shop.open_now += 1
            shop.most_open = max(shop.most_open, shop.open_now)
        try:
            self.answer(shop)
        finally:
            with shop.lock:
                shop.open_now -= 1

    def answer(self, shop: Shop) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/robots.txt":
            status = 404 if shop.robots is None else shop.robots_status
            self.send(status, (shop.robots or "").encode(), "text/plain")
        elif parts.path.startswith(("/images/", "/image/", "/h_1440")):
            self.picture(parts.path)
        elif parts.path == "/loop":
            self.redirect("/loop")
        elif parts.path == "/more":
            self.more(shop, parts.query)
        elif (number := number_of(shop.site, self.path)) is not None:
            self.product(shop, number)
        elif parts.path.startswith(("/s", "/earrings", "/jhumka", "/private")):
            self.search(shop, parts)
        else:
            self.send(404, b"<html><title>Page Not Found</title></html>")

    def product(self, shop: Shop, number: int) -> None:
        fault = shop.spoilt(number) or shop.spoilt("every")
        if shop.captcha_after is not None and sum(shop.served.values()) >= shop.captcha_after:
            fault = Fault("captcha")
        if fault is not None:
            self.spoil(shop, fault, number)
        elif number not in shop.numbers:
            self.send(404, b"<html><title>Page Not Found</title></html>")
        elif shop.site == "myntra" and not self.path.endswith("/buy"):
            self.redirect(f"/earrings/alya/slug/1{number:07d}/buy")
        else:
            shop.served[str(number)] += 1
            self.send(200, shop.product_page(number).encode())

    def spoil(self, shop: Shop, fault: Fault, number: int) -> None:
        if fault.kind == "status":
            self.send(fault.status, b"<html><title>Sorry</title></html>", **fault.headers)
        elif fault.kind == "captcha":
            self.send(fault.status if fault.status != 503 else 200, render.captcha(shop.site).encode())
        elif fault.kind == "loop":
            self.redirect("/loop")
        elif fault.kind == "broken_state":
            shop.served[str(number)] += 1
            self.send(200, _STATE.sub(r"\1\2\3", shop.product_page(number)).encode())
        elif fault.kind == "junk":
            self.send(200, b"<html><title>Welcome</title><body><p>Nothing to see</p></body></html>")
        elif fault.kind == "slow":
            self.drip(shop.product_page(number).encode(), fault.seconds)
        elif fault.kind == "pdf":
            self.send(200, b"%PDF-1.4", "application/pdf")
        elif fault.kind == "cut":
            self.close_connection = True  # not one byte: ERR_EMPTY_RESPONSE
        else:
            raise AssertionError(fault.kind)

    def drip(self, body: bytes, seconds: float) -> None:
        """The page in ten pieces, over so many seconds."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        step = len(body) // 10 + 1
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            self.wfile.flush()
            time.sleep(seconds / 10)

    def search(self, shop: Shop, parts: Any) -> None:
        query = dict(parse_qsl(parts.query))
        name = "p" if shop.site == "myntra" else "page"
        page = int(query.get(name, "1"))
        fault = shop.spoilt(f"search:{page}")
        if fault is not None:
            self.spoil(shop, fault, 0)
            return
        if shop.infinite:
            page_goods, following = self.slice(shop, 1), ""
        else:
            page_goods = self.slice(shop, page)
            more = page * PER_PAGE < len(shop.numbers)
            following = f"{parts.path}?{urlencode(query | {name: page + 1})}" if more else ""
        html = render.search_page(
            shop.site,
            page_goods,
            3 if shop.infinite else shop.search_generation,
            base=shop.base,
            query="earrings",
            here=self.path,
            next_url=following,
            page=page,
            total=len(shop.numbers),
            infinite=INFINITE if shop.infinite else "",
        )
        self.send(200, html.encode())

    @staticmethod
    def slice(shop: Shop, page: int) -> list[Goods]:
        return [goods(number) for number in shop.numbers[(page - 1) * PER_PAGE : page * PER_PAGE]]

    def more(self, shop: Shop, query: str) -> None:
        """The next results of an endless page, as links."""
        page = int(dict(parse_qsl(query))["page"])
        found = self.slice(shop, page)
        html = render.search_page(shop.site, found, 3, base=shop.base) if found else ""
        inner = re.search(r'id="results">(.*?)</(?:main|ul)>', html, re.S)
        self.send(200, (inner[1] if inner else "").encode())

    def picture(self, path: str) -> None:
        fault = self.shop.spoilt(path)
        if fault is not None and fault.kind == "status":
            self.send(fault.status, b"", "text/plain", **fault.headers)
        elif fault is not None and fault.kind == "html":
            self.send(200, b"<html>no picture</html>")
        elif fault is not None and fault.kind == "truncated":
            self.send(200, _jpeg(path)[:400], "image/jpeg")
        elif fault is not None and fault.kind == "elsewhere":
            self.redirect("http://localhost:1/secret.jpg")
        else:
            self.send(200, _jpeg(path), "image/jpeg")

    def redirect(self, target: str) -> None:
        self.send(302, b"", Location=target)

    def send(self, status: int, body: bytes, content_type: str = "text/html; charset=utf-8", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


# Adds the next results when the end of the page comes near; the server gives none after the last.
INFINITE = """<div style="height: 3000px"></div><script>
let page = 1, busy = false;
addEventListener('scroll', async () => {
    if (busy || scrollY + innerHeight < document.documentElement.scrollHeight - 200) return;
    busy = true; page += 1;
    const answer = await fetch('/more?page=' + page);
    document.getElementById('results').insertAdjacentHTML('beforeend', await answer.text());
    scrollTo(0, 0); busy = false;
});
</script>"""


def _jpeg(path: str) -> bytes:
    """A small picture that depends on its name."""
    colours = hashlib.sha256(path.encode()).digest()
    out = io.BytesIO()
    Image.frombytes("RGB", (2, 5), colours[:30]).resize((80, 100), Image.Resampling.NEAREST).save(out, "JPEG")
    return out.getvalue()


@contextmanager
def open_shop(site: str, count: int = 2 * PER_PAGE) -> Iterator[Shop]:
    """A running shop; `shop.base` is its address."""
    shop = Shop(site, count)
    handler = type("Handler", (_Handler,), {"shop": shop})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    shop.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


__all__ = ["PER_PAGE", "Fault", "Shop", "goods_module", "hydrated", "number_of", "open_shop"]
