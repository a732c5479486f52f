"""The SDK's errors in this system's words. The provider's own message stays out: it may quote the key or the prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Task:
    """What was asked of the provider, in the words of its errors.

    Attributes:
        setting: The variable that names the model.
        refused: A sentence for the caller whom the provider's safety system refuses.
    """

    model: str
    setting: str
    refused: str


_WRITING_REFUSED = (
    "the model refused to write about this picture or these attributes; change them, or write the copy by hand"
)
_EDITING_REFUSED = (
    "the provider's safety system refused this picture; leave this prompt out, or change the source pictures or the "
    "description"
)
LISTING = Task("", "OPENAI_API_KEY", _WRITING_REFUSED)


def writing(model: str) -> Task:
    """Writing copy."""
    return Task(model, "OPENAI_MODEL", _WRITING_REFUSED)


def editing(model: str) -> Task:
    """Making pictures from pictures."""
    return Task(model, "OPENAI_IMAGE_MODEL", _EDITING_REFUSED)


def failure_of(error: openai.OpenAIError, task: Task) -> Failure:
    """What an error of the SDK means for the caller, and whether to try again."""
    if isinstance(error, openai.APITimeoutError):
        return timed_out()
    if isinstance(error, openai.APIStatusError):
        return _status(error, task)
    if isinstance(error, openai.APIConnectionError):
        unreachable = errors.Unavailable(
            "the provider cannot be reached; check OPENAI_BASE_URL and the network",
            reason="PROVIDER_UNREACHABLE",
        )
        return Failure(unreachable, again=True)
    return bad_answer()


def timed_out() -> Failure:
    """The provider did not answer within the time of one attempt."""
    error = errors.Unavailable("the provider did not answer in time; try again later", reason="PROVIDER_TIMEOUT")
    return Failure(error, again=True)


def refused(sentence: str = _WRITING_REFUSED) -> Failure:
    """The model, or a filter before or behind it, does not work on this product."""
    return Failure(errors.FailedPrecondition(sentence, reason="PROVIDER_REFUSED"), again=False)


def bad_answer() -> Failure:
    """What came back is no answer that can be read."""
    return Failure(
        errors.Unavailable("the provider answered something unreadable; try again", reason="PROVIDER_BAD_ANSWER"),
        again=False,
    )


def failed_response(code: str) -> Failure:
    """The provider took the request and failed while it answered."""
    if code in _REFUSED_CODES:
        return refused()
    if code == "rate_limit_exceeded":
        return _too_many(None)
    return _down("failed while it worked", None)


def _status(error: openai.APIStatusError, task: Task) -> Failure:
    status, code = int(error.status_code), str(error.code or "")
    if status in (401, 403):
        refused_key = errors.Unavailable(
            "the provider refuses the key; set a valid OPENAI_API_KEY",
            reason="PROVIDER_KEY_REFUSED",
            retry_after=KEY_PAUSE,
        )
        return Failure(refused_key, again=False, pause=KEY_PAUSE)
    if status == 429:
        return _limited(error, code)
    if status == 404:
        unknown = errors.FailedPrecondition(
            f"the provider does not know the model {task.model}; set {task.setting} to one that it lists",
            reason="PROVIDER_MODEL_UNKNOWN",
        )
        return Failure(unknown, again=False)
    if status in (408, 409) or status >= 500:
        return _down(f"failed with status {status}", retry_after(error))
    if code in _REFUSED_CODES:
        return refused(task.refused)
    if _PICTURE_CODES.search(code):
        picture = errors.InvalidArgument(
            "the provider cannot read the picture; send another one", reason="IMAGE_UNREADABLE"
        )
        return Failure(picture, again=False)
    rejected = errors.FailedPrecondition(
        f"the provider rejects the request with status {status}; check {task.setting} and OPENAI_BASE_URL",
        reason="PROVIDER_REJECTED",
    )
    return Failure(rejected, again=False)


def _limited(error: openai.APIStatusError, code: str) -> Failure:
    wait = retry_after(error)
    if code == "insufficient_quota" or str(error.type or "") == "insufficient_quota":
        wait = QUOTA_PAUSE if wait is None else wait
        gone = errors.ResourceExhausted(
            "the provider's quota is used up; wait, or raise the limit of the account",
            reason="PROVIDER_QUOTA_GONE",
            retry_after=wait,
        )
        return Failure(gone, again=False, pause=wait)
    return _too_many(wait)


def _too_many(wait: float | None) -> Failure:
    limited = errors.ResourceExhausted(
        "the provider takes no more requests for now; try again after the time given",
        reason="PROVIDER_RATE_LIMITED",
        retry_after=wait,
    )
    return Failure(limited, again=True, pause=wait)


def _down(what: str, wait: float | None) -> Failure:
    down = errors.Unavailable(f"the provider {what}; try again later", reason="PROVIDER_DOWN", retry_after=wait)
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
