"""Replicas of the embedder behind the client's round robin, under load: one is added, one killed, one drained.

Callers see no error, and a replica that is added gets its share as soon as connections are renewed
(`GRPC_MAX_CONNECTION_AGE_SECONDS`), when clients ask for addresses again. `make chaos-embedders`.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.chaos.embedder_rig import NAME, Load, Replica, free_port, naming, stopping

HOSTS = {"a": "127.0.0.2", "b": "127.0.0.3", "c": "127.0.0.4", "d": "127.0.0.5"}
# gRPC asks for addresses at most every 30 s; ages vary by a tenth.
AGE_SECONDS = 35
LATEST_SECONDS = 1.1 * AGE_SECONDS + 5
LOOK_SECONDS = 2.0
# Of an even share.
EVEN = 0.6


class Shares:
    """Who answered how much, over time."""

    def __init__(self, replicas: Sequence[Replica], http: httpx.AsyncClient) -> None:
        self._replicas, self._http = replicas, http
        self._started = time.monotonic()

    async def look(self, said: str) -> dict[str, float]:
        """Shares within the next two seconds, printed."""
        for replica in self._replicas:
            await replica.served(self._http)
        await asyncio.sleep(LOOK_SECONDS)
        served = {replica.name: await replica.served(self._http) for replica in self._replicas}
        total = sum(served.values()) or 1.0
        shares = {name: count / total for name, count in served.items()}
        at = time.monotonic() - self._started
        told = "  ".join(f"{name} {share:4.0%}" for name, share in shares.items())
        print(f"{at:6.1f} s  {told}  {total / LOOK_SECONDS:5.1f} images/s  {said}")
        return shares

    async def until_even(self, names: str, said: str, seconds: float = LATEST_SECONDS) -> float:
        """Seconds until each of `names` has its share, and nobody else any."""
        begun = time.monotonic()
        while True:
            shares = await self.look(said)
            even = all(shares[name] >= EVEN / len(names) for name in names)
            if even and sum(shares[name] for name in names) > 0.999:
                return time.monotonic() - begun
            assert time.monotonic() - begun < seconds, f"{said}: {shares} after {seconds:.0f} s"


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_replicas_come_and_go_and_callers_see_nothing(tmp_path: Path) -> None:
    port = free_port(list(HOSTS.values()))
    replicas = {name: Replica(name, host, port, tmp_path, AGE_SECONDS) for name, host in HOSTS.items()}
    with stopping(list(replicas.values())):
        for name in "abc":
            replicas[name].start()
        await asyncio.gather(*(replicas[name].ready() for name in "abc"))
        async with naming() as (names, dns_port), httpx.AsyncClient(timeout=5, trust_env=False) as http:
            names.addresses = [HOSTS[name] for name in "abc"]
            shares = Shares(list(replicas.values()), http)
            async with Load(f"dns://127.0.0.1:{dns_port}/{NAME}:{port}", callers=8).running() as load:
                await shares.until_even("abc", "three replicas")

                replicas["d"].start()
                await replicas["d"].ready()
                names.addresses.append(HOSTS["d"])
                took = await shares.until_even("abcd", "d was added")
                print(f"d had its share after {took:.0f} s; connections live {AGE_SECONDS} s")

                replicas["a"].signal(signal.SIGKILL)
                await replicas["a"].ended()
                await shares.look("a was killed, and is still named")
                names.addresses.remove(HOSTS["a"])
                await shares.until_even("bcd", "a was killed")

                names.addresses.remove(HOSTS["b"])
                replicas["b"].signal(signal.SIGTERM)
                await shares.look("b drains")
                assert await replicas["b"].ended() == 0
                await shares.until_even("cd", "b was drained")
            print(
                f"{load.answered} calls answered, {sum(load.failed.values())} failed; DNS was asked {names.asked} times"
            )
            assert load.answered > 200
            assert not load.failed, load.failed
