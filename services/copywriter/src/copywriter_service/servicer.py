"""Decodes requests, calls the copywriter, encodes replies."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jewelry.copywriter.v1 import copywriter_pb2 as pb
from jewelry.copywriter.v1 import copywriter_pb2_grpc
from jewelry.type.v1 import type_pb2

from copywriter_service import data_store
from copywriter_service.adapters.cache import Cache, Key
from copywriter_service.collection import Collection, Collections, Product
from copywriter_service.copywriter import Copywriter
from copywriter_service.domain import (
    DEFAULT_LANGUAGE,
    AdapterInfo,
    Attribute,
    CopyText,
    Cost,
    Entry,
    Finding,
    Order,
    Origin,
)
from copywriter_service.mending import mend
from copywriter_service.mockups import Commission, Mockup, Mockups
from copywriter_service.rulebook import rules_for
from servicekit import deadlines, errors, images

# What a request may hold: more than any product needs, little enough to check in milliseconds.
MAX_PICTURES = 8
MAX_ATTRIBUTES = 400
MAX_VALUE = 2_000
MAX_FACTS = 50_000
MAX_TEXT = 10_000
MAX_COPY = 30_000
MAX_BULLETS = 50
MAX_CLAIMS = 50
MAX_PRODUCTS = 100
MAX_CLAIM = 200
MAX_BRAND = 100
MAX_PROMPTS = 100
MAX_SOURCES = 48 * 2**20
MAX_PAGE = 1_000
DEFAULT_PAGE = 100

_ORIGINS = {
    Origin.MODEL: pb.COPY_ORIGIN_MODEL,
    Origin.COMPOSED: pb.COPY_ORIGIN_COMPOSED,
    Origin.PERSON: pb.COPY_ORIGIN_PERSON,
    Origin.IMPORTED: pb.COPY_ORIGIN_IMPORTED,
}


class CopywriterServicer(copywriter_pb2_grpc.CopywriterServiceServicer):
    """`jewelry.copywriter.v1.CopywriterService`.

    Args:
        providers: The adapters in use, as GetProviders tells them.
    """

    def __init__(
        self, copywriter: Copywriter, collections: Collections, cache: Cache, mockups: Mockups,
        providers: Callable[[], Sequence[AdapterInfo]],
    ) -> None:  # fmt: skip
        self._copywriter = copywriter
        self._collections = collections
        self._cache = cache
        self._mockups = mockups
        self._providers = providers

    async def WriteCopy(self, request: pb.WriteCopyRequest, context: Any) -> pb.WriteCopyResponse:
        """Copy from the cache, or written."""
        outcome = await self._copywriter.write(_order(request), deadlines.remaining())
        return pb.WriteCopyResponse(
            copy=_copy(outcome.copy, outcome.origin, outcome.model_id, outcome.prompt_version),
            cached=outcome.cached,
            findings=_findings(outcome.findings),
            adapter=_adapter(outcome.adapter),
            cost=_cost(outcome.cost),
        )

    async def WriteCollection(self, request: pb.WriteCollectionRequest, context: Any) -> pb.WriteCollectionResponse:
        """Title and description of a collection."""
        named = await self._collections.name(_collection(request), deadlines.remaining())
        return pb.WriteCollectionResponse(
            title=named.copy.title,
            description=named.copy.description,
            findings=_findings(named.findings),
            adapter=_adapter(named.adapter),
            cost=_cost(named.cost),
        )

    async def CheckClaims(self, request: pb.CheckClaimsRequest, context: Any) -> pb.CheckClaimsResponse:
        """What breaks a rule, and the copy with what code can mend."""
        rules = rules_for(request.marketplace_code, request.language or DEFAULT_LANGUAGE)
        text = _text(request.copy)
        # The longest copy takes a second or two.
        mended, findings = await asyncio.to_thread(mend, text, rules, _claims(request.seller_claims))
        answer = pb.Copy(
            title=mended.title, bullet_points=mended.bullets, description=mended.description,
            origin=request.copy.origin, model_id=request.copy.model_id, prompt_version=request.copy.prompt_version,
        )  # fmt: skip
        return pb.CheckClaimsResponse(findings=_findings(findings), mended=answer)

    async def GetCopy(self, request: pb.GetCopyRequest, context: Any) -> pb.GetCopyResponse:
        """The entry that WriteCopy would use."""
        key = (_sku(request.sku), request.marketplace_code, request.language or DEFAULT_LANGUAGE)
        return pb.GetCopyResponse(entry=_entry(await self._copywriter.get(key)))

    async def PutCopy(self, request: pb.PutCopyRequest, context: Any) -> pb.PutCopyResponse:
        """Stores a person's copy."""
        asked = request.entry
        if asked.picture_sha256 and not re.fullmatch(r"[0-9a-f]{64}", asked.picture_sha256):
            raise errors.InvalidArgument(
                "picture_sha256 is no SHA-256 in small hexadecimal letters; leave it empty if it is not known",
                fields={"entry.picture_sha256": "64 hexadecimal digits or empty"},
            )
        entry = Entry(
            sku=_sku(asked.sku), code=asked.marketplace_code, language=asked.language or DEFAULT_LANGUAGE,
            copy=_text(asked.copy), origin=Origin.PERSON, picture_sha256=asked.picture_sha256,
        )  # fmt: skip
        return pb.PutCopyResponse(findings=_findings(await self._copywriter.put(entry)))

    async def DeleteCopy(self, request: pb.DeleteCopyRequest, context: Any) -> pb.DeleteCopyResponse:
        """Forgets entries."""
        deleted = await self._copywriter.delete(_sku(request.sku), request.marketplace_code)
        return pb.DeleteCopyResponse(deleted=deleted)

    async def ListCopies(self, request: pb.ListCopiesRequest, context: Any) -> pb.ListCopiesResponse:
        """A page of entries."""
        if not 0 <= request.page_size <= MAX_PAGE:
            raise errors.InvalidArgument(
                f"page_size is 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}", fields={"page_size": f"1 to {MAX_PAGE}"}
            )
        after = _from_token(request.page_token)
        size = request.page_size or DEFAULT_PAGE
        entries, last = await self._copywriter.page(size, after, request.sku_prefix)
        return pb.ListCopiesResponse(
            entries=[_entry(entry) for entry in entries], next_page_token=_to_token(last) if last else ""
        )

    async def ImportCopies(self, request: pb.ImportCopiesRequest, context: Any) -> pb.ImportCopiesResponse:
        """Takes over a `data_store.json`."""
        found = data_store.parse(request.data_store)
        await self._cache.import_entries(found.entries, found.layout)
        return pb.ImportCopiesResponse(imported=len(found.entries), problems=found.problems)

    async def ExportCopies(self, request: pb.ExportCopiesRequest, context: Any) -> pb.ExportCopiesResponse:
        """The cache as a `data_store.json`."""
        return pb.ExportCopiesResponse(data_store=data_store.render(await self._cache.holdings()))

    async def GenerateImages(self, request: pb.GenerateImagesRequest, context: Any) -> pb.GenerateImagesResponse:
        """Mock-up pictures."""
        made = await self._mockups.generate(_commission(request), deadlines.remaining())
        return pb.GenerateImagesResponse(
            images=[_mockup(item) for item in made.mockups],
            zip_url=made.zip_url,
            adapter=_adapter(made.adapter),
            cost=_cost(made.cost),
        )

    async def GetProviders(self, request: pb.GetProvidersRequest, context: Any) -> pb.GetProvidersResponse:
        """Who answers."""
        return pb.GetProvidersResponse(adapters=[_adapter(info) for info in self._providers()])


