"""The client: one method per path of the REST API."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
from httpx_sse import EventSource, SSEError

from jewelry_client import jobs
from jewelry_client.errors import ConnectionFailed, from_response, retry_after
from jewelry_client.jobs import Event, Job
from jewelry_client.overview import Answer, Overview, object_of
from jewelry_client.settings import ClientSettings

# A full gateway, or one that restarts, is asked again as often as this, and for no longer in all than this; seconds.
TRIES = 5
LONGEST_WAIT = 60.0
# How often a job's state is asked for where no events come.
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class File:
    """A file to send."""

    content: bytes
    name: str = "file"
    content_type: str = "application/octet-stream"

    @classmethod
    def read(cls, path: Path) -> File:
        """The file at a path."""
        return cls(path.read_bytes(), path.name)


class Client(Overview):
    """An asynchronous client; use it as `async with Client(url, key) as client`.

    Raises from every method:
        ApiError: The gateway refused or failed; `detail` says what to do.
        ConnectionFailed: It cannot be reached.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """What is left out comes from the environment: `JEWELRY_URL`, `JEWELRY_API_KEY`, `JEWELRY_TIMEOUT`."""
        settings = ClientSettings()
        key = api_key or (settings.api_key.get_secret_value() if settings.api_key else "")
        self._http = httpx.AsyncClient(
            base_url=url or settings.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout or settings.timeout, connect=10.0),
            transport=transport,
        )

    async def __aenter__(self) -> Client:
        """Gives itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Closes the connections."""
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    # Pictures

    async def upload(self, picture: File, *, website: str = "", check_duplicate: bool = True, sku: str = "") -> Answer:
        """Stores and indexes a picture unless it is known: `s3_url`, `indexed`, `verdict`, `matches`."""
        return await self._send_file("/upload-and-index", picture, _form(website, check_duplicate, sku=sku))

    async def caption(
        self,
        picture: File,
        *,
        product_type: str = "auto",
        website: str = "",
        check_duplicate: bool = True,
        sku: str = "",
    ) -> Answer:
        """Stores a picture and describes it: `name`, `description`, `attributes`, ...; or says that it is known."""
        form = _form(website, check_duplicate, sku=sku, type=product_type)
        return await self._send_file("/generate_caption", picture, form)

    async def search(
        self, picture: File | str, *, top_k: int = 10, website: str = "", threshold: float | None = None
    ) -> Answer:
        """Stored pictures near a file or near the picture at an address, nearest first."""
        fields = _without_empty({"top_k": top_k, "website": website, "threshold": threshold})
        if isinstance(picture, File):
            return await self._send_file("/image-search", picture, fields)
        return await self._send_json("/image-search", {"image_url": picture, **fields})

    async def delete(self, urls: Sequence[str], *, dry_run: bool = False) -> Answer:
        """Deletes stored pictures by exact address: `results` with a status each."""
        return await self._send_json("/delete_image", {"s3_url": list(urls), "dry_run": dry_run})

    async def generate_images(self, urls: Sequence[str], product_type: str, **fields: Any) -> Answer:
        """Other pictures of a product: `gen_images` with a status each, `zip_url`."""
        body = {"s3_urls": list(urls), "product_type": product_type, **_without_empty(fields)}
        return await self._send_json("/generate-images", body, once=True)

    # Catalogues and jobs

    async def catalogue(
        self,
        image_urls: Sequence[str | Sequence[str]],
        skus: Sequence[str],
        marketplace_type: str,
        *,
        wait: bool = False,
        variations: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Job:
        """Brings products into a workbook.

        Args:
            image_urls: Addresses of the pictures, one entry per product; an entry may be several.
            skus: As many.
            marketplace_type: One of the ten codes.
            wait: Whether to wait for the result; otherwise the job comes back at once.
            variations: `number_of_grps`, `group_sizes`, `variations_category`, `size_available`; None: no families.
            fields: More fields, such as website, template_id, seller, dry_run, max_cost.
        """
        body = {
            "image_urls": [entry if isinstance(entry, str) else list(entry) for entry in image_urls],
            "skuids": list(skus),
            "marketplace_type": marketplace_type,
            **(variations or {}),
            **_without_empty(fields),
        }
        path = "/catalog-ai" if variations is None else "/catalog_ai_variations"
        headers = {} if wait else {"Prefer": "respond-async"}
        response = await self._send(path, json=body, headers=headers, once=True)
        answer = object_of(response)
        if response.status_code != httpx.codes.ACCEPTED:
            return jobs.from_answer(answer)
        return jobs.job({"id": response.headers.get("location", "").rstrip("/").rpartition("/")[2], **answer})

    async def jobs(self) -> list[Job]:
        """The jobs, as the gateway lists them."""
        listed = (await self._get("/jobs")).json()
        entries = listed.get("jobs", []) if isinstance(listed, dict) else listed
        return [jobs.job(entry) for entry in entries]

    async def job(self, job_id: str, *, results: bool = True) -> Job:
        """The state of a job and its products; those that have ended in full, unless `results` is false."""
        return jobs.job(object_of(await self._get(f"/jobs/{job_id}", None if results else {"results": "false"})))

    async def cancel(self, job_id: str) -> Job:
        """Stops a job; what is finished stays."""
        return jobs.job(await self._send_json(f"/jobs/{job_id}/cancel", {}))

    async def resume(self, job_id: str) -> Job:
        """Runs what failed or was cancelled; nothing finished is paid for again."""
        return jobs.job(await self._send_json(f"/jobs/{job_id}/resume", {}))

    async def review(self, job_id: str) -> Answer:
        """Fields that a person should look at."""
        return object_of(await self._get(f"/jobs/{job_id}/review"))

    async def correct(self, job_id: str, sku: str, fields: Mapping[str, Any], **copy: Any) -> Answer:
        """A person's values for a product of a job; `copy`: title, bullet_points, description."""
        path = f"/jobs/{job_id}/items/{quote(sku, safe='')}"
        return object_of(await self._send(path, json={"fields": dict(fields), **copy}, method="PATCH"))

    async def export(self, job_id: str) -> Answer:
        """Writes the workbook of a job again; asks no model."""
        return await self._send_json(f"/jobs/{job_id}/export", {})

    async def events(self, job_id: str, *, after: str = "") -> AsyncIterator[Event]:
        """What happens to a job, until it ends; a connection that breaks is resumed where it broke."""
        last, breaks = after, 0
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
            # A job may be silent for long; the stream has no deadline of its own.
            timeout = httpx.Timeout(self._http.timeout.connect, read=None)
            try:
                async with self._http.stream(
                    "GET", f"/jobs/{job_id}/events", headers=headers, timeout=timeout
                ) as response:
                    if response.is_error:
                        await response.aread()
                        raise from_response(response)
                    async for sent in EventSource(response).aiter_sse():
                        last, breaks = sent.id or last, 0
                        yield Event(last, sent.event, _data(sent.data))
                    return
            except (httpx.TransportError, SSEError) as error:
                breaks += 1
                if breaks >= TRIES:
                    raise ConnectionFailed(f"the events of job {job_id} broke off") from error
                await asyncio.sleep(min(2.0**breaks / 10, 5.0))

    async def follow(self, job_id: str) -> AsyncIterator[Job]:
        """The state of a job each time that something happened to it, the last one ended.

        Goes by the job's events, and asks now and then where none come.
        """
        state = await self.job(job_id)
        yield state
        events = self.events(job_id)
        following: asyncio.Task[Event] | None = None
        try:
            while not state.ended:
                following = following or asyncio.ensure_future(anext(events))
                await asyncio.wait([following], timeout=POLL_SECONDS * 5)
                if following.done():
                    if following.exception() is not None:
                        await asyncio.sleep(POLL_SECONDS)
                    else:
                        following = None
                        # Items come in bursts: one look at the job serves them all.
                        await asyncio.sleep(0.2)
                state = await self.job(job_id)
                yield state
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            await events.aclose()  # type: ignore[attr-defined]  # a generator, whatever its annotation says

    async def wait(self, job_id: str) -> Job:
        """The job when it has ended."""
        async for state in self.follow(job_id):
            last = state
        return last

    async def close_workbook(self, marketplace_type: str, *, website: str = "") -> Answer:
        """Closes the open workbook of a marketplace code; the next one is new."""
        body = _without_empty({"marketplace_type": marketplace_type, "website": website})
        return await self._send_json("/clear_excel_file", body)

    # Templates

    async def templates(self, *, marketplace_type: str = "", website: str = "") -> list[Answer]:
        """Templates, newest first, built-in ones included."""
        query = _without_empty({"marketplace_type": marketplace_type, "website": website})
        found = object_of(await self._get("/templates", query))["templates"]
        return [dict(one) for one in found]

    async def template(self, template_id: str) -> Answer:
        """One template with its columns."""
        return object_of(await self._get(f"/templates/{template_id}"))

    async def register_template(self, workbook: File, marketplace_type: str, *, website: str = "") -> Answer:
        """Takes a seller's own workbook: `template_id`, `columns`, `required`, `warnings`."""
        form = _without_empty({"marketplace_type": marketplace_type, "website": website})
        return await self._send_file("/templates", workbook, form)

    # Bills and collections

    async def read_bill(self, pages: Sequence[File], *, prompt: str = "") -> Answer:
        """A bill as a table: `table`, `extracted_data`, `extras`, `checks`."""
        files = [("image", (page.name, page.content, page.content_type)) for page in pages]
        response = await self._send("/process-image-and-prompt", files=files, data=_without_empty({"prompt": prompt}))
        return object_of(response)

    async def refine(
        self, data: Sequence[Mapping[str, Any]], *, columns: Sequence[str] = (), manual: str = ""
    ) -> Answer:
        """Some rows and columns of a table: `data`, `filtered_csv`."""
        return await self._send_json("/further_req", {"data": list(data), "columns": list(columns), "manual": manual})

    async def collection(self, **needs: Any) -> Answer:
        """Products for a collection: `jewelry_ids`, `collection_title`, `matches`."""
        return await self._send_json("/semantic_filter_jewelry", _without_empty(needs))

    # The gateway itself

    async def ready(self) -> Answer:
        """State of every service, whether all are ready or not."""
        response = await self._get("/readyz", fine=(503,))
        return object_of(response)

    async def download(self, url: str, to: Path) -> Path:
        """Writes what is at an address that the gateway gave out to a file; gives its path."""
        own = httpx.URL(url).host == self._http.base_url.host and httpx.URL(url).port == self._http.base_url.port
        # The key goes to the gateway only, not to an object store.
        plain = httpx.AsyncClient(timeout=self._http.timeout, follow_redirects=True)
        async with plain:
            source = self._http if own else plain
            try:
                async with source.stream("GET", url) as response:
                    if response.is_error:
                        await response.aread()
                        raise from_response(response)
                    with to.open("wb") as out:
                        async for chunk in response.aiter_bytes():
                            out.write(chunk)
            except httpx.TransportError as error:
                raise ConnectionFailed(f"{url} could not be downloaded") from error
        return to

    async def _get(self, path: str, query: Mapping[str, Any] | None = None, fine: Sequence[int] = ()) -> httpx.Response:
        return await self._send(path, method="GET", params=query, fine=fine)

    async def _send_json(self, path: str, body: Mapping[str, Any], *, once: bool = False) -> Answer:
        return object_of(await self._send(path, json=dict(body), once=once))

    async def _send_file(self, path: str, file: File, form: Mapping[str, Any]) -> Answer:
        sent = {"file": (file.name, file.content, file.content_type)}
        return object_of(await self._send(path, files=sent, data=dict(form)))

    async def _send(
        self, path: str, *, method: str = "POST", once: bool = False, fine: Sequence[int] = (), **sent: Any
    ) -> httpx.Response:
        """Sends a request, again where the gateway asks for patience.

        Args:
            path: Path at the gateway.
            method: HTTP method.
            once: Send an idempotency key, so that a repetition pays for nothing twice.
            fine: Statuses that are no error here.
            sent: What httpx takes.
        """
        headers = dict(sent.pop("headers", {}))
        if once:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        waited = 0.0
        for attempt in range(1, TRIES + 1):
            pause = min(0.2 * 2**attempt, 5.0)
            try:
                response = await self._http.request(method, path, headers=headers, **sent)
            except httpx.ConnectError as error:
                if attempt == TRIES or waited + pause > LONGEST_WAIT:
                    raise ConnectionFailed(f"no gateway answers at {self._http.base_url}") from error
            except httpx.TransportError as error:
                raise ConnectionFailed(f"the gateway broke off: {type(error).__name__}") from error
            else:
                if not response.is_error or response.status_code in fine:
                    return response
                asked = retry_after(response)
                pause = pause if asked is None else asked
                patient = response.status_code == 429 or (response.status_code == 503 and asked is not None)
                if not patient or attempt == TRIES or waited + pause > LONGEST_WAIT:
                    raise from_response(response)
            waited += pause
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


def _form(website: str, check_duplicate: bool, **fields: Any) -> dict[str, Any]:
    return _without_empty({"website": website, "check_duplicate": "yes" if check_duplicate else "no", **fields})


def _without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in ("", None) and value != {}}


def _data(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        return {"text": text}
    return body if isinstance(body, dict) else {"value": body}
