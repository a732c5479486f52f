"""Tells others that a job has ended: a signed POST through the guard that outside pictures pass too."""

from __future__ import annotations

import hashlib
import hmac
import time

from pydantic import SecretStr

from gateway_service.fetch import Fetcher
from servicekit import errors

SIGNATURE = "X-Jewelry-Signature"


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """`t=<seconds since 1970>,v1=<hex of HMAC-SHA256 over "t.body">`; a receiver refuses old timestamps."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class SignedWebhooks:
    """Posts signed bodies. `secret` is the gateway's own, for jobs that bring none."""

    def __init__(self, fetcher: Fetcher, secret: SecretStr) -> None:
        self._fetcher = fetcher
        self._secret = secret

    def check(self, url: str, secret: str) -> None:
        """Raises `errors.InvalidArgument` for an address that will never be called, or a call that nobody can sign."""
        try:
            self._fetcher.check(url)
        except errors.InvalidArgument as error:
            raise _invalid(error.message) from None
        if not (secret or self._secret.get_secret_value()):
            raise _invalid("a webhook is signed: send webhook_secret, or set GATEWAY_WEBHOOK_SECRET")

    async def deliver(self, url: str, secret: str, body: bytes) -> None:
        """Posts a signed body.

        Raises:
            errors.InvalidArgument: The guard refuses the address, or the receiver said that it will never take it.
            errors.Unavailable: Nobody took it now.
        """
        key = secret or self._secret.get_secret_value()
        headers = {"Content-Type": "application/json", SIGNATURE: signature(key, int(time.time()), body)}
        status = await self._fetcher.post(url, body, headers)
        if status in (404, 410):
            raise errors.InvalidArgument(f"its receiver answered {status}", reason="WEBHOOK_GONE")
        if not 200 <= status < 300:
            raise errors.Unavailable(f"its receiver answered {status}", reason="WEBHOOK_REFUSED")


def _invalid(sentence: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(sentence, reason="WEBHOOK_INVALID", fields={"webhook_url": sentence})
