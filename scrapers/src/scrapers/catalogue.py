"""Sending downloaded pictures to the catalogue: the gateway's `POST /upload-and-index`, one picture at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import SecretStr

from scrapers.outcome import Picture, Upload
from scrapers.values import seconds_to_wait

PATH = "/upload-and-index"
TIMEOUT = 60.0  # seconds; the gateway embeds and stores before it answers
TRIES = 4
MAX_WAIT = 120.0  # seconds that a Retry-After may ask for
_RETRY = (429, 502, 503, 504)
_DUPLICATES = ("exact", "duplicate")


class CatalogueRefused(Exception):
    """The gateway takes nothing from us: wrong key, or nobody there."""


class Catalogue:
    """A gateway that takes pictures.

    Args:
        client: with the gateway's address as its base.
        website: which of the catalogue's websites the pictures go to; empty for the gateway's default.
        key: the API key, where the gateway asks for one.
        backoff: seconds before the first retry; doubles each time.
    """

    def __init__(
        self, client: httpx.AsyncClient, website: str = "", key: SecretStr | None = None, *, backoff: float = 2.0
    ) -> None:
        self._client = client
        self._website = website
        self._key = key
        self._backoff = backoff
        self._answered = False

    async def send(self, picture: Picture) -> Upload:
        """What the gateway says about one picture. A refusal of this picture is an answer too.

        Raises:
            CatalogueRefused: the gateway cannot be reached, or refuses the key.
        """
        try:
            data = await asyncio.to_thread(Path(picture.file).read_bytes)
        except OSError as error:
            return Upload(
                picture.product_id, picture.url, "failed", reason=f"the file cannot be read: {error.strerror}"
            )
        body, content_type = self._form(Path(picture.file).name, picture.media_type, data)
        headers = {"Content-Type": content_type, "Idempotency-Key": hashlib.sha256(body).hexdigest()}
        if self._key is not None:
            headers["X-API-Key"] = self._key.get_secret_value()
        answer = await self._post(body, headers)
        if answer.status_code in (401, 403):
            raise CatalogueRefused(
                f"the gateway refuses the API key (status {answer.status_code}): set GATEWAY_API_KEY"
            )
        if answer.status_code != 200:
            return Upload(picture.product_id, picture.url, "failed", reason=_problem(answer))
        return _upload(picture, answer)

    def _form(self, name: str, media_type: str, data: bytes) -> tuple[bytes, str]:
        """The multipart body, the same for the same picture: an idempotency key stands for one body."""
        boundary = hashlib.sha256(data).hexdigest()[:40]
        request = self._client.build_request(
            "POST",
            PATH,
            data={"website": self._website} if self._website else {},
            files={"file": (name, data, media_type)},
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        return request.read(), request.headers["Content-Type"]

    async def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        for attempt in range(TRIES):
            wait = self._backoff * 2**attempt
            try:
                answer = await self._client.post(PATH, content=body, headers=headers, timeout=TIMEOUT)
            except httpx.TransportError as error:
                nobody = isinstance(error, httpx.ConnectError) and not self._answered
                if nobody or attempt == TRIES - 1:
                    raise CatalogueRefused(
                        f"the gateway at {self._client.base_url} cannot be reached ({type(error).__name__}): "
                        "start it, or set GATEWAY_URL"
                    ) from error
            else:
                self._answered = True
                if answer.status_code not in _RETRY or attempt == TRIES - 1:
                    return answer
                asked = seconds_to_wait(answer.headers.get("retry-after"), datetime.now(UTC))
                if asked is not None and asked > MAX_WAIT:
                    return answer
                wait = asked if asked is not None else wait
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")


def _upload(picture: Picture, answer: httpx.Response) -> Upload:
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return Upload(picture.product_id, picture.url, "failed", reason="the gateway's answer is no JSON object")
    verdict = said.get("verdict")
    stored = said.get("s3_url")
    matches = said.get("matches")
    known = verdict in _DUPLICATES
    return Upload(
        picture.product_id,
        picture.url,
        "duplicate" if known else "stored",
        verdict if isinstance(verdict, str) else "",
        stored if isinstance(stored, str) else "",
        len(matches) if isinstance(matches, list) else 0,
    )


def _problem(answer: httpx.Response) -> str:
    """The sentence of a problem+json answer, or its status."""
    try:
        said = answer.json()
    except ValueError:
        said = None
    detail = said.get("detail") or said.get("title") if isinstance(said, dict) else None
    return f"{answer.status_code}: {detail}"[:300] if isinstance(detail, str) else f"status {answer.status_code}"


def summary(uploads: Iterable[Upload]) -> str:
    """How many pictures got which verdict, in one sentence."""
    counts = Counter(upload.verdict or upload.status for upload in uploads)
    return ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items())) or "nothing sent"
