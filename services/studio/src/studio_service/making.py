"""Other pictures of a product: what is asked, what was made; no Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jewelry_client import Client, File

from studio_service.api import Api
from studio_service.describing import Photo

# What the gateway calls the makers, and the role of the adapter behind each.
MAKERS = {"openai": "image_edits", "gemini": "image_variations"}
KINDS = ("ear", "nec", "bra")
MAX_VIEWS = 8
# A set of scenes, or variations, takes minutes; seconds.
SECONDS = 420.0


@dataclass(frozen=True)
class Order:
    """Views of one product, stored already, and what to make of them; `count` 0: the whole set of scenes."""

    urls: tuple[str, ...]
    kind: str
    maker: str = "openai"
    description: str = ""
    count: int = 0
    website: str = ""


@dataclass(frozen=True)
class Picture:
    """A made picture, or why there is none."""

    number: int
    url: str = ""
    portrait_url: str = ""
    error: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class Made:
    """What became of an order."""

    order: Order
    pictures: tuple[Picture, ...] = field(default=(), repr=False)
    zip_url: str = ""
    rupees: float = 0.0
    maker: str = ""

    @property
    def succeeded(self) -> int:
        """Pictures that are there."""
        return sum(bool(one.url) for one in self.pictures)

    @property
    def is_compared(self) -> bool:
        """Whether each picture was held against its source."""
        return self.order.maker == "openai"


def lacking(ready: Mapping[str, Any], maker: str) -> str:
    """What the service says that a maker lacks; empty where it can be asked."""
    for service in (ready.get("services") or {}).values():
        for adapter in service.get("adapters") or ():
            if adapter.get("role") == MAKERS[maker] and adapter.get("name") == "none":
                return str(adapter.get("detail") or "")
    return ""


def store(api: Api, photos: Sequence[Photo], website: str) -> list[str]:
    """Stores views, or finds those that are stored already; their addresses. Raises Problem."""

    async def call(client: Client) -> list[str]:
        urls = []
        for photo in photos:
            stored = await client.upload(File(photo.content, photo.name), website=website, sku=photo.sku)
            urls.append(str(stored.get("s3_url") or ""))
        return urls

    return [url for url in api.ask(call) if url]


def make(api: Api, order: Order) -> Made:
    """Has the pictures made. Raises Problem."""

    async def call(client: Client) -> dict[str, Any]:
        return await client.generate_images(
            list(order.urls),
            order.kind,
            product_desc=order.description,
            provider=order.maker,
            count=order.count or None,
            website=order.website,
        )

    return made(order, api.ask(call, SECONDS))


def made(order: Order, answer: Mapping[str, Any]) -> Made:
    """What an answer tells."""
    adapters = answer.get("adapters") or [{}]
    return Made(
        order,
        tuple(
            Picture(
                number=int(one.get("prompt_index") or 0) + 1,
                url=str(one.get("image_url") or ""),
                portrait_url=str(one.get("portrait_url") or ""),
                error=str(one.get("error") or ""),
                doubt=str(one.get("warning") or ""),
            )
            for one in answer.get("gen_images") or ()
        ),
        str(answer.get("zip_url") or ""),
        float((answer.get("cost") or {}).get("inr") or 0.0),
        " ".join(part for part in (adapters[0].get("name"), adapters[0].get("model_id")) if part),
    )