def _order(request: pb.WriteCopyRequest) -> Order:
    _counted("pictures", request.pictures, MAX_PICTURES)
    _counted("attributes", request.attributes, MAX_ATTRIBUTES)
    for picture in request.pictures:
        images.inspect(picture.content)
    for item in request.attributes:
        for value in item.values:
            _bounded(f"attributes.{item.field[:60]}", value, MAX_VALUE)
    facts = sum(len(item.field) + sum(map(len, item.values)) for item in request.attributes)
    if facts > MAX_FACTS:
        raise errors.InvalidArgument(
            f"the attributes have more than {MAX_FACTS} characters in all; send those of this product only",
            fields={"attributes": f"at most {MAX_FACTS} characters"},
        )
    return Order(
        code=request.marketplace_code,
        language=request.language or DEFAULT_LANGUAGE,
        sku=_sku(request.sku) if request.sku else "",
        pictures=tuple(picture.content for picture in request.pictures),
        attributes=tuple(
            Attribute(item.field, tuple(item.values), item.confidence) for item in request.attributes if item.values
        ),
        brand=_bounded("brand", request.brand, MAX_BRAND).strip(),
        brand_voice=_bounded("brand_voice", request.brand_voice, MAX_VALUE).strip(),
        seller_claims=_claims(request.seller_claims),
    )


def _collection(request: pb.WriteCollectionRequest) -> Collection:
    _counted("products", request.products, MAX_PRODUCTS)
    facts = sum(
        len(product.name) + sum(len(item.field) + sum(map(len, item.values)) for item in product.attributes)
        for product in request.products
    )
    if facts > MAX_FACTS:
        raise errors.InvalidArgument(
            f"the products have more than {MAX_FACTS} characters in all; send fewer, or less of each",
            fields={"products": f"at most {MAX_FACTS} characters"},
        )
    return Collection(
        products=tuple(
            Product(
                product.name,
                tuple(Attribute(item.field, tuple(item.values)) for item in product.attributes if item.values),
            )
            for product in request.products
        ),
        wish=_bounded("wish", request.wish, MAX_VALUE).strip(),
        language=request.language or DEFAULT_LANGUAGE,
    )


