"""Takes pictures in: the verdict, and storing what is new, each once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from objectstore import ObjectStore
from servicekit import errors, images
from vision_index_service import verdict
from vision_index_service.candidates import Candidates, Judged, norm
from vision_index_service.claims import Claim, Claims, Label, row_id
from vision_index_service.inflight import InFlight, KeyedLocks
from vision_index_service.model import Decision, EmbeddingModel, Print, Row, Vector, VectorStore
from vision_index_service.reading import Reader
from vision_index_service.search import DEFAULT_TOP_K, top_k_of
from vision_index_service.shelf import Shelf
from vision_index_service.shown import is_exotic
from vision_index_service.verdict import Thresholds

logger = logging.getLogger(__name__)
_CLAIM_TRIES = 5


@dataclass(frozen=True)
class Upload:
    """A picture to store, as it came: ``original_name`` and ``sku`` are kept with the row."""

    image: bytes
    website: str = ""
    original_name: str = ""
    sku: str = ""
    skip_duplicate_check: bool = False
    duplicate_distance: float | None = None


@dataclass(frozen=True)
class Stored:
    """What became of an upload; ``indexed`` is false when another file's picture was returned."""

    indexed: bool
    id: str
    url: str
    decision: Decision


class Ingest:
    """Every step can be repeated: ids come from content, writes are upserts, the object comes before the row."""

    def __init__(
        self,
        reader: Reader,
        vectors: VectorStore,
        objects: ObjectStore,
        candidates: Candidates,
        locks: KeyedLocks,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``locks`` are shared with those who delete."""
        self._reader, self._vectors, self._objects = reader, vectors, objects
        self._candidates, self._locks, self._clock = candidates, locks, clock
        self._claims, self._shelf, self._in_flight = Claims(objects), Shelf(objects), InFlight()

    async def check(
        self, image: bytes, website: str = "", asked: float | None = None, top_k: int = DEFAULT_TOP_K
    ) -> Decision:
        """The verdict on a picture; stores nothing.

        Raises ``errors.InvalidArgument`` for what is no picture, an unknown website or a wrong threshold.
        """
        bucket = self._objects.bucket_for(website)
        count = top_k_of(top_k)
        picture, vector, model = await self._reader.both(image)
        thresholds = self._reader.thresholds(model, asked)
        judged = await self._candidates.judged(bucket, picture, vector, model, thresholds, count)
        return judged.decision(count)

    async def upload(self, upload: Upload) -> Stored:
        """Stores a picture unless it is known; raises as ``check``. Nothing is stored for a refused picture.

        The same bytes sent at once, here or to other replicas, end as one object and one row.
        """
        images.inspect(upload.image)
        bucket = self._objects.bucket_for(upload.website)
        wanted = row_id(bucket, hashlib.sha256(upload.image).hexdigest())
        async with self._locks.hold(wanted):
            model = await self._reader.model()
            thresholds = self._reader.thresholds(model, upload.duplicate_distance)
            if known := await self._known(model, wanted):
                await self._heal(known, upload.image)
                return self._stored_again(known, model, thresholds)
            # One after the other: a file that is damaged further in costs no vector.
            picture = await self._reader.print(upload.image)
            vector, model = await self._reader.vector(upload.image)
            thresholds = self._reader.thresholds(model, upload.duplicate_distance)

            def same(other: Print, its_vector: Vector) -> bool:
                squared = float(np.sum((its_vector - vector) ** 2)) if its_vector.shape == vector.shape else np.inf
                return verdict.pair_verdict(picture, other, squared, thresholds)[0].stops_upload

            async with self._in_flight.enter(bucket, picture, vector, same):
                return await self._judge_and_store(upload, bucket, picture, vector, model, thresholds)

    async def _judge_and_store(
        self,
        upload: Upload,
        bucket: str,
        picture: Print,
        vector: Vector,
        model: EmbeddingModel,
        thresholds: Thresholds,
    ) -> Stored:
        judged = await self._candidates.judged(bucket, picture, vector, model, thresholds, DEFAULT_TOP_K)
        if not upload.skip_duplicate_check:
            judged = await self._only_alive(judged)
        decision = judged.decision(DEFAULT_TOP_K)
        if decision.match and decision.verdict.stops_upload and not upload.skip_duplicate_check:
            return Stored(False, decision.match.row.id, decision.match.url, decision)
        row = await self._store(upload, bucket, picture, vector, model)
        return Stored(True, row.id, self._objects.url(row.bucket, row.key), decision)

    async def _known(self, model: EmbeddingModel, wanted: str) -> Row | None:
        return (await self._vectors.get(await self._vectors.space(model), [wanted])).get(wanted)

    def _stored_again(self, row: Row, model: EmbeddingModel, thresholds: Thresholds) -> Stored:
        url = self._objects.url(row.bucket, row.key)
        return Stored(True, row.id, url, verdict.stored_again(row, url, model, thresholds))

    async def _heal(self, row: Row, image: bytes) -> None:
        """Puts a stored picture's objects back should somebody have removed them behind the index."""
        keys = [row.key, row.original_key] if row.original_key else [row.key]
        if not all([await self._shelf.exists(row.bucket, key) for key in keys]):
            logger.warning("an object of row %s was missing and is put back", row.id)
            await self._put(row.bucket, row.key, row.original_key, image, row.print.content_type)

    async def _put(self, bucket: str, key: str, original_key: str, image: bytes, content_type: str) -> None:
        shown = await self._reader.shown(image) if original_key else None
        await self._shelf.put(bucket, key, original_key, image, content_type, shown)

    async def _only_alive(self, judged: Judged) -> Judged:
        """Leaves out rows that would stop the upload although their object is gone: their address leads nowhere."""
        while (best := judged.decision(1).match) is not None and best.verdict.stops_upload:
            if await self._shelf.exists(best.row.bucket, best.row.key):
                break
            logger.warning("row %s has no object; run Repair", best.row.id)
            judged = judged.without(best.row.id)
        return judged

    async def _store(self, upload: Upload, bucket: str, picture: Print, vector: Vector, model: EmbeddingModel) -> Row:
        """Claim, object, row, in this order; each may be repeated after a crash, and by another replica."""
        space = await self._vectors.space(model)
        wanted = row_id(bucket, picture.sha_bytes)
        exotic = is_exotic(upload.image)
        label = Label(upload.original_name, upload.sku)
        for _ in range(_CLAIM_TRIES):
            claim = await self._claims.take(bucket, picture, label, exotic, self._clock())
            # Asked again under the claim: whoever finished in between has left a row and no claim.
            if known := await self._known(model, wanted):
                await self._claims.drop(bucket, wanted)
                return known
            if claim is None:
                continue
            if earlier := await self._row_of_other_model(space, wanted):
                claim = Claim(earlier.key, earlier.created, earlier.original_key, earlier.original_name, earlier.sku)
            await self._put(bucket, claim.key, claim.original_key, upload.image, picture.content_type)
            row = Row(
                id=wanted,
                bucket=bucket,
                key=claim.key,
                url=self._objects.url(bucket, claim.key),
                website=self._objects.website_of(bucket),
                print=picture,
                model_id=model.id,
                sku=upload.sku or claim.sku,
                original_name=upload.original_name or claim.original_name,
                created=claim.created,
                norm=norm(vector),
                original_key=claim.original_key,
            )
            await self._vectors.upsert(space, [(row, vector)])
            await self._claims.drop(bucket, wanted)
            return row
        raise errors.Aborted("this picture is being stored and deleted at once; try again", reason="UPLOAD_CONFLICT")

    async def _row_of_other_model(self, space: str, wanted: str) -> Row | None:
        """The picture's row from before the model changed: its object and time stay what they are."""
        for other in await self._vectors.other_spaces(space):
            if row := (await self._vectors.get(other, [wanted])).get(wanted):
                return row
        return None
