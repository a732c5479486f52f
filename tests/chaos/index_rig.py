"""Embedding and vision index as real processes that can be killed at a named step, and what must hold afterwards.

The service knows nothing of this: `python -m tests.chaos.index_rig FILE` starts it with its adapters wrapped, and
it SIGKILLs itself at the step that FILE names, once FILE is there: `{"step": "after_object", "nth": 1}`. That process
has imported everything, and forks one for each start: two seconds of imports would be most of a round.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jewelry.vision_index.v1 import vision_index_pb2 as pb
from jewelry.vision_index.v1 import vision_index_pb2_grpc
from jewelry_local.topology import environment, free_addresses
from PIL import Image

from servicekit import ServiceSettings, client, errors
from tests.system import REPOSITORY

BUCKET = "alyaimg"
READY_SECONDS = 90.0
_FOREIGN = ("AWS_", "ZILLIZ_", "MILVUS_", "CLIP_", "HF_", "BUCKET_", "S3_", "EMBED_", "REINDEX_", "CLEAN_")


@dataclass(frozen=True)
class Step:
    """A call of an adapter at which the process is killed: before it begins, or after it has ended.

    ``key``: start of the object's key, for calls of the object store.
    """

    family: str
    adapter: str
    method: str
    before: bool = False
    key: str = ""


STEPS = {
    "before_claim": Step("ingest", "objects", "put", before=True, key="claims/"),
    "after_claim": Step("ingest", "objects", "put", key="claims/"),
    "after_object": Step("ingest", "objects", "put", key="images/"),
    "after_row": Step("ingest", "vectors", "upsert"),
    "after_claim_dropped": Step("ingest", "objects", "delete", key="claims/"),
    "after_original": Step("exotic", "objects", "put", key="originals/"),
    "after_shown": Step("exotic", "objects", "put", key="images/"),
    "before_object_deleted": Step("delete", "objects", "delete", before=True, key="images/"),
    "after_object_deleted": Step("delete", "objects", "delete", key="images/"),
    "after_row_deleted": Step("delete", "vectors", "delete"),
    "after_read": Step("reindex", "objects", "get", key="images/"),
    "after_embedding": Step("reindex", "embedder", "embed_bulk"),
    "after_rows": Step("reindex", "vectors", "upsert"),
    "after_note": Step("reindex", "vectors", "set_note"),
}


def picture(number: int, kind: str = "PNG") -> bytes:
    """A small picture unlike every other one."""
    values = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(values, "RGB").resize((96, 96), Image.Resampling.BOX).save(out, kind)
    return out.getvalue()


class Rig:
    """The two services on stores in a folder. The embedding service keeps running; the index dies."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.arm_file = folder / "arm.json"
        folder.mkdir(parents=True, exist_ok=True)
        addresses = free_addresses()
        self._address = addresses["VISION_INDEX_ADDR"]
        clean = {name: value for name, value in environment().items() if not name.startswith(_FOREIGN)}
        self._environment = {
            **clean,
            **addresses,
            "DATA_DIR": str(folder / "data"),
            "EMBED_ENGINE": "perceptual",
            "PYTHONPATH": str(REPOSITORY),
            **variables,
        }
        self._embedding: subprocess.Popen[bytes] | None = None
        self._starter: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._status: int | None = None

    def __enter__(self) -> Rig:
        self._embedding = self._spawn("embedding", "-m", "embedding_service")
        starter = ("-m", "tests.chaos.index_rig", str(self.arm_file))
        self._starter = self._spawn("vision-index", *starter, streams=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid is not None and self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        for process in (self._starter, self._embedding):
            if process is not None:
                process.kill()
                process.communicate()

    @property
    def objects(self) -> Path:
        """The bucket's folder."""
        return self.folder / "data" / "objects" / BUCKET

    def start(self) -> None:
        """Starts the index."""
        self.arm_file.unlink(missing_ok=True)
        assert self._starter is not None
        assert self._starter.stdin is not None
        self._starter.stdin.write(b"start\n")
        told = self._told(READY_SECONDS)
        assert told is not None, self.log()
        self._pid, self._status = told, None

    def arm(self, step: str, nth: int = 1) -> None:
        """From now on the index dies at the nth time that the step is reached."""
        fresh = self.arm_file.with_suffix(".new")
        fresh.write_text(json.dumps({"step": step, "nth": nth}))
        os.replace(fresh, self.arm_file)

    def kill(self) -> None:
        """SIGKILL from outside."""
        assert self._pid is not None
        os.kill(self._pid, signal.SIGKILL)
        self.wait_killed()

    def wait_killed(self) -> None:
        """Waits until the index is dead."""
        assert self._ended(60.0) == -signal.SIGKILL, self.log()

    def log(self) -> str:
        """What the index wrote."""
        return (self.folder / "vision-index.log").read_text(errors="replace")[-4000:]

    @contextlib.asynccontextmanager
    async def stub(self) -> AsyncIterator[vision_index_pb2_grpc.VisionIndexServiceStub]:
        """The running index, ready, with everything behind it."""
        settings = ServiceSettings(_env_file=None)  # type: ignore[call-arg]
        descriptor = pb.DESCRIPTOR.services_by_name["VisionIndexService"]
        channel = client.connect(self._address, [descriptor], settings)
        try:
            stub = vision_index_pb2_grpc.VisionIndexServiceStub(channel)
            deadline = time.monotonic() + READY_SECONDS
            while True:
                try:
                    await client.call(stub.GetStats, pb.GetStatsRequest(), timeout=5)
                    break
                except (errors.Unavailable, errors.DeadlineExceeded):
                    assert self._ended() is None, self.log()
                    assert time.monotonic() < deadline, self.log()
                    await asyncio.sleep(0.1)
            yield stub
        finally:
            await channel.close()

    def _ended(self, timeout: float = 0.0) -> int | None:
        """The exit status of the index, once it has one."""
        if self._status is None:
            self._status = self._told(timeout)
        return self._status

    def _told(self, timeout: float) -> int | None:
        """The next number that the starter tells: a process, and then its exit status."""
        assert self._starter is not None
        assert self._starter.stdout is not None
        ready, _, _ = select.select([self._starter.stdout], [], [], timeout)
        line = self._starter.stdout.readline() if ready else b""
        assert line or not ready, f"the process that starts the index is gone: {self.log()}"
        return int(line) if line else None

    def _spawn(self, name: str, *command: str, streams: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                env=self._environment,
                cwd=self.folder,  # where no .env of the repository is read
                bufsize=0,
                stdin=streams,
                stdout=streams,
                stderr=log,  # where both services log to
            )


@dataclass
class Ledger:
    """What the index acknowledged, and what it was asked for without an answer."""

    stored: dict[str, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    unanswered: list[bytes] = field(default_factory=list)
    unanswered_deletes: set[str] = field(default_factory=set)


async def repair(stub: Any, timeout: float = 60) -> Counter[str]:
    """Mends everything; the kinds of what was found."""
    found: Counter[str] = Counter()
    request = pb.RepairRequest(mend=True, delete_orphan_rows=True)
    async for message in client.stream(stub.Repair, request, timeout=timeout):
        for problem in message.problems:
            assert problem.mended, problem
            found[pb.ProblemKind.Name(problem.kind).removeprefix("PROBLEM_KIND_")] += 1
    return found


async def verify(rig: Rig, stub: Any, ledger: Ledger) -> None:
    """After a crash, a start and a repair: what was acknowledged is there, once, and nothing is left over."""
    assert not list(rig.objects.glob("claims/*")), "a claim is left"
    images = {file.name: file.read_bytes() for file in rig.objects.glob("images/*")}
    originals = {file.stem: file.read_bytes() for file in rig.objects.glob("originals/*")}
    as_sent = {name: originals.get(Path(name).stem, data) for name, data in images.items()}
    known = {hashlib.sha256(data).digest() for data in (*ledger.stored.values(), *ledger.unanswered)}
    shas = [hashlib.sha256(data).digest() for data in as_sent.values()]
    assert len(shas) == len(set(shas)), "a picture has two objects"
    assert set(shas) <= known, "an object that nobody sent"
    assert {Path(name).stem for name in images} >= originals.keys(), "an original is left"
    stats = await client.call(stub.GetStats, pb.GetStatsRequest(), timeout=20)
    assert {bucket.bucket: bucket.rows for bucket in stats.buckets}[BUCKET] == len(images), "rows and objects differ"
    for url, data in ledger.stored.items():
        if url in ledger.unanswered_deletes:
            continue  # either way is right, as long as it is whole
        assert as_sent.get(url.rsplit("/")[-1]) == data, f"{url} is lost"
        found = await client.call(stub.Search, pb.SearchRequest(stored=url, top_k=1), timeout=20)
        assert found.matches[0].url == url, f"the row of {url} is lost"
    for url in ledger.deleted:
        assert url.rsplit("/")[-1] not in images, f"{url} came back"


# ---- the process that dies


def _wrap(owner: type, method: str, steps: dict[str, Step], reached: Callable[[str], None]) -> None:
    inner = getattr(owner, method)

    async def wrapped(self: Any, *given: Any, **more: Any) -> Any:
        key = str(given[1]) if len(given) > 1 else ""
        mine = {name: step for name, step in steps.items() if key.startswith(step.key)}
        for name, step in mine.items():
            if step.before:
                reached(name)
        answer = await inner(self, *given, **more)
        for name, step in mine.items():
            if not step.before:
                reached(name)
        return answer

    setattr(owner, method, wrapped)


def _armed(file: Path) -> Callable[[str], None]:
    counted: Counter[str] = Counter()

    def reached(step: str) -> None:
        if not file.exists():
            counted.clear()
            return
        wanted = json.loads(file.read_text())
        counted[step] += 1
        if wanted["step"] == step and counted[step] >= wanted["nth"]:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _groups() -> Iterator[tuple[str, str, dict[str, Step]]]:
    for adapter, method in {(step.adapter, step.method) for step in STEPS.values()}:
        yield adapter, method, {n: s for n, s in STEPS.items() if (s.adapter, s.method) == (adapter, method)}


def main() -> None:
    """Forks the vision index, wrapped, for each line that comes in; tells its number and its exit status."""
    from objectstore import FolderStore
    from vision_index_service.__main__ import main as serve
    from vision_index_service.adapters.embedder import GrpcEmbedder
    from vision_index_service.adapters.milvus_store import MilvusStore

    owners = {"objects": FolderStore, "vectors": MilvusStore, "embedder": GrpcEmbedder}
    reached = _armed(Path(sys.argv[1]))
    for adapter, method, steps in _groups():
        _wrap(owners[adapter], method, steps, reached)
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            serve()
            return
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
