"""How a page or a whole run fails."""

from __future__ import annotations

from typing import Literal

# gone: the site says that there is no such page. unparsed: a page that no parser recognises. disallowed: robots.txt.
# failed: everything that may be better the next time.
FailureKind = Literal["gone", "unparsed", "disallowed", "failed"]


class PageFailed(Exception):
    """One page could not be had. `retry` where another try may help, `wait` seconds that the site asks for."""

    def __init__(
        self, reason: str, *, kind: FailureKind = "failed", retry: bool = False, wait: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind: FailureKind = kind
        self.retry = retry
        self.wait = wait


class Throttled(PageFailed):
    """The site says that there were too many requests (429)."""


class SiteEnded(Exception):
    """The site wants no more requests: a captcha, a refusal, a long wait. The run ends and can go on later."""


class BrowserMissing(Exception):
    """There is no Chromium to drive, or it does not start."""
