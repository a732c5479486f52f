"""Websites, their buckets, and the addresses of objects: what both stores share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import SplitResult, quote, unquote, urlsplit

from objectstore.keys import check_key
from objectstore.settings import ObjectStoreSettings
from objectstore.types import ObjectRef
from servicekit import errors

# Virtual-hosted addresses with and without a region, and the older dash form.
_AWS_HOST = re.compile(r"(?P<bucket>[a-z0-9.-]+?)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_PORTS = {"http": 80, "https": 443}


class Addresses:
    """Knows the buckets of the websites and the three forms of address."""

    def __init__(self, settings: ObjectStoreSettings, given_out: str) -> None:
        """``given_out``: what every address that is given out starts with, with ``{bucket}`` in it."""
        self._websites: Mapping[str, str] = MappingProxyType(dict(settings.websites))
        self._by_bucket = {bucket: website for website, bucket in settings.websites.items()}
        self._default = settings.default_website
        self._given_out = given_out
        self._path_bases = [urlsplit(f"{settings.gateway_public_url}/files/")]
        if settings.aws_endpoint_url_s3:
            self._path_bases.append(urlsplit(settings.aws_endpoint_url_s3 + "/"))

    @property
    def websites(self) -> Mapping[str, str]:
        """Bucket of each website, in the order of the configuration."""
        return self._websites

    def bucket_for(self, website: str) -> str:
        """Bucket of a website; empty means the default one. Raises ``errors.InvalidArgument`` for an unknown one."""
        bucket = self._websites.get(website or self._default)
        if bucket is None:
            raise errors.InvalidArgument(
                f"there is no website of this name; use one of {', '.join(self._websites)}",
                reason="WEBSITE_UNKNOWN",
                fields={"website": f"must be one of {', '.join(self._websites)}"},
            )
        return bucket

    def website_of(self, bucket: str) -> str:
        """Website of a bucket. Raises ``errors.InvalidArgument`` for a bucket that is not ours."""
        website = self._by_bucket.get(bucket)
        if website is None:
            raise errors.InvalidArgument(
                "this bucket belongs to no website of ours; see BUCKET_MAP", reason="BUCKET_UNKNOWN"
            )
        return website

    def url(self, bucket: str, key: str) -> str:
        """The address that is given out for an object."""
        self.website_of(bucket)
        return f"{self._given_out.format(bucket=bucket)}/{quote(check_key(key), safe='/')}"

    def parse_url(self, url: str) -> ObjectRef | None:
        """The object behind an address of ours, in any of the three forms; None for any other address."""
        try:
            parts = urlsplit(url.strip())
            found = self._split(parts)
            if found is None:
                return None
            bucket, key = found[0], unquote(found[1], errors="strict")
            if bucket not in self._by_bucket:
                return None
            return ObjectRef(bucket, check_key(key))
        except (ValueError, errors.InvalidArgument):  # a broken port or escape, or a key that no object has
            return None

    def _split(self, parts: SplitResult) -> tuple[str, str] | None:
        """Bucket and still quoted key, when the address has one of the three forms."""
        if parts.scheme not in _PORTS or parts.username is not None:
            return None
        host = parts.hostname or ""
        aws = _AWS_HOST.fullmatch(host)
        if aws and parts.port in (None, _PORTS[parts.scheme]):
            return aws["bucket"], parts.path.removeprefix("/")
        for base in self._path_bases:
            if _origin(parts) == _origin(base) and parts.path.startswith(base.path):
                bucket, _, key = parts.path.removeprefix(base.path).partition("/")
                return bucket, key
        return None


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    host = parts.hostname or ""
    return parts.scheme, "localhost" if host in _LOOPBACK else host, parts.port or _PORTS.get(parts.scheme, 0)
