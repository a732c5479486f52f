"""Describing one picture: told apart from what is known, stored, then named."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway_service.model import Caption, Picture, Upload
from servicekit import errors


class Index(Protocol):
    """Tells duplicates from new pictures and stores each once."""

    async def upload(
        self,
        content: bytes,
        *,
        website: str = "",
        original_name: str = "",
        skip_duplicate_check: bool = False,
        duplicate_distance: float | None = None,
        sku: str = "",
    ) -> Upload:
        """Stores the picture unless it is known; safe to repeat."""
        ...


class Captioner(Protocol):
    """Names and describes a product."""

    async def caption(self, pictures: Sequence[Picture], product_type: str) -> Caption:
        """`product_type` is empty where it is to be found out."""
        ...


class StoredButUnread(errors.ServiceError):
    """The picture was stored, but could not be described; `code` of the cause decides what kind of error this is."""

    def __init__(self, cause: errors.ServiceError, s3_url: str) -> None:
        super().__init__(
            "the picture is stored and indexed, but it could not be described: "
            f"{cause.message}; send it again with check_duplicate=no to describe it",
            reason=cause.reason,
            retry_after=cause.retry_after,
        )
        self.cause_code = cause.code
        self.s3_url = s3_url


class Respite:
    """Turns pictures away for a moment after the analyzer said that it is full, before they are read and stored.

    One that is stored first and refused then costs several times as much, and is left without a description.

    Args:
        longest: Seconds; then a picture tries again whatever was said, as room may have come free sooner.
        clock: Monotonic, in seconds.
    """

    def __init__(self, longest: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = longest
        self._clock = clock
        self._until = 0.0

    def check(self) -> None:
        """Raises errors.ResourceExhausted while it lasts."""
        left = self._until - self._clock()
        if left > 0:
            raise errors.ResourceExhausted(
                "as many pictures as can be are being described; send it again", reason="QUEUE_FULL", retry_after=left
            )

    def heed(self, error: errors.ServiceError) -> None:
        """Begins where the error says that there is no room."""
        if isinstance(error, errors.ResourceExhausted):
            self._until = self._clock() + min(self._longest, error.retry_after or self._longest)


@dataclass(frozen=True)
class Described:
    """A stored picture with its description; none for a picture that is a duplicate."""

    upload: Upload
    caption: Caption | None


async def describe(
    index: Index,
    captioner: Captioner,
    respite: Respite,
    content: bytes,
    *,
    name: str,
    product_type: str,
    website: str,
    sku: str,
    check_duplicate: bool,
    duplicate_distance: float | None,
) -> Described:
    """Stores the picture and describes it. A duplicate is answered with what is stored, and is not described.

    Args:
        name: Name of the file as the user knows it.
        product_type: earrings, necklace, bracelet or ring; empty: find out.
        duplicate_distance: Largest squared L2 that counts as duplicate; None: the model's own.

    Raises:
        StoredButUnread: The picture is stored, but has no description.
        errors.ServiceError: The picture is not stored.
    """
    respite.check()
    upload = await index.upload(
        content,
        website=website,
        original_name=name,
        skip_duplicate_check=not check_duplicate,
        duplicate_distance=duplicate_distance,
        sku=sku,
    )
    if check_duplicate and upload.decision.stops:
        return Described(upload, None)
    try:
        caption = await captioner.caption([Picture(content, upload.url)], product_type)
    except errors.ServiceError as error:
        respite.heed(error)
        raise StoredButUnread(error, upload.url) from error
    return Described(upload, caption)
