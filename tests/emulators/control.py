"""What both emulators share: the request log, scripted faults, quotas and the routes that steer them."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from threading import Lock

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LOG_LIMIT = 50_000


class FaultKind(StrEnum):
    """How a request goes wrong."""

    RATE_LIMIT_MINUTE = "rate_limit_minute"
    RATE_LIMIT_DAY = "rate_limit_day"
    SERVER_ERROR = "server_error"
    HANG = "hang"
    BROKEN_JSON = "broken_json"
    TRUNCATED = "truncated"
    BROKEN_BODY = "broken_body"
    REVOKED = "revoked"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    OTHER_PRODUCT = "other_product"


class Fault(BaseModel):
    """One scripted fault. It applies to the next `times` requests that match; `times=None` means until reset."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    model: str | None = None
    key: str | None = Field(default=None, description="an API key or its label")
    operation: str | None = Field(default=None, description="such as generateContent or responses")
    times: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0, description="matching requests let through first")
    retry_after: float = Field(default=30.0, ge=0, description="seconds told to the client")
    seconds: float = Field(default=30.0, ge=0, description="how long a hang lasts")
    status: int | None = Field(default=None, description="status of server_error and revoked")


class Config(BaseModel):
    """Behaviour that holds until it is changed or reset."""

    model_config = ConfigDict(extra="forbid")

    latency: float = Field(default=0.0, ge=0, description="seconds before each answer")
    requests_per_minute: int | None = Field(default=None, ge=1, description="per project")
    window_seconds: float = Field(default=60.0, gt=0, description="length of the quota's minute")
    projects: dict[str, str] = Field(default_factory=dict, description="API key -> project; default: its own")
    labels: dict[str, str] = Field(default_factory=dict, description="API key -> label in the log")
    answer: str | None = Field(default=None, description="the text of every structured answer of Gemini, if set")
    keys: list[str] | None = Field(default=None, description="the only keys accepted; None: any but empty")


class LogEntry(BaseModel):
    """One request as the provider saw it. API keys appear as labels only."""

    at: float
    method: str
    path: str
    operation: str
    model: str
    key: str
    project: str
    images: int
    texts: int
    status: int
    fault: str
    seconds: float


class Control:
    """State behind one emulator. Thread-safe, because tests read it from their own thread."""

    def __init__(self, config: Config | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._initial = config or Config()
        self._clock = clock
        self._lock = Lock()
        self.config = self._initial.model_copy(deep=True)
        self._faults: list[Fault] = []
        self._log: deque[LogEntry] = deque(maxlen=LOG_LIMIT)
        self._used: dict[str, deque[float]] = {}
        self._reset_at = 0.0

    # -- what a test steers -------------------------------------------------------------------

    def add_fault(self, fault: Fault) -> None:
        """Queues a fault behind those already scripted."""
        with self._lock:
            self._faults.append(fault.model_copy())

    def reset(self) -> None:
        """Forgets log, faults, quotas, and takes the configuration back to what it started with."""
        with self._lock:
            self.config = self._initial.model_copy(deep=True)
            self._faults.clear()
            self._log.clear()
            self._used.clear()
            self._reset_at = time.time()

    def configure(self, changes: dict[str, object]) -> Config:
        """Changes some settings; raises `pydantic.ValidationError` for unknown or invalid ones."""
        with self._lock:
            self.config = Config.model_validate({**self.config.model_dump(), **changes})
            return self.config

    @property
    def log(self) -> list[LogEntry]:
        """Every request since the last reset, oldest first."""
        with self._lock:
            return list(self._log)

    @property
    def faults(self) -> list[Fault]:
        """Faults that still wait."""
        with self._lock:
            return [fault.model_copy() for fault in self._faults]

    # -- what the emulators ask ---------------------------------------------------------------

    def label(self, key: str) -> str:
        """The name under which a key is logged."""
        if not key:
            return "none"
        return self.config.labels.get(key) or "key-" + hashlib.sha256(key.encode()).hexdigest()[:8]

    def project(self, key: str) -> str:
        """The project whose quota a key uses."""
        return self.config.projects.get(key) or self.label(key)

    def accepts(self, key: str) -> bool:
        """Whether the provider knows this key."""
        return bool(key) and (self.config.keys is None or key in self.config.keys)

    def take_fault(self, *, model: str, key: str, operation: str) -> Fault | None:
        """The next scripted fault for this request, used up by one."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.model not in (None, model) or fault.operation not in (None, operation):
                    continue
                if fault.key not in (None, key, self.label(key)):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                taken = fault.model_copy()
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        del self._faults[index]
                return taken
        return None

    def over_quota(self, key: str) -> float | None:
        """Counts one request; seconds until the project may ask again when it is over its limit, else None."""
        limit = self.config.requests_per_minute
        if limit is None:
            return None
        window = self.config.window_seconds
        with self._lock:
            now = self._clock()
            used = self._used.setdefault(self.project(key), deque())
            while used and used[0] <= now - window:
                used.popleft()
            if len(used) >= limit:
                return used[0] + window - now
            used.append(now)
        return None

    def record(self, entry: LogEntry) -> None:
        """Adds a request to the log, unless it began before the last reset."""
        with self._lock:
            if entry.at >= self._reset_at:
                self._log.append(entry)

    # -- HTTP ---------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """The control routes. They need no key and are not logged."""
        return [
            Route("/_log", self._get_log, methods=["GET"]),
            Route("/_faults", self._faults_route, methods=["GET", "POST"]),
            Route("/_config", self._config_route, methods=["GET", "POST"]),
            Route("/_reset", self._post_reset, methods=["POST"]),
        ]

    async def _get_log(self, request: Request) -> Response:
        return JSONResponse([entry.model_dump() for entry in self.log])

    async def _faults_route(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                body = await request.json()
                faults = [Fault.model_validate(item) for item in (body if isinstance(body, list) else [body])]
            except ValueError as error:
                return JSONResponse({"error": str(error)}, status_code=422)
            for fault in faults:
                self.add_fault(fault)
        return JSONResponse([fault.model_dump(mode="json") for fault in self.faults])

    async def _config_route(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self.configure(await request.json())
            except (TypeError, ValueError) as error:
                return JSONResponse({"error": str(error)}, status_code=422)
        # Keys are secrets even here: only settings that hold none are shown.
        return JSONResponse(self.config.model_dump(exclude={"projects", "labels", "keys"}))

    async def _post_reset(self, request: Request) -> Response:
        self.reset()
        return JSONResponse({"status": "reset"})
