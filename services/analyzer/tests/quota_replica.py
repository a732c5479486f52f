"""One replica of the replay in test_analyzer_quota.py: asks for many leases at once and prints what it was granted."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from pydantic import SecretStr

from analyzer_service.adapters.redis_quota import RedisQuota
from analyzer_service.adapters.shared_quota import Counting, SharedQuota
from analyzer_service.keypool import KeyPool
from analyzer_service.keys import ApiKey
from analyzer_service.quota import Limits, MemoryQuota


async def main(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Asks for `calls` leases at once."""
    keys = [ApiKey(group, f"{group}/1", SecretStr(f"secret-{group}")) for group in order["groups"]]
    shared = RedisQuota(order["url"], window=order["window"], timeout=30)
    quota = SharedQuota(shared, MemoryQuota(window=order["window"]), share=0.5)
    limits = Limits(order["limit"], order["tokens_limit"])
    pool = KeyPool(keys, limits=lambda group, model: limits, quota=quota)
    leases = await asyncio.gather(*(pool.acquire("model", 90, order["tokens"]) for _ in range(order["calls"])))
    assert quota.counting is Counting.TOGETHER
    await pool.close()
    return [{"group": lease.key.group, "at": lease.granted_at, "receipt": lease.receipt} for lease in leases]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
