"""The SDK's errors in this system's words. The provider's own message stays out: it may quote the key or the prompt."""

from __future__ import annotations

import re

import openai

from copywriter_service.adapters.retries import Failure
from servicekit import errors

# Seconds for which a refused key is not tried again: long enough to spare the provider a catalogue of requests,
# short enough that a mended key works soon.
KEY_PAUSE = 30.0
# Seconds for which an account without quota is not asked where the provider names no time.
QUOTA_PAUSE = 60.0
MAX_PAUSE = 24 * 3600.0

_REFUSED_CODES = (
    "content_policy_violation", "content_filter", "moderation_blocked", "invalid_prompt", "bio_policy",
    "misalignment_policy_violation", "image_content_policy_violation",
)  # fmt: skip
_PICTURE_CODES = re.compile(r"image")


def failure_of(error: openai.OpenAIError, model: str) -> Failure:
    """What an error of the SDK means for the caller, and whether to try again."""
    if isinstance(error, openai.APITimeoutError):
        return timed_out()
    if isinstance(error, openai.APIStatusError):
        return _status(error, model)
    if isinstance(error, openai.APIConnectionError):
        unreachable = errors.Unavailable(
            "the copy provider cannot be reached; check OPENAI_BASE_URL and the network",
            reason="PROVIDER_UNREACHABLE",
        )
        return Failure(unreachable, again=True)
    return bad_answer()


def timed_out() -> Failure:
    """The provider did not answer within the time of one attempt."""
    error = errors.Unavailable("the copy provider did not answer in time; try again later", reason="PROVIDER_TIMEOUT")
    return Failure(error, again=True)


def refused() -> Failure:
    """The model, or a filter before or behind it, does not write about this product."""
    return Failure(
        errors.FailedPrecondition(
            "the model refused to write about this picture or these attributes; change them, or write the copy by hand",
            reason="PROVIDER_REFUSED",
        ),
        again=False,
    )


def bad_answer() -> Failure:
    """What came back is no answer that can be read."""
    return Failure(
        errors.Unavailable("the copy provider answered something unreadable; try again", reason="PROVIDER_BAD_ANSWER"),
        again=False,
    )


def failed_response(code: str) -> Failure:
    """The provider took the request and failed while it answered."""
    if code in _REFUSED_CODES:
        return refused()
    if code == "rate_limit_exceeded":
        return _too_many(None)
    return _down("failed while it wrote", None)


def _status(error: openai.APIStatusError, model: str) -> Failure:
    status, code = int(error.status_code), str(error.code or "")
    if status in (401, 403):
        refused_key = errors.Unavailable(
            "the copy provider refuses the key; set a valid OPENAI_API_KEY",
            reason="PROVIDER_KEY_REFUSED",
            retry_after=KEY_PAUSE,
        )
        return Failure(refused_key, again=False, pause=KEY_PAUSE)
    if status == 429:
        return _limited(error, code)
    if status == 404:
        unknown = errors.FailedPrecondition(
            f"the copy provider does not know the model {model}; set OPENAI_MODEL to one that it lists",
            reason="PROVIDER_MODEL_UNKNOWN",
        )
        return Failure(unknown, again=False)
    if status in (408, 409) or status >= 500:
        return _down(f"failed with status {status}", retry_after(error))
    if code in _REFUSED_CODES:
        return refused()
    if _PICTURE_CODES.search(code):
        picture = errors.InvalidArgument(
            "the copy provider cannot read the picture; send another one", reason="IMAGE_UNREADABLE"
        )
        return Failure(picture, again=False)
    rejected = errors.FailedPrecondition(
        f"the copy provider rejects the request with status {status}; check OPENAI_MODEL and OPENAI_BASE_URL",
        reason="PROVIDER_REJECTED",
    )
    return Failure(rejected, again=False)


def _limited(error: openai.APIStatusError, code: str) -> Failure:
    wait = retry_after(error)
    if code == "insufficient_quota" or str(error.type or "") == "insufficient_quota":
        wait = QUOTA_PAUSE if wait is None else wait
        gone = errors.ResourceExhausted(
            "the copy provider's quota is used up; wait, or raise the limit of the account",
            reason="PROVIDER_QUOTA_GONE",
            retry_after=wait,
        )
        return Failure(gone, again=False, pause=wait)
    return _too_many(wait)


def _too_many(wait: float | None) -> Failure:
    limited = errors.ResourceExhausted(
        "the copy provider takes no more requests for now; try again after the time given",
        reason="PROVIDER_RATE_LIMITED",
        retry_after=wait,
    )
    return Failure(limited, again=True, pause=wait)


def _down(what: str, wait: float | None) -> Failure:
    down = errors.Unavailable(f"the copy provider {what}; try again later", reason="PROVIDER_DOWN", retry_after=wait)
    return Failure(down, again=True)


def retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds that the provider asks to wait (`retry-after-ms`, else `retry-after` in seconds); None if it does not."""
    headers = error.response.headers
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * scale
        except ValueError:
            continue
        if 0 <= seconds <= MAX_PAUSE:
            return seconds
    return None
