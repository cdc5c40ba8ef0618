"""How long a local sandbox takes from open to ready, beside a bare bubblewrap that joins a cgroup, in turns.

Needs what the local kind needs. Run (results/local_start.txt has one run before a change and one after):
    python benchmarks/local_start.py [--times 20]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from raysweep.sandbox.cgroup.place import find_parent
from raysweep.sandbox.local.provider import LocalProvider
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import MIB, Resources

LIMIT = Resources(cpu=1000, memory=64 * MIB)
BARE = (
    *("--unshare-user", "--uid", "0", "--gid", "0", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-net", "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL", "--ro-bind", "/", "/"),
    *("--proc", "/proc", "--dev", "/dev", "--", "/bin/true"),
)
JOIN = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 > "$1"; shift; n=$((n - 1)); done; exec "$@"'


def bare(program: Path, number: int) -> float:
    """Seconds from making a cgroup to the end of the first program in it."""
    began = time.perf_counter()
    group = find_parent(None).child(f"raysweep-bare-{os.getpid()}-{number}")
    group.create()
    procs = list(map(str, group.procs_files()))
    subprocess.run(["/bin/sh", "-c", JOIN, "join", str(len(procs)), *procs, str(program), *BARE], check=True)
    took = time.perf_counter() - began
    group.remove()
    return took


async def ours(provider: LocalProvider, number: int) -> float:
    """Seconds from opening a sandbox to its being ready for a command."""
    began = time.perf_counter()
    sandbox = provider.open(SandboxSpec("start", f"one-{number}", LIMIT, LIMIT))
    await sandbox.start()
    took = time.perf_counter() - began
    await sandbox.stop()
    return took


async def main() -> None:
    """Both kinds in turns, so that a busy machine slows both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        provider = LocalProvider(owner="benchmark", scratch=Path(scratch))
        await provider.prepare("start")
        rows = [
            (await asyncio.to_thread(bare, provider.host().bwrap, n), await ours(provider, n)) for n in range(times)
        ]
    for n, (one, other) in enumerate(rows):
        print(f"{n:3}: bare {one * 1e3:6.1f} ms   sandbox {other * 1e3:6.1f} ms")
    least, own = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"median: bare {least * 1e3:.1f} ms, sandbox {own * 1e3:.1f} ms, ratio {own / least:.2f}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    asyncio.run(main())
