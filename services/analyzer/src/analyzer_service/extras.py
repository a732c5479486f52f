"""The parts of the service beside reading pictures of products: bills, sizes, variations."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer_service.adapters.base import AdapterInfo
from analyzer_service.adapters.bill_readers import GeminiBillReader, LocalBillReader
from analyzer_service.adapters.gemini import GeminiConnection
from analyzer_service.adapters.gemini_images import GeminiPictures
from analyzer_service.adapters.gemini_json import GeminiJson
from analyzer_service.adapters.gemini_models import ModelWatch
from analyzer_service.adapters.gemini_plans import GeminiPlanner
from analyzer_service.adapters.measurers import GeminiMeasurer, RulerMeasurer
from analyzer_service.bills.desk import Bills
from analyzer_service.dimensions import Dimensions
from analyzer_service.settings import Settings
from analyzer_service.variations import Variations
from objectstore import open_store


@dataclass(frozen=True)
class Extras:
    """Three domains with their adapters."""

    bills: Bills
    dimensions: Dimensions
    variations: Variations

    async def info(self) -> tuple[AdapterInfo, AdapterInfo]:
        """Who reads bills and who makes variations."""
        maker = self.variations.maker
        none = AdapterInfo("image_variations", "none", False, detail="no key configured: set GOOGLE_API_KEY")
        return await self.bills.reader.info(), none if maker is None else await maker.info()

    async def close(self) -> None:
        """Ends threads and connections."""
        await self.bills.reader.close()
        await self.variations.store.close()


def local(settings: Settings) -> Extras:
    """The stand-ins; nothing here makes pictures."""
    reader = LocalBillReader(settings.ocr_threads)
    return Extras(Bills(reader), Dimensions(RulerMeasurer()), Variations(open_store(settings)))


def gemini(settings: Settings, connection: GeminiConnection, watch: ModelWatch) -> Extras:
    """Gemini for all three, through one pool of keys."""
    model = GeminiJson(connection, watch, model=settings.gemini_model, thinking=settings.gemini_thinking)
    return Extras(
        Bills(GeminiBillReader(model), GeminiPlanner(model)),
        Dimensions(GeminiMeasurer(model, settings.temperature_dimensions)),
        Variations(open_store(settings), GeminiPictures(connection, watch, model=settings.gemini_image_model)),
    )