def _commission(request: pb.GenerateImagesRequest) -> Commission:
    _counted("pictures", request.pictures, MAX_PICTURES)
    _counted("prompt_indexes", request.prompt_indexes, MAX_PROMPTS)
    for picture in request.pictures:
        images.inspect(picture.content)
    size = sum(len(picture.content) for picture in request.pictures)
    if size > MAX_SOURCES:
        raise errors.InvalidArgument(
            f"the pictures have {size / 2**20:.0f} MiB in all; at most {MAX_SOURCES // 2**20} MiB are taken",
            reason="IMAGE_TOO_LARGE",
            fields={"pictures": f"at most {MAX_SOURCES // 2**20} MiB"},
        )
    return Commission(
        pictures=tuple(picture.content for picture in request.pictures),
        product_type=request.product_type,
        product_desc=_bounded("product_desc", request.product_desc, MAX_VALUE),
        style=request.style,
        prompt_indexes=tuple(request.prompt_indexes),
        website=request.website,
        max_inr_micros=request.max_inr_micros,
    )


def _mockup(made: Mockup) -> pb.GeneratedImage:
    answer = pb.GeneratedImage(
        prompt_index=made.prompt_index, url=made.url, portrait_url=made.portrait_url, suspect=made.suspect,
        suspect_reason=made.suspect_reason,
    )  # fmt: skip
    if made.error is not None:
        answer.error.reason, answer.error.message = made.error.reason, made.error.message
    return answer


def _sku(sku: str) -> str:
    if not sku.strip() or len(sku) > data_store.MAX_SKU or not sku.isprintable():
        raise errors.InvalidArgument(
            f"sku has 1 to {data_store.MAX_SKU} characters and no control characters", fields={"sku": "not valid"}
        )
    return sku


def _claims(claims: Sequence[str]) -> tuple[str, ...]:
    _counted("seller_claims", claims, MAX_CLAIMS)
    return tuple(_bounded("seller_claims", claim, MAX_CLAIM) for claim in claims)


def _counted(name: str, items: Sequence[object], limit: int) -> None:
    if len(items) > limit:
        raise errors.InvalidArgument(f"at most {limit} {name} are taken", fields={name: f"at most {limit}"})


def _bounded(name: str, text: str, limit: int) -> str:
    if len(text) > limit:
        raise errors.InvalidArgument(
            f"{name} has more than {limit} characters; shorten it", fields={name: f"at most {limit} characters"}
        )
    return text


def _text(copy: pb.Copy) -> CopyText:
    _counted("bullet_points", copy.bullet_points, MAX_BULLETS)
    text = CopyText(
        title=_bounded("title", copy.title, MAX_TEXT),
        bullets=tuple(_bounded("bullet_points", text, MAX_TEXT) for text in copy.bullet_points),
        description=_bounded("description", copy.description, MAX_TEXT),
    )
    _bounded("copy", "".join(content for _, content in text.texts()), MAX_COPY)
    return text


def _copy(text: CopyText, origin: Origin, model_id: str, prompt_version: str) -> pb.Copy:
    return pb.Copy(
        title=text.title, bullet_points=text.bullets, description=text.description, origin=_ORIGINS[origin],
        model_id=model_id, prompt_version=prompt_version,
    )  # fmt: skip


def _entry(entry: Entry) -> pb.CopyEntry:
    answer = pb.CopyEntry(
        sku=entry.sku, marketplace_code=entry.code, language=entry.language, picture_sha256=entry.picture_sha256,
        copy=_copy(entry.copy, entry.origin, entry.model_id, entry.prompt_version),
    )  # fmt: skip
    answer.update_time.FromMilliseconds(round(entry.updated * 1000))
    return answer


def _findings(findings: Iterable[Finding]) -> list[pb.ClaimFinding]:
    return [
        pb.ClaimFinding(
            part=item.place, rule=item.rule, start=item.start, end=item.end, message=item.message, mended=item.mended
        )
        for item in findings
    ]


def _adapter(info: AdapterInfo) -> type_pb2.Adapter:
    return type_pb2.Adapter(
        role=info.role, name=info.name, embedded=info.embedded, model_id=info.model_id, detail=info.detail,
        shutdown_date=info.shutdown_date,
    )  # fmt: skip


def _cost(cost: Cost) -> type_pb2.Cost:
    return type_pb2.Cost(
        calls=cost.calls, input_tokens=cost.input_tokens, output_tokens=cost.output_tokens, inr_micros=cost.inr_micros
    )


def _to_token(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _from_token(token: str) -> Key | None:
    if not token:
        return None
    try:
        sku, code, language = json.loads(base64.urlsafe_b64decode(token.encode()))
        if not all(isinstance(item, str) for item in (sku, code, language)):
            raise ValueError("not three texts")
    except ValueError as error:
        raise errors.InvalidArgument(
            "page_token is none of ours; begin again without one", fields={"page_token": "not valid"}
        ) from error
    return sku, code, language
