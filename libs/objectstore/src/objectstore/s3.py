"""The real store: S3, or a server that speaks its protocol, through boto3."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from objectstore.addresses import Addresses
from objectstore.folder import refuse_larger
from objectstore.keys import check_key
from objectstore.settings import ObjectStoreSettings
from objectstore.threads import Threads
from objectstore.types import ObjectInfo, StoredObject
from servicekit import errors
from servicekit.tracing import traced

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
_WORKERS = 16
_CONNECT_TIMEOUT_S = 2.0
_SILENCE_S = 5.0  # without a byte; short, so that a store that hung holds no worker once it is well again
_ATTEMPTS = 2  # in all; a fault that lasts belongs to the caller, who has a deadline
_CONFLICT_TRIES = 5
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}


class S3Store(Addresses):
    """Objects in S3. Conditional puts use If-None-Match, so the server must honour it (AWS, MinIO, Ceph do)."""

    name = "s3"
    embedded = False
    page_size = 1000
    """Keys asked for at once by ``list``; S3 gives no more."""

    def __init__(self, settings: ObjectStoreSettings) -> None:
        """Touches no network. Raises ``ValueError`` when the secret key is missing."""
        own = settings.aws_endpoint_url_s3
        super().__init__(settings, f"{own}/{{bucket}}" if own else "https://{bucket}.s3.amazonaws.com")
        if settings.aws_access_key_id is None or settings.aws_secret_access_key is None:
            raise ValueError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed together")
        self._settings = settings
        self._threads = Threads("the object store", "OBJECT_STORE", _WORKERS, 256, settings.object_store_timeout)
        client: S3Client = boto3.session.Session(
            aws_access_key_id=settings.aws_access_key_id.get_secret_value(),
            aws_secret_access_key=settings.aws_secret_access_key.get_secret_value(),
            aws_session_token=(settings.aws_session_token.get_secret_value() if settings.aws_session_token else None),
            region_name=settings.aws_region,
        ).client(
            "s3",
            endpoint_url=own or None,
            config=Config(
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=_SILENCE_S,
                retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
                max_pool_connections=_WORKERS,
                s3={"addressing_style": "path" if own else "virtual"},
                request_checksum_calculation="when_required",  # other servers than AWS refuse the newer trailers
                response_checksum_validation="when_required",
            ),
        )
        self._client = traced(client, "s3", is_answer=_is_answer)

    async def check(self) -> None:
        """Proves that every bucket can be reached; makes missing ones with ``S3_CREATE_BUCKETS=true``."""
        for bucket in self.websites.values():
            try:
                await self._run(bucket, functools.partial(self._client.head_bucket, Bucket=bucket))
            except errors.NotFound:
                if not self._settings.s3_create_buckets:
                    raise _no_bucket(bucket) from None
                await self._run(bucket, functools.partial(self._make, bucket))

    async def put(self, bucket: str, key: str, data: bytes, content_type: str, if_absent: bool = False) -> bool:
        """See ``ObjectStore.put``."""
        self._known(bucket, key)
        only_new: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}

        def write() -> bool:
            try:
                self._client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type, **only_new)
            except ClientError as error:
                if if_absent and _status(error) == 412:
                    return False
                raise
            return True

        for attempt in range(_CONFLICT_TRIES):
            try:
                return await self._run(bucket, write)
            except errors.Aborted:  # S3 answers 409 while another conditional put to the key is under way
                if attempt + 1 == _CONFLICT_TRIES:
                    raise
                await asyncio.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")

    async def get(self, bucket: str, key: str, max_bytes: int | None = None) -> StoredObject:
        """See ``ObjectStore.get``."""
        self._known(bucket, key)

        def read() -> StoredObject:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            with answer["Body"] as body:
                refuse_larger(answer["ContentLength"], max_bytes)
                data = body.read()
            return StoredObject(bucket, key, data, answer["ContentType"], answer["LastModified"])

        return await self._run(bucket, read)

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """See ``ObjectStore.head``."""
        self._known(bucket, key)
        answer = await self._run(bucket, lambda: self._client.head_object(Bucket=bucket, Key=key))
        return ObjectInfo(bucket, key, answer["ContentLength"], answer["LastModified"], answer["ContentType"])

    async def delete(self, bucket: str, key: str) -> bool:
        """See ``ObjectStore.delete``. S3 itself does not tell whether the object was there, so it is asked first."""
        try:
            await self.head(bucket, key)
        except errors.NotFound:
            return False
        await self._run(bucket, lambda: self._client.delete_object(Bucket=bucket, Key=key))
        return True

    async def list(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """See ``ObjectStore.list``."""
        self.website_of(bucket)
        ask = functools.partial(self._client.list_objects_v2, Bucket=bucket, Prefix=prefix, MaxKeys=self.page_size)
        more: dict[str, Any] = {}
        while True:
            page = await self._run(bucket, functools.partial(ask, **more))
            for item in page.get("Contents", []):
                yield ObjectInfo(bucket, item["Key"], item["Size"], item["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def close(self) -> None:
        """Lets go of threads and connections."""
        self._threads.close()
        self._client.close()

    def _known(self, bucket: str, key: str) -> None:
        self.website_of(bucket)
        check_key(key)

    def _make(self, bucket: str) -> None:
        region = self._settings.aws_region
        if region == "us-east-1":  # the one region that refuses its own name here
            self._client.create_bucket(Bucket=bucket)
        else:
            where: Any = {"LocationConstraint": region}
            self._client.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)

    async def _run(self, bucket: str, work: Callable[[], T]) -> T:
        try:
            return await self._threads.run(work)
        except ClientError as error:
            raise _typed(error, bucket) from error
        except BotoCoreError as error:  # refused, reset, timed out, no route
            raise errors.Unavailable(
                "the object store cannot be reached; try again later", reason="OBJECT_STORE_DOWN"
            ) from error


def _is_answer(error: BaseException) -> bool:
    """No such object, or one that is there already: what callers ask to know."""
    return isinstance(error, ClientError) and _status(error) in (404, 409, 412)


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _no_bucket(bucket: str) -> errors.ServiceError:
    return errors.FailedPrecondition(
        f"the bucket {bucket} does not exist; create it, or change BUCKET_MAP", reason="BUCKET_MISSING"
    )


def _typed(error: ClientError, bucket: str) -> errors.ServiceError:
    """S3's answer as one of our errors.

    Refused credentials are UNAVAILABLE, not PERMISSION_DENIED: the caller of the service did nothing wrong.
    """
    status, code = _status(error), error.response["Error"].get("Code", "")
    if code == "NoSuchBucket":
        return _no_bucket(bucket)
    if status == 404:
        return errors.NotFound("there is no such object", reason="OBJECT_NOT_FOUND")
    if status in (401, 403) or code in _DENIED:
        return errors.Unavailable(
            f"the object store refuses the service's credentials for the bucket {bucket}; check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and the bucket's policy",
            reason="OBJECT_STORE_DENIED",
        )
    if status == 409:
        return errors.Aborted("another write to this object is under way; try again", reason="OBJECT_CONFLICT")
    if status == 507 or "StorageFull" in code or "Quota" in code:
        return errors.Unavailable("the object store is full; free some space", reason="OBJECT_STORE_FULL")
    if status in (429, 503):
        return errors.Unavailable(
            "the object store asks for fewer requests; try again shortly", reason="OBJECT_STORE_BUSY", retry_after=1.0
        )
    if status >= 500:
        return errors.Unavailable("the object store failed; try again later", reason="OBJECT_STORE_DOWN")
    return errors.Internal(f"the object store answered {status} {code}", reason="OBJECT_STORE_ERROR")
