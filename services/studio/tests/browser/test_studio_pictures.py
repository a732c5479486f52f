"""Screens 6 and 7 through their whole tasks: pictures made by emulated providers, and what the system tells of them."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from services.studio.tests.browser.driving import Studio, keyed, press, running_studio, settled, upload
from tests import emulators
from tests.system import System, photo
from tests.system import upload as store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]
# Each picture is made, compared with its source and cut into forms; milliseconds.
MAKING = 180_000


@pytest.fixture(scope="module")
def openai() -> Iterator[emulators.Emulator]:
    with emulators.openai() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory, openai: emulators.Emulator) -> Iterator[Studio]:
    """The system with keys of emulated providers, and the studio."""
    folder = tmp_path_factory.mktemp("emulated")
    with emulators.gemini() as gemini:
        keys = {
            "GOOGLE_API_KEYS": "shop:emulated-1,shop:emulated-2,spare:emulated-3",
            "GOOGLE_GEMINI_BASE_URL": gemini.url,
            "OPENAI_API_KEY": "emulated",
            "OPENAI_BASE_URL": openai.url,
        }
        with System(folder, keys) as system, running_studio(folder, system.url) as url:
            yield Studio(url, system)


def make(page: Page, count: int, *files: Path) -> None:
    upload(page, "pictures.files", *files)
    keyed(page, "pictures.count", "input").fill(str(count))
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    page.get_by_text(f"of {count} pictures").or_(page.get_by_text(f"{count} में से")).first.wait_for(timeout=MAKING)
    settled(page)


def test_mock_ups(emulated: Studio, openai: emulators.Emulator, page: Page, shots: Callable[[Page, str], None]) -> None:
    openai.fault("other_product", operation="images.edits", times=1, skip=1)
    emulated.open(page, "pictures")
    make(page, 2, photo("ALY-EAR-002"))
    expect(page.get_by_text("2 of 2 pictures")).to_be_visible()
    expect(keyed(page, "made-1").locator("img")).to_have_count(2)
    shots(page, "pictures")
    with page.expect_download() as coming:
        keyed(page, "pictures.zip", "button").click()
    with zipfile.ZipFile(coming.value.path()) as archive:
        assert sum(name.endswith((".jpg", ".png", ".webp")) for name in archive.namelist()) >= 2
        assert archive.testzip() is None


def test_variations_on_a_phone_in_hindi(emulated: Studio, narrow: Page, shots: Callable[[Page, str], None]) -> None:
    emulated.open(narrow, "pictures", "lang=hi")
    narrow.get_by_role("radio", name="रूपांतर").or_(narrow.get_by_role("button", name="रूपांतर")).first.click()
    settled(narrow)
    make(narrow, 2, photo("ALY-EAR-002"))
    expect(narrow.get_by_text("रूपांतर स्रोत से नहीं मिलाए जाते", exact=False)).to_be_visible()
    shots(narrow, "pictures")


def test_without_a_key_the_screen_says_what_is_needed(studio: Studio, page: Page, tmp_path: Path) -> None:
    studio.open(page, "pictures")
    expect(page.get_by_text("mock-up pictures need OPENAI_API_KEY", exact=False)).to_be_visible()
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    expect(page.get_by_text("Choose a photo, or give the address of one, first.")).to_be_visible()
    upload(page, "pictures.files", photo("ALY-EAR-002"))
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    expect(page.get_by_text("Mock-up pictures are made by OpenAI and need a key", exact=False)).to_be_visible()
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture at all")
    studio.open(page, "pictures")
    upload(page, "pictures.files", broken)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").first.click()
    expect(page.get_by_role("alert").first).to_contain_text("picture")


def test_the_system(emulated: Studio, page: Page, shots: Callable[[Page, str], None]) -> None:
    with emulated.system.client() as client:
        urls = [
            store(client, photo(sku).read_bytes(), f"{sku}.jpg").json()["s3_url"]
            for sku in ("ALY-EAR-003", "ALY-EAR-005")
        ]
        for code in ("ama_ear", "mee_ear"):
            order = {"image_urls": urls, "skuids": ["A-1", "A-2"], "marketplace_type": code}
            assert client.post("/catalog-ai", json=order).json()["status"] == "succeeded"
    emulated.open(page, "system")
    for name in ("Embedding", "Picture index", "Analyzer", "Copywriter", "Exporter", "Collections"):
        expect(keyed(page, "services").get_by_text(name, exact=True).first).to_be_visible()
    expect(keyed(page, "services")).not_to_contain_text("Down")
    expect(keyed(page, "keys")).to_contain_text("shop")
    expect(keyed(page, "keys")).to_contain_text("Keys: 2")
    expect(keyed(page, "keys")).not_to_contain_text("emulated-")
    expect(page.get_by_test_id("stMetric").first).to_contain_text("₹")
    expect(page.get_by_test_id("stMetric").nth(1)).to_contain_text("4")
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()
    shots(page, "system")
    # A service that dies is told, and the screen goes on.
    emulated.system.kill("exporter")
    exporter = keyed(page, "service-exporter")
    deadline = time.monotonic() + 30
    # The gateway knows a state for a second.
    while "Down" not in exporter.inner_text() and time.monotonic() < deadline:
        press(page, "system.refresh")
    expect(exporter).to_contain_text("Down")
    emulated.system.start("exporter")
    emulated.system.wait_ready()


def test_the_system_on_a_phone_in_hindi(emulated: Studio, narrow: Page, shots: Callable[[Page, str], None]) -> None:
    emulated.open(narrow, "system", "lang=hi")
    expect(keyed(narrow, "services").get_by_text("तैयार").first).to_be_visible()
    shots(narrow, "system")
