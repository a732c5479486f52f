"""The commands as a person types them: what is understood, what is refused, and the canary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest
from pydantic import SecretStr

from scrapers import canary, cli
from scrapers.browse.chromium import find_chromium, proxy_settings
from scrapers.browse.errors import BrowserMissing
from scrapers.inputs import BadInput, understand
from scrapers.sites import SITES

from .conftest import Scrape
from .local_site import render
from .local_site.goods import goods
from .local_site.server import Fault, Shop
from .test_scrapers_pictures import open_gateway

AMAZON, FLIPKART, MYNTRA = SITES["amazon"], SITES["flipkart"], SITES["myntra"]


def test_what_is_understood(tmp_path: Path) -> None:
    assert understand(AMAZON, "gold  Jhumka earrings").search == "https://www.amazon.in/s?k=gold+Jhumka+earrings&page=1"
    assert (
        understand(FLIPKART, "earrings & rings").search == "https://www.flipkart.com/search?q=earrings+%26+rings&page=1"
    )
    assert understand(MYNTRA, "Gold Earrings").search == "https://www.myntra.com/gold-earrings?rawQuery=Gold+Earrings"
    one = understand(AMAZON, "https://www.amazon.in/x/dp/B0TEST0001/ref=sr_1?tag=abc")
    assert [(found.product_id, found.url) for found in one.products] == [
        ("B0TEST0001", "https://www.amazon.in/x/dp/B0TEST0001/ref=sr_1")
    ]
    ids = understand(FLIPKART, "JWLTESTFSN000001, itm63daa46b80953")
    assert [found.url for found in ids.products] == [
        "https://www.flipkart.com/product/p/itme?pid=JWLTESTFSN000001",
        "https://www.flipkart.com/l/p/itm63daa46b80953",
    ]
    assert understand(MYNTRA, "29287056").products[0].url == "https://www.myntra.com/29287056"
    assert understand(AMAZON, "https://www.amazon.in/s?k=rings&rh=n%3A1").search.endswith("rh=n%3A1")
    # Other words make another run.
    assert understand(AMAZON, "a b").name == understand(AMAZON, " A  B ").name != understand(AMAZON, "a c").name


def test_files_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "ids.txt"
    text.write_text(
        "\ufeff# mine\nB0TEST0001\n\n  B0TEST0002 \nhttps://www.amazon.in/y/dp/B0TEST0003?x=1\nB0TEST0001\nwhat\n"
    )
    wanted = understand(AMAZON, str(text))
    assert [found.product_id for found in wanted.products] == ["B0TEST0001", "B0TEST0002", "B0TEST0003"]
    assert wanted.refused == ("what",)
    monkeypatch.chdir(tmp_path)
    Path("rings").write_text("B0TEST0001\n")
    assert understand(AMAZON, "./rings").products
    assert understand(AMAZON, "rings").search
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["Name", "ASINS"], ["x", "B0TEST0001"], [None, None], ["y", "B0TEST0009"]):
        book.active.append(row)
    book.save(tmp_path / "ids.xlsx")
    assert [found.product_id for found in understand(AMAZON, str(tmp_path / "ids.xlsx")).products] == [
        "B0TEST0001",
        "B0TEST0009",
    ]
    numbers = openpyxl.Workbook()
    assert numbers.active is not None
    numbers.active.append([29287056])
    numbers.save(tmp_path / "numbers.xlsx")
    assert understand(MYNTRA, str(tmp_path / "numbers.xlsx")).products[0].product_id == "29287056"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "give an address"),
        ("missing.txt", "there is no file"),
        ("https://www.flipkart.com/x/p/itm1", "is no address of Amazon.in"),
        ("https://www.amazon.in.evil.com/dp/B0TEST0001", "is no address of Amazon.in"),
        ("w" * 201, "at most 200 characters"),
    ],
)
def test_what_is_refused(given: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        understand(AMAZON, given)


def test_files_that_are_none(tmp_path: Path) -> None:
    for name, content in (("a.txt", b"nothing\nhere"), ("b.xlsx", b"PK no workbook"), ("c.csv", b"\x00\xff")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput):
            understand(AMAZON, str(tmp_path / name))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["amazon", "x", "--out", "p.pdf"], "the ending must be one of"),
        (["amazon", "missing.csv", "--out", "p.csv"], "there is no file"),
        (["amazon", "x", "--out", "p.csv", "--delay", "-1"], "scraper_delay"),
        (["amazon", "x", "--out", "p.csv", "--parallel", "99"], "scraper_pages"),
        (["amazon", "x", "--out", "p.csv", "--base-url", "shop"], "--base-url must begin"),
        (["amazon", "x", "--out", "p.csv", "--chromium", "/nowhere/chromium"], "there is no Chromium at /nowhere"),
        (["amazon", "x", "--out", "p.csv", "--chromium", "/bin/false"], "does not start"),
        (["check", "amazon", "--product", "nonsense"], "is no product of Amazon.in"),
        (["check", "amazon", "--html", "/nowhere.html"], "No such file"),
    ],
)
def test_wrong_usage_says_what_to_do(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if "/bin/false" in arguments:  # robots.txt is asked for first: nobody there
        arguments = [*arguments, "--base-url", "http://127.0.0.1:9", "--ignore-robots"]
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("p.*[!e]v"))


def test_secrets_are_not_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proxy = "http://me:hunter2@127.0.0.1:notaport"
    status = cli.main(["amazon", "x", "--out", str(tmp_path / "p.csv"), "--proxy", proxy, "--delay", "-1"])
    assert status == 2
    assert "hunter2" not in capsys.readouterr().err


def test_proxy_with_user_and_password() -> None:
    settings = proxy_settings(SecretStr("http://me:pw@proxy.test:3128"))
    assert settings == {"server": "http://proxy.test:3128", "username": "me", "password": "pw"}
    assert proxy_settings(None) is None


def test_chromium_is_found_or_the_way_to_get_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "chromium"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    assert find_chromium(fake) == fake
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_chromium() == fake
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("scrapers.browse.chromium.USUAL_PLACES", ())
    with pytest.raises(BrowserMissing, match="apt-get install chromium"):
        find_chromium()


def test_python_m_scrapers() -> None:
    done = subprocess.run([sys.executable, "-m", "scrapers", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "{amazon,flipkart,myntra}" in done.stdout


@pytest.mark.parametrize("site", ["amazon", "flipkart", "myntra"])
def test_the_canary_finds_everything_on_a_whole_page(site: str) -> None:
    html = render.product_page(site, goods(6), 1)
    checkup = canary.examine(SITES[site], html, "http://shop.test")
    assert checkup.lost == ()
    assert all(finding.by for finding in checkup.findings if finding.found)


def test_the_canary_names_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html = render.product_page("amazon", goods(6), 2)
    prices = ("corePriceDisplay_desktop", "buying-options-price-data", "customerVisiblePrice", "a-price-whole")
    for old in prices:
        html = html.replace(old, "renamed")
    html = html.replace("bylineInfo", "renamed").replace("feature-bullets", "renamed")
    saved = tmp_path / "page.html"
    saved.write_text(html)
    assert cli.main(["check", "amazon", "--html", str(saved), "-v"]) == 1
    said = capsys.readouterr().out
    assert "amazon: no longer found: price, bullets" in said  # the brand stands elsewhere too
    assert "bullets: nothing at css #feature-bullets li" in said
    assert "LOST" in said


@pytest.mark.browser
@pytest.mark.xdist_group("chromium")
class TestWithBrowser:
    """The commands against the local shop."""

    def check(self, shop: Shop, chromium: Path, *options: str) -> int:
        given = ["check", shop.site, "--base-url", shop.base, "--chromium", str(chromium), "--settle", "1"]
        return cli.main([*given, *options])

    def test_check_of_a_good_page_a_gone_one_and_a_captcha(
        self, shop: Shop, chromium: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.check(shop, chromium, "--product", goods(4).asin) == 0
        assert "every field that its pages should have was found" in capsys.readouterr().out
        assert self.check(shop, chromium) == 2  # the known products are not in this shop
        assert "none of the known products exists any more" in capsys.readouterr().out
        shop.faults[4] = Fault("captcha", 9)
        assert self.check(shop, chromium, "--product", goods(4).asin) == 3
        assert "captcha" in capsys.readouterr().out

    def test_images_and_catalogue(self, shop: Shop, scrape: Scrape, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pictures are downloaded and sent once; every format, the workbook with its sheets, and the verdicts."""
        monkeypatch.setenv("GATEWAY_API_KEY", "secret")
        monkeypatch.setenv("SCRAPER_IMAGE_DELAY", "0")
        with open_gateway() as gateway:
            gateway.key = "secret"
            sending = ("--into-catalogue", "--website", "blysk", "--gateway-url", gateway.base)
            also = ("--out", str(Path(shop.site + ".parquet")))
            monkeypatch.chdir(scrape("earrings", "--limit", "1", out="x.jsonl").out.parent)
            done = scrape("earrings", "--limit", "4", *sending, *also, out="products.xlsx")
            assert done.status == 0, done.said
            assert "catalogue: 4 new" in done.said
            assert len(gateway.uploads) == 4
            assert {upload["website"] for upload in gateway.uploads} == {"blysk"}
            again = scrape("earrings", "--limit", "4", *sending, "--all-images", *also, out="products.xlsx")
            total = sum(goods(number).pictures for number in range(4))
            assert f"catalogue: {total} new" in again.said
            assert len(gateway.uploads) == total  # what was sent is not sent again
        book = openpyxl.load_workbook(done.out)
        assert book.sheetnames == ["Products", "Images", "Specifications", "Variants", "Catalogue", "Failures"]
        assert book["Products"].max_row == 5
        assert book["Catalogue"].max_row == total + 1
        header, *rows = book["Images"].iter_rows(values_only=True)
        files = [row[header.index("file")] for row in rows if row[header.index("kind")] == "image"]
        assert all(Path(file).is_file() for file in files)
        assert Path("amazon.parquet").is_file()
        fetched = [target for _, target in shop.requests if target.startswith("/images/I/")]
        assert len(fetched) == len(set(fetched)) == total

    def test_a_gateway_that_is_not_there_leaves_the_table(self, shop: Shop, scrape: Scrape) -> None:
        done = scrape("earrings", "--limit", "1", "--into-catalogue", "--gateway-url", "http://127.0.0.1:9")
        assert done.status == 1
        assert "cannot be reached" in done.said
        assert len(done.rows) == 1
