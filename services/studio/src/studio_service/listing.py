"""From drafts to a job: the estimate, the upload, the order; no Streamlit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jewelry_client import Client, File, JewelryError, Job

from studio_service.api import WORK_SECONDS, Api
from studio_service.describing import Photo
from studio_service.gathering import Draft
from studio_service.problems import Problem

UPLOADS_AT_ONCE = 4


@dataclass(frozen=True)
class Where:
    """What is to become of the products.

    Attributes:
        code: One of the marketplace codes.
        template_id: Empty: the gateway's choice.
        seller: Values for all products.
    """

    code: str
    website: str = ""
    template_id: str = ""
    seller: Mapping[str, str] = field(default_factory=dict)
    max_cost: float | None = None


@dataclass(frozen=True)
class LeftOut:
    """A product that could not be sent, and why."""

    sku: str
    problem: Problem


def estimate(api: Api, code: str, website: str, pictures: Sequence[int]) -> dict[str, Any]:
    """What a job would cost and take: `calls`, `inr`, `minutes`, ...; nothing is stored or paid for it.

    Args:
        pictures: How many pictures each product has.
    """
    addresses = [[f"https://dry-run.invalid/{row}-{view}.jpg" for view in range(n)] for row, n in enumerate(pictures)]
    skus = [f"SKU-{row}" for row in range(len(pictures))]

    async def asked(client: Client) -> Job:
        return await client.catalogue(addresses, skus, code, website=website, dry_run=True)

    return dict(api.read(asked).raw)


def store(
    api: Api, drafts: Sequence[Draft], website: str, told: Callable[[int, int], None]
) -> tuple[list[Draft], list[LeftOut]]:
    """Stores the photos of the drafts; gives the drafts with addresses, and those that failed.

    Args:
        told: Called with the number of drafts done and of all.
    """
    stored: list[Draft] = []
    left_out: list[LeftOut] = []
    for start in range(0, len(drafts), UPLOADS_AT_ONCE):
        batch = drafts[start : start + UPLOADS_AT_ONCE]

        async def upload(client: Client, some: Sequence[Draft] = batch) -> list[tuple[str, ...] | JewelryError]:
            return await asyncio.gather(*(_addresses(client, draft, website) for draft in some))

        for draft, found in zip(batch, api.ask(upload), strict=True):
            if isinstance(found, JewelryError):
                left_out.append(LeftOut(draft.sku, api.problem(found)))
            else:
                stored.append(Draft(draft.sku, found, draft.values))
        told(start + len(batch), len(drafts))
    return stored, left_out


def start(api: Api, drafts: Sequence[Draft], where: Where) -> str:
    """Starts the job for stored drafts; gives its id. Raises Problem."""
    by_sku = {draft.sku: dict(draft.values) for draft in drafts if draft.values}
    seller: dict[str, Any] = {**where.seller, **({"by_sku": by_sku} if by_sku else {})}
    addresses = [[one for one in draft.pictures if isinstance(one, str)] for draft in drafts]

    async def asked(client: Client) -> Job:
        return await client.catalogue(
            addresses,
            [draft.sku for draft in drafts],
            where.code,
            website=where.website,
            template_id=where.template_id,
            seller=seller,
            max_cost=where.max_cost,
        )

    return api.ask(asked, WORK_SECONDS).id


async def _addresses(client: Client, draft: Draft, website: str) -> tuple[str, ...] | JewelryError:
    """Addresses of a draft's pictures; its failure is its own."""

    async def address(picture: Photo | str) -> str:
        if isinstance(picture, str):
            return picture
        # Views of one product look alike: what counts as known here is the same file only.
        file = File(picture.content, picture.name)
        answer = await client.upload(file, website=website, sku=draft.sku, check_duplicate=False)
        return str(answer["s3_url"])

    try:
        return tuple([await address(picture) for picture in draft.pictures])
    except JewelryError as error:
        return error
