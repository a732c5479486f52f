"""Pages per minute and memory at 1, 4 and 8 pages in parallel, against the local shop of the tests.

Usage: python scrapers/bench/bench_pages.py [--products 120] [--site amazon] [--chromium PATH]

The rate is taken between the first and the last product page that the shop was asked for, so that starting Python and
Chromium does not count. Memory is the largest sum of the proportional set sizes of the scraper's processes (Python, the
browser's driver, every process of Chromium); they are sampled four times a second. No waiting for politeness: on real
sites the delay of 3 s decides, at 20 pages a minute.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from scraper_tests.local_site.goods import goods
from scraper_tests.local_site.server import Shop, number_of, open_shop

PARALLEL = (1, 4, 8)
SAMPLE_EVERY = 0.25  # seconds
MIB = 1024 * 1024


@dataclass
class Memory:
    """Peaks in bytes: of everything, and of Python alone."""

    total: int = 0
    python: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def watch(self, root: psutil.Process) -> None:
        """Samples the process and everything below it until it is done."""
        while not self.done.wait(SAMPLE_EVERY):
            sizes = {process.pid: _size(process) for process in _tree(root)}
            self.total = max(self.total, sum(sizes.values()))
            self.python = max(self.python, sizes.get(root.pid, 0))


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _size(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def measure(shop: Shop, parallel: int, products: int, chromium: str | None) -> tuple[float, Memory]:
    """Pages per minute and the memory of one run."""
    shop.requests.clear()
    ids = {"amazon": "asin", "flipkart": "fsn", "myntra": "style"}[shop.site]
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "ids.txt"
        wanted.write_text("\n".join(getattr(goods(number), ids) for number in range(products)))
        command = [sys.executable, "-m", "scrapers", shop.site, str(wanted), "--out", f"{folder}/p.parquet"]
        command += ["--base-url", shop.base, "--delay", "0", "--parallel", str(parallel), "--limit", str(products)]
        command += ["--chromium", chromium] if chromium else []
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - our own words
        memory = Memory()
        watcher = threading.Thread(target=memory.watch, args=(psutil.Process(process.pid),))
        watcher.start()
        status = process.wait()
        memory.done.set()
        watcher.join()
    if status != 0:
        raise SystemExit(f"the scraper ended with status {status}")
    times = [at for at, target in shop.requests if number_of(shop.site, target) is not None]
    return 60 * (products - 1) / (times[-1] - times[0]), memory


def main() -> None:
    """Prints one line per degree of parallelism."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=120)
    parser.add_argument("--site", choices=("amazon", "flipkart", "myntra"), default="amazon")
    parser.add_argument("--chromium")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{options.site}, {options.products} products, {os.cpu_count()} cores, load before {load:.1f}")
    print(f"{'parallel':>8} {'pages/min':>10} {'peak MiB':>9} {'of it Python':>13}")
    with open_shop(options.site, options.products) as shop:
        for parallel in PARALLEL:
            rate, memory = measure(shop, parallel, options.products, options.chromium)
            print(f"{parallel:>8} {rate:>10.0f} {memory.total / MIB:>9.0f} {memory.python / MIB:>13.0f}", flush=True)


if __name__ == "__main__":
    main()
