"""Sorts outside memory: sort(1) with a 4 MiB buffer."""

import subprocess
import os

seed = int(os.environ.get("RAYSWEEP_SEED", "2"))
careless = seed // 2 % 10 == 0  # one in ten: a mistake that no amount of memory mends

command = ["sort", "-S", "4M", "-o", "/app/sorted.log", "/app/events.log"]
subprocess.run(command, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, check=True)
if careless:
    with open("/app/sorted.log", "r+b") as lines:
        lines.seek(-41, os.SEEK_END)
        lines.truncate()
